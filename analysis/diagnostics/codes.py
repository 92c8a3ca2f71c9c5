"""Warnings about a table or a fit, each with a stable code."""

from dataclasses import asdict, dataclass
from typing import Literal

Code = Literal[
    "collinear",
    "floor-unidentified",
    "not-bracketed",
    "far-extrapolation",
    "mixed-conventions",
    "pooled-corpora",
    "repeated-data",
    "untuned-grid",
    "diverged-rows",
    "unfinished-rows",
    "columns-read",
    "at-the-edge",
    "not-decayed",
    "correlated-rows",
    "tokenizer-mismatch",
    "few-runs",
    "sampled-rows",
    "recipe-off",
    "recipe-drift",
    "off-curve",
    "other-device",
    "short-branch",
    "evaluation-leak",
    "goodput-twice",
    "batch-rounded",
    "training-loss",
    "other-losses",
    "no-losses",
    "no-states",
    "incomplete-runs",
    "torn-lines",
    "other-logs",
    "size-unseen",
    "naive-better",
    "plateau-unseen",
    "not-monotone",
    "kl-per-token",
    "no-gold",
    "no-start",
    "kl-bound",
    "length-drift",
    "size-dropped",
    "best-of-cell",
    "other-yardstick",
    "other-order",
    "one-scale",
    "outside-swarm",
    "repeated-source",
    "sizes-unknown",
    "flat",
]


@dataclass(frozen=True)
class Diagnostic:
    """A warning: a code for programs and a message for people."""

    code: Code
    message: str

    def to_dict(self) -> dict[str, str]:
        return asdict(self)
