"""What a step of Muon costs beside one of AdamW.

    python -m benchmarks.optimizers            about two minutes on a core that does nothing else

For each width: processor's milliseconds of a step of each optimizer, pinned to one core, the median of several rounds
in which both train in turn; and what Muon's orthogonalisations add to the FLOPs of a step by count. A step's batch is
that of the recipe ``transfer`` at 20 tokens a parameter, and one of 2,048 tokens. The figures are in optimizers.md.
"""

import os
import statistics
import time

from benchmarks.training.clock import train_for
from benchmarks.training.steps import Ours
from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params, flops_per_token
from scaling.train.config import DataConfig, RunConfig
from scaling.train.muon.direction import muon_flops
from scaling.train.recipe import RECIPES, OptimizerName, Overrides

WIDTHS, SEQ_LEN, LARGE_BATCH = (32, 64, 128, 256), 128, 2048
_ROUNDS, _SECONDS = 3, 0.2
_NO_TEXT = DataConfig(corpus={}, fingerprint={}, tokenizer={}, eval_tokens=1)
_OPTIMIZERS: tuple[OptimizerName, ...] = ("adamw", "muon")


def model_of(width: int) -> LlamaConfig:
    """A byte-level Llama of two layers, with heads 16 wide."""
    heads, ffn = width // 16, 8 * width // 24 * 8
    return LlamaConfig(256, width, 2, heads, heads, ffn, SEQ_LEN, tie_embeddings=True, qk_norm=True)


def run_of(model: LlamaConfig, optimizer: OptimizerName, batch_tokens: int | None) -> RunConfig:
    """A run of 20 tokens a parameter, with the recipe's batch or another."""
    tokens = 20.0 * count_params(model).total
    recipe = RECIPES["transfer"](model, tokens, Overrides("wsd", 0.3, batch_tokens=batch_tokens, optimizer=optimizer))
    return RunConfig(model, _NO_TEXT, recipe, max(1, round(tokens / recipe.batch_tokens)), seed=0)


def share_by_count(config: RunConfig) -> float:
    """FLOPs of the orthogonalisations over those of the model in a step."""
    return muon_flops(config.model) / (config.recipe.batch_tokens * flops_per_token(config.model, SEQ_LEN))


def milliseconds(configs: list[RunConfig]) -> list[float]:
    """Of a step of each run, by the processor's clock."""
    steps = [Ours(config) for config in configs]
    for step in steps:
        step.dispatch()  # compiles
        step.finish()
    taken = [[train_for(step, _SECONDS, time.process_time) for step in steps] for _ in range(_ROUNDS)]
    return [1e3 * statistics.median(times) for times in zip(*taken, strict=True)]


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(
        "| width | params | tokens a step | AdamW, ms a step | Muon, ms a step | Muon / AdamW | added FLOPs by count |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for width in WIDTHS:
        model = model_of(width)
        for batch in (None, LARGE_BATCH):
            configs = [run_of(model, optimizer, batch) for optimizer in _OPTIMIZERS]
            adamw, muon = milliseconds(configs)
            cells = [f"{width}", f"{count_params(model).total:,}", f"{configs[1].recipe.batch_tokens:,}"]
            cells += [f"{adamw:.2f}", f"{muon:.2f}", f"{muon / adamw:.2f}", f"{share_by_count(configs[1]):+.0%}"]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
