"""What a careful expert would say about a table or a fit, each with a stable code."""

from collections.abc import Sequence
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
    "not-decayed",
    "correlated-rows",
    "tokenizer-mismatch",
    "few-runs",
    "sampled-rows",
    "recipe-off",
    "recipe-drift",
    "off-curve",
]

_LISTED = 6


@dataclass(frozen=True)
class Diagnostic:
    """A warning: a code for programs and a message for people."""

    code: Code
    message: str

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


def listed(names: Sequence[str]) -> str:
    """The first few of some names, and how many more there are."""
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
