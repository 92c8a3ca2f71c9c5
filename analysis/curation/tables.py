"""The tables of the page: sources, steps, rules and languages."""

from analysis.curation.funnel import Funnel, Step
from analysis.curation.numbers import share
from analysis.curation.sentences import of_limits, title_of
from analysis.formatting import format_quantity
from analysis.pages.table import Code, Table

_CODES = {"short": "too short to be judged", "unsure": "none that is likely enough"}


def sources_table(funnel: Funnel) -> Table:
    """What was read of each source and what is kept."""
    counts = [(source.name, source.read, source.kept) for source in funnel.sources]
    rows = [(name, *_row(read.documents, kept.documents, read.bytes, kept.bytes)) for name, read, kept in counts]
    if len(rows) != 1:
        passed, sizes = funnel.documents, funnel.bytes
        rows.append(("all", *_row(passed.read, passed.kept, sizes.read, sizes.kept)))
    head = ("source", "documents read", "kept", "share", "bytes read", "kept", "share")
    return Table("sources", "What is left of each source", head, tuple(rows))


def _row(documents: int, kept: int, read_bytes: int, kept_bytes: int) -> tuple[str, ...]:
    sizes = format_quantity(read_bytes), format_quantity(kept_bytes), share(kept_bytes, read_bytes)
    return f"{documents:,}", f"{kept:,}", share(kept, documents), *sizes


def steps_table(funnel: Funnel) -> Table:
    """What each step dropped and cut."""
    rows = [
        (
            title_of(step),
            f"{step.reached:,}",
            f"{step.documents:,}",
            share(step.documents, step.reached),
            format_quantity(step.bytes),
            f"{step.changed.documents:,}",
            format_quantity(step.changed.bytes),
        )
        for step in funnel.steps
    ]
    head = ("step", "documents that came", "dropped", "share", "bytes dropped", "documents changed", "bytes cut")
    return Table("steps", "What each step dropped", head, tuple(rows))


def by_source_tables(funnel: Funnel) -> tuple[Table, ...]:
    """What each step dropped of each source, in documents and in bytes; none where there is one source only."""
    if len(funnel.sources) < 2 or not funnel.steps:
        return ()
    head = ("step", *(source.name for source in funnel.sources))
    documents, sizes = (
        [(title_of(step), *(write(count) for count in step.by_source)) for step in funnel.steps]
        for write in (lambda count: f"{count.documents:,}", lambda count: format_quantity(count.bytes))
    )
    return (
        Table("by-source", "Documents that each step dropped of each source", head, tuple(documents)),
        Table("by-source", "Bytes that each step dropped of each source", head, tuple(sizes)),
    )


def reasons_table(step: Step, dropping: bool) -> Table | None:
    """The reasons of a step that drop documents, or those that do not; None without any, and where there is one only.

    Args:
        step: with the reasons.
        dropping: which of them.
    """
    chosen = [reason for reason in step.reasons if (reason.documents > 0) == dropping]
    if len(step.reasons) < 2 or not chosen:
        return None
    rows = [
        (
            Code(reason.name),
            f"{reason.documents:,}",
            share(reason.documents, step.reached),
            format_quantity(reason.bytes),
            of_limits(reason),
            f"{reason.near:,}" if reason.thresholds else "",
            reason.source,
        )
        for reason in sorted(chosen, key=lambda reason: -reason.documents)
    ]
    head = ("rule", "dropped", "share", "bytes", "keeps", "within 5%", "published in")
    return Table("reasons", "", head, tuple(rows))


def languages_table(funnel: Funnel) -> Table | None:
    """The languages as they were judged; None without."""
    if not funnel.languages:
        return None
    total = sum(language.documents for language in funnel.languages)
    sized = any(language.bytes is not None for language in funnel.languages)
    rows = [
        (
            _CODES.get(language.code, language.code),
            f"{language.documents:,}",
            share(language.documents, total),
            *(["" if language.bytes is None else format_quantity(language.bytes)] if sized else []),
        )
        for language in funnel.languages
    ]
    head = ("language", "documents", "share", *(["bytes"] if sized else []))
    return Table("languages", "Languages", head, tuple(rows))
