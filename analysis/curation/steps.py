"""Steps, rules and examples as the page shows them."""

from dataclasses import dataclass

from analysis.curation.funnel import Example, Funnel, Reason, Step, label
from analysis.curation.histogram import Drawing, drawing
from analysis.curation.numbers import counted, share, size
from analysis.curation.sentences import of_changes, of_example, of_limits, of_near, of_step, title_of
from analysis.curation.tables import reasons_table
from analysis.pages.table import Table

SHOWN, FIRST = 10, 5
"""Examples of a reason, and those at the head of the page."""
EXCERPT = 600
"""Characters of an example."""


@dataclass(frozen=True)
class Shown:
    """A document as the page shows it.

    Attributes:
        where: its source and file.
        id: of the document.
        why: what was judged of it; empty for nothing.
        text: how it begins; empty where it is not known.
        cut: whether it goes on.
    """

    where: str
    id: str
    why: str
    text: str
    cut: bool


@dataclass(frozen=True)
class Rule:
    """A reason of a step as the page shows it, with its histogram and examples; alone where the step has one only."""

    name: str
    alone: bool
    source: str
    dropped: str
    limits: str
    near: str
    unit: str
    drawing: Drawing | None
    examples: tuple[Shown, ...]
    kept: tuple[Shown, ...]
    documents: int


@dataclass(frozen=True)
class StepShown:
    """A step as the page shows it; its rules are those that drop documents, and the quiet ones those that drop none."""

    anchor: str
    title: str
    source: str
    sentence: str
    changes: str
    table: Table | None
    quiet_table: Table | None
    rules: tuple[Rule, ...]
    quiet: tuple[Rule, ...]


def shown(example: Example, reason: Reason) -> Shown:
    """A document as the page shows it."""
    where = ", ".join(part for part in (example.source, example.file) if part)
    text = example.text
    return Shown(where, example.id, of_example(example, reason), text[:EXCERPT], len(text) >= EXCERPT)


def first_examples(funnel: Funnel) -> tuple[tuple[str, Shown], ...]:
    """A few dropped documents with their reasons: one of each reason, by how much it drops, then one more of each."""
    found = [(step, reason) for step in funnel.steps for reason in step.reasons if reason.dropped]
    found.sort(key=lambda pair: -pair[1].documents)
    ordered = [
        (label(step, reason), shown(reason.dropped[number], reason))
        for number in range(FIRST)
        for step, reason in found
        if number < len(reason.dropped)
    ]
    return tuple(ordered[:FIRST])


def steps_shown(funnel: Funnel) -> tuple[StepShown, ...]:
    """The steps in order."""
    return tuple(_step(number, step) for number, step in enumerate(funnel.steps))


def _step(number: int, step: Step) -> StepShown:
    ordered = sorted(step.reasons, key=lambda reason: -reason.documents)
    rules = [_rule(step, reason) for reason in ordered]
    return StepShown(
        anchor=f"step-{number}",
        title=title_of(step),
        source=step.reasons[0].source if len(step.reasons) == 1 else "",
        sentence=of_step(step),
        changes=of_changes(step),
        table=reasons_table(step, dropping=True),
        quiet_table=reasons_table(step, dropping=False),
        rules=tuple(rule for rule in rules if rule.documents),
        quiet=tuple(rule for rule in rules if not rule.documents),
    )


def _rule(step: Step, reason: Reason) -> Rule:
    dropped = ""
    if len(step.reasons) > 1:  # else the step says it
        part = share(reason.documents, step.reached)
        dropped = (
            f"{counted(reason.documents)} ({part}) dropped, with {size(reason.bytes)}." if reason.documents else ""
        )
    return Rule(
        name=label(step, reason),
        alone=len(step.reasons) == 1,
        source=reason.source,
        dropped=dropped,
        limits=of_limits(reason),
        near=of_near(reason),
        unit=reason.unit,
        drawing=drawing(reason),
        examples=tuple(shown(example, reason) for example in reason.dropped[:SHOWN]),
        kept=tuple(shown(example, reason) for example in reason.kept[:SHOWN]),
        documents=reason.documents,
    )
