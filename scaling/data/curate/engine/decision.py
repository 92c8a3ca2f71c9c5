"""What a step decides of documents, and by which thresholds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int16


@dataclass(frozen=True)
class Reason:
    """Why a step drops documents.

    Attributes:
        name: of the rule; the step's where it has one reason only.
        source: where its threshold was published.
        least: the value of a document that stays is not below it.
        most: nor above it.
        span: of the histogram of the values.
        log: its bins are of equal ratios.
        unit: of the values.
    """

    name: str
    source: str = ""
    least: float | None = None
    most: float | None = None
    span: tuple[float, float] = (0.0, 1.0)
    log: bool = False
    unit: str = ""


@dataclass(frozen=True)
class Decision:
    """What a step decides of a batch of documents.

    Attributes:
        reasons: place among the step's reasons of the one that drops a document; -1 keeps it.
        values: by a reason's name, what it judges, NaN where it does not judge.
        texts: of all documents, where the step changes some; an empty one only of a document that is dropped.
        scores: what is kept with the documents that stay, by column.
        twins: ids of the documents that dropped ones repeat.
        notes: counts for the page.
    """

    reasons: Int16[np.ndarray, " documents"]
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    texts: list[str] | None = None
    scores: Mapping[str, np.ndarray] = field(default_factory=dict)
    twins: np.ndarray | None = None
    notes: Mapping[str, int] = field(default_factory=dict)
