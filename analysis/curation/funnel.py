"""What a curation counted, as its folder keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Annotated

from pydantic import AfterValidator, Field, FiniteFloat

Whole = Annotated[int, Field(ge=0)]
Number = Annotated[float | None, AfterValidator(lambda value: None if value is None or not isfinite(value) else value)]
"""A number that may be missing; what is not finite is."""


@dataclass(frozen=True)
class Count:
    """Documents, and the bytes of their texts."""

    documents: Whole
    bytes: Whole


@dataclass(frozen=True)
class Passed:
    """How many were read, and how many are kept."""

    read: Whole
    kept: Whole


@dataclass(frozen=True)
class Source:
    """A source: what was read of it, and what is kept."""

    name: str
    read: Count
    kept: Count


@dataclass(frozen=True)
class Changed:
    """Documents that a step left with another text, and the bytes that it cut from them; below 0 where they grew."""

    documents: Whole
    bytes: int


@dataclass(frozen=True)
class Histogram:
    """Values of the documents that a rule judged.

    Attributes:
        edges: of the bins, one more than bins.
        counts: documents of each bin.
        below: documents below the first edge.
        above: documents above the last one.
        log: whether the bins are of equal ratios.
    """

    edges: tuple[FiniteFloat, ...]
    counts: tuple[Whole, ...]
    below: Whole
    above: Whole
    log: bool = False

    @property
    def judged(self) -> int:
        """Documents with a value."""
        return sum(self.counts) + self.below + self.above


@dataclass(frozen=True)
class Example:
    """A document that a reason dropped, or nearly: its value, where it is from, how it begins, and what it repeats."""

    id: str
    source: str
    file: str = ""
    value: Number = None
    text: str = ""
    twin: str | None = None


@dataclass(frozen=True)
class Reason:
    """Why a step drops documents.

    Attributes:
        name: of the rule; the step's where it has one reason only.
        documents: dropped for it.
        bytes: of their texts.
        source: where its thresholds were published.
        unit: of its values.
        limits: the least and the most that stays, or None.
        histogram: of its values, or None.
        near: documents within 5 % of a threshold.
        dropped: examples.
        kept: examples of what it has just kept.
    """

    name: str
    documents: Whole
    bytes: Whole
    source: str = ""
    unit: str = ""
    limits: tuple[Number, Number] | None = None
    histogram: Histogram | None = None
    near: Whole = 0
    dropped: tuple[Example, ...] = ()
    kept: tuple[Example, ...] = ()

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Those of the two limits that there are."""
        return tuple(limit for limit in self.limits or () if limit is not None)


@dataclass(frozen=True)
class Step:
    """A step: what came to it, what it dropped, by source and by reason, and what it changed."""

    name: str
    documents: Whole
    bytes: Whole
    by_source: tuple[Count, ...]
    reached: Whole
    changed: Changed = Changed(0, 0)
    notes: Mapping[str, int] = field(default_factory=dict)
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Language:
    """Documents of a language; bytes where they are known."""

    code: str
    documents: Whole
    bytes: Whole | None = None


@dataclass(frozen=True)
class Member:
    """A document of a group of near-duplicates; its similarity to the one that is kept."""

    id: str
    source: str
    text: str
    similarity: Number = None


@dataclass(frozen=True)
class Group:
    """Documents that are near-duplicates of one that is kept."""

    size: Whole
    kept: Member
    dropped: tuple[Member, ...] = ()


@dataclass(frozen=True)
class Duplicates:
    """Pairs that are alike, and the largest groups."""

    pairs: Whole
    groups: tuple[Group, ...] = ()
    bounded: Whole = 0


@dataclass(frozen=True)
class Decile:
    """A document with a score between two deciles of all."""

    low: Number
    high: Number
    source: str
    id: str
    text: str


@dataclass(frozen=True)
class Classifier:
    """What the quality classifier learnt from, how well it tells, and by which words."""

    auc: Number
    held_out: Whole
    references: Whole
    others: Whole
    positive: Annotated[tuple[tuple[str, float], ...], Field(alias="for")] = ()
    negative: Annotated[tuple[tuple[str, float], ...], Field(alias="against")] = ()
    deciles: tuple[Decile, ...] = ()


@dataclass(frozen=True)
class Perplexity:
    """The two perplexities between the thirds of the first source that was judged."""

    thirds: tuple[Number, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """A file of evaluations: its documents, those too short to look for, and those found in the sources."""

    file: str
    documents: Whole
    too_short: Whole = 0
    found: Whole = 0


@dataclass(frozen=True)
class HeldOut:
    """Held-out documents that were looked for, and those that so many documents repeat that they are phrases."""

    documents: Whole
    phrases: Whole = 0


@dataclass(frozen=True)
class Contamination:
    """What was looked for in the sources."""

    evaluations: tuple[Evaluation, ...] = ()
    held_out: HeldOut | None = None


@dataclass(frozen=True)
class Warned:
    """A warning: its code, and what it says."""

    code: str
    message: str


@dataclass(frozen=True)
class Funnel:
    """What became of the documents of a curation; the counts add up to the document.

    Attributes:
        name: of the corpus.
        documents: read and kept.
        bytes: of the texts that were read, and of those that are kept.
        sources: in order.
        steps: those that were done, in order.
        sample: share of the documents that was taken, or None for all.
        languages: as they were judged, most first.
        duplicates, classifier, perplexity, contamination: what a step tells; None without it.
        warnings: of the curation.
    """

    name: str
    documents: Passed
    bytes: Passed
    sources: tuple[Source, ...]
    steps: tuple[Step, ...]
    sample: Number = None
    languages: tuple[Language, ...] = ()
    duplicates: Duplicates | None = None
    classifier: Classifier | None = None
    perplexity: Perplexity | None = None
    contamination: Contamination | None = None
    warnings: tuple[Warned, ...] = ()

    @property
    def dropped(self) -> int:
        """Documents that are not kept."""
        return self.documents.read - self.documents.kept


def label(step: Step, reason: Reason) -> str:
    """A reason with its step: ``rules.gopher.words``; once only where its own name begins with the step's."""
    own = reason.name == step.name or reason.name.startswith(f"{step.name}.")
    return reason.name if own else f"{step.name}.{reason.name}"


def judged(reason: Reason) -> int:
    """Documents that a reason has a value of."""
    return 0 if reason.histogram is None else reason.histogram.judged
