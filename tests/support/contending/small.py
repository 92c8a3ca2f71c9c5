"""Two contenders that train in seconds, and what of their results must be the same again."""

from pathlib import Path

import pandas as pd

from scaling.comparison import ComparisonPipeline, ComparisonResult
from scaling.sweep.contenders.contenders_file import parse_contenders

SMALL = """\
name: small
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
eval_tokens: 4k
fit: {sizes: [{width: 8, depth: 1}, {width: 12, depth: 1}], flops: [5e7, 1e8, 2e8], seeds: 2}
target: {size: {width: 12, depth: 1}, flops: 1e9, seeds: 2}
contenders:
  usual: {}
  undecayed: {recipe: {weight_decay: 0}}
"""


def pipeline(out: Path, text: str = SMALL) -> ComparisonPipeline:
    """The small contenders in a folder, to be trained by the workers of this machine."""
    return ComparisonPipeline(parse_contenders(text, "small.yaml"), text, out, None, lambda *_: None)


def carried_out(out: Path) -> ComparisonResult:
    """The outcome of the small contenders in a folder."""
    return pipeline(out).run()


def table(folder: Path) -> pd.DataFrame:
    """A contender's table of runs without what depends on the moment."""
    return pd.read_parquet(folder / "runs.parquet").drop(columns=["wall_s", "mfu"])
