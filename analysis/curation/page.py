"""The page of what was dropped: its content as plain data, and the HTML that the templates make of it."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from jinja2 import Environment

from analysis.curation import sentences
from analysis.curation.bars import Stack, stacks
from analysis.curation.funnel import Classifier, Contamination, Decile, Duplicates, Funnel, Perplexity, Warned
from analysis.curation.numbers import counted, value_of
from analysis.curation.pairs import Pair, pair
from analysis.curation.steps import EXCERPT, Shown, StepShown, first_examples, steps_shown
from analysis.curation.tables import by_source_tables, languages_table, sources_table, steps_table
from analysis.pages.document import document, environment
from analysis.pages.signs import finalized
from analysis.pages.table import Code, Table


@dataclass(frozen=True)
class Groups:
    """The largest groups of near-duplicates: a sentence, and a pair of each."""

    sentence: str
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Words:
    """The classifier: a sentence, its strongest words, and an example of each tenth of the scores."""

    sentence: str
    tables: tuple[Table, ...]
    deciles: tuple[Shown, ...]


@dataclass(frozen=True)
class Page:
    """Everything that the page shows, from top to bottom.

    Attributes:
        title: with the name of the corpus.
        verdict: what came of it.
        sample: how much of the sources was taken; empty for all.
        warnings: of the curation.
        examples: a few dropped documents and the names of their reasons.
        stacks: the sources as bars.
        legend: numbers of the bars' colours, and what they stand for.
        sources: what is left of each source.
        drops: what each step dropped.
        by_source: the same of each source, where there are several.
        steps: the steps in order, with rules and examples.
        languages: as they were judged, or None.
        groups: the largest groups of near-duplicates, or None.
        classifier: what the quality classifier has learnt, or None.
        perplexity: a sentence; empty without the step.
        contamination: a sentence and the files of evaluations, or None.
    """

    title: str
    verdict: str
    sample: str
    warnings: tuple[Warned, ...]
    examples: tuple[tuple[str, Shown], ...]
    stacks: tuple[Stack, ...]
    legend: tuple[tuple[int, str], ...]
    sources: Table
    drops: Table
    by_source: tuple[Table, ...]
    steps: tuple[StepShown, ...]
    languages: Table | None
    groups: Groups | None
    classifier: Words | None
    perplexity: str
    contamination: tuple[str, Table] | None


def page_of(funnel: Funnel) -> Page:
    """The page about a curation."""
    bars, legend = stacks(funnel)
    return Page(
        title=f"What was dropped: {funnel.name}",
        verdict=sentences.verdict(funnel),
        sample=sentences.of_sample(funnel),
        warnings=funnel.warnings,
        examples=first_examples(funnel),
        stacks=bars,
        legend=legend,
        sources=sources_table(funnel),
        drops=steps_table(funnel),
        by_source=by_source_tables(funnel),
        steps=steps_shown(funnel),
        languages=languages_table(funnel),
        groups=None if funnel.duplicates is None else _groups(funnel.duplicates),
        classifier=None if funnel.classifier is None else _words(funnel.classifier),
        perplexity="" if funnel.perplexity is None else _thirds(funnel.perplexity),
        contamination=None if funnel.contamination is None else _evaluations(funnel.contamination),
    )


def _groups(known: Duplicates) -> Groups:
    return Groups(sentences.of_groups(known), tuple(pair(group) for group in known.groups))


def _words(known: Classifier) -> Words:
    sides = (
        ("for", "Words that speak for a document", known.positive),
        ("against", "Words that speak against it", known.negative),
    )
    tables = tuple(
        Table(name, title, ("word", "weight"), tuple((Code(word), f"{weight:.3g}") for word, weight in words))
        for name, title, words in sides
        if words
    )
    return Words(sentences.of_classifier(known), tables, tuple(_decile(each) for each in known.deciles))


def _decile(known: Decile) -> Shown:
    between = " to ".join("" if end is None else value_of(end) for end in (known.low, known.high))
    text = known.text
    return Shown(known.source, known.id, f"score {between}", text[:EXCERPT], len(text) >= EXCERPT)


def _thirds(known: Perplexity) -> str:
    ends = [value_of(end) for end in known.thirds if end is not None]
    if len(ends) != 2:
        return ""
    low, high = ends
    return (
        "Thirds are of the documents of a source. In the first that was judged, the head is up to a perplexity of "
        f"{low} per word, the middle up to {high}, and the tail above it."
    )


def _evaluations(known: Contamination) -> tuple[str, Table]:
    rows = [
        (each.file, *(f"{count:,}" for count in (each.documents, each.too_short, each.found)))
        for each in known.evaluations
    ]
    head = ("file", "documents", "too short", "found in the sources")
    said = [sentences.of_evaluations(known.evaluations), sentences.of_held_out(known.held_out)]
    return " ".join(filter(None, said)) or "Nothing was looked for.", Table("evaluations", "", head, tuple(rows))


@cache
def _templates() -> Environment:
    """The templates: every string has its signs made visible before it is escaped."""
    templates = environment("analysis.curation", finalized)
    templates.filters["counted"] = counted
    return templates


def render(page: Page) -> str:
    """The page as one HTML document, which loads nothing and runs no script; all that it shows is escaped."""
    style = files("analysis.curation").joinpath("templates", "curation.css").read_text()
    return document(_templates(), "curation.html.j2", style, title=page.title, page=page)
