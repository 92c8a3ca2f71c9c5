"""A chain of every stage, cut down to a minute, and what of its tables must be the same again."""

from pathlib import Path

import pandas as pd

from scaling.chain import ChainPipeline, StageResult
from scaling.sweep.stages.chain_file import parse_chain

STAGES = ("base", "sft", "reward", "best", "ppo", "dpo")
CHAIN = """\
name: small
model: {seq_len: 96, depth: 1, heads: 2, qk_norm: true}
corpus: sotu
eval_tokens: 4096
stages:
  base: {fit: {sizes: {width: 8, depth: 1}, tokens: 40k}}
  sft:
    from: base
    fit: {examples: [64, 128]}
    target: {examples: 256}
  reward:
    from: sft
    policy: sft
    gold: reader
    held_out: 64
    fit: {pairs: [32, 64]}
    target: {pairs: 128}
  best: {stage: best_of_n, policy: sft, reward: reward, gold: reader, prompts: 8, n: 8}
  ppo:
    from: sft
    reward: reward
    gold: reader
    iterations: 4
    answers: 16
    measured: 16
    fit: {pairs: [32, 64]}
    target: {pairs: 128}
  dpo:
    from: sft
    policy: sft
    gold: reader
    recipe: {batch: 16}
    measured: 16
    fit: {pairs: [32, 64], beta: 0.1}
    target: {pairs: 96, beta: 0.1}
"""


def carried_out(out: Path, *only: str) -> list[StageResult]:
    """The small chain in a folder, trained by the workers of this machine."""
    chain = parse_chain(CHAIN, "small.yaml")
    return ChainPipeline(chain, CHAIN, out, None, lambda *_: None, only).run()


def tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """A stage's table of runs without what depends on the moment, and its table of rewards."""
    runs, rewards = pd.read_parquet(folder / "runs.parquet"), folder / "rewards.parquet"
    return runs.drop(columns=["wall_s"]), pd.read_parquet(rewards) if rewards.exists() else None
