"""A sweep with mixtures that trains in seconds, and what of its results must be the same again."""

from pathlib import Path

import pandas as pd

from scaling.mixture import MixturePipeline, MixtureResult
from scaling.sweep.spec.sweep_file import parse_sweep

SMALL = """\
name: small
model: {seq_len: 32, heads: 2, depth: 1}
corpus: {names: [speech, code]}
eval_tokens: 6k
mixtures: {count: 5}
fit:
  - {sizes: [{width: 8, depth: 1}, {width: 12, depth: 1}], flops: 1e8, mixtures: 5, seeds: 2}
  - {sizes: [{width: 8, depth: 1}, {width: 12, depth: 1}], flops: [5e7, 2e8], mixtures: proportional, seeds: 2}
target: {size: {width: 12, depth: 1}, flops: 1e9, for: {code: 80%, speech: 20%}, seeds: 2}
"""


def pipeline(out: Path, text: str = SMALL, fork: bool = False) -> MixturePipeline:
    """The small sweep in a folder, to be trained by the workers of this machine."""
    return MixturePipeline(parse_sweep(text, "small.yaml"), text, out, None, lambda *_: None, fork)


def carried_out(out: Path) -> MixtureResult:
    """The outcome of the small sweep in a folder."""
    return pipeline(out).run()


def table(folder: Path) -> pd.DataFrame:
    """Its table of runs without what depends on the moment."""
    return pd.read_parquet(folder / "runs.parquet").drop(columns=["wall_s", "mfu"])
