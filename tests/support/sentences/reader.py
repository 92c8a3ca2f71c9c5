"""Every sentence that the report of a case shows, and its check."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path

import sentences.errors_checked  # noqa: F401 (registers its claims)
from sentences.captions_checked import CLAIMS
from sentences.odd_tables import Case
from sentences.page_checked import FIXED, table_row

from analysis.errors import InputError
from analysis.report.figures import KINDS
from analysis.report.page import page_of, render
from scaling.api.running.sweep_results import sweep_text
from scaling.pipeline import SweepResult

_SENTENCES = ("title", "h1", "h2", "h3", "p", "figcaption", "li", "th")
_PLURAL = re.compile(r"\b(\d+) (run|size|budget|pair|point|replicate)(s?)\b")
_THEIRS = "curves that can be compared"  # a reason of the diagnostics, whose grammar is theirs


class _Text(HTMLParser):
    """The text of each element that holds a sentence, and the cells of each row of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, str]] = []
        self.rows: list[tuple[str, list[str]]] = []
        self.table = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SENTENCES:
            self.open.append(tag)
            self.found.append((tag, ""))
        elif tag == "section":
            self.table = dict(attrs)["class"] or ""
        elif tag == "tr":
            self.rows.append((self.table, []))
        elif tag == "td":
            self.rows[-1][1].append("")

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        elif tag == "section":
            self.table = ""

    def handle_data(self, data: str) -> None:
        if self.open:
            tag, text = self.found[-1]
            self.found[-1] = tag, text + data
        elif self.table and self.rows and self.rows[-1][1]:
            self.rows[-1][1][-1] += data


def sentences_of(case: Case) -> Iterator[str]:
    """The sentences of the page, of the figures that it leaves to `scaling plot`, and of the end of `scaling run`."""
    found = _Text()
    found.feed(render(page_of(case.found, Path("runs.csv"))))
    for tag, text in found.found:
        if tag != "th":
            yield " ".join(text.split()).removeprefix("Not shown: ").removesuffix("." * text.startswith("Not shown: "))
    for table, cells in found.rows:
        if cells:
            table_row(case, table, [cell.strip() for cell in cells])
    if case.found.table.unfit is None:
        try:
            yield KINDS["envelope"].make(case.found).reading
        except InputError as error:
            yield from (line.removeprefix("runs.csv: ") for line in error.errors)
    if case.found.score is not None:
        yield from sweep_text(SweepResult(Path("sweep"), case.forecast, case.score, ())).splitlines()


def passed_on(case: Case) -> set[str]:
    """Messages of warnings, which the tests of their own rooms check."""
    found = case.found
    given = [*(found.forecast.warnings if found.forecast else ()), *(found.score.warnings if found.score else ())]
    results = () if found.table.unfit is not None else (found.parabolas, found.lowest, found.collapse, found.recipe)
    for result in results:
        given += [] if result is None or isinstance(result, str) else result.warnings
    with suppress(InputError):
        given += found.backtest.warnings
    return {f"{w.message}{end}" for w in given for end in ("", f" {w.code}")}


def check(case: Case, seen: Counter[str], unnoticed: Counter[str] | None = None) -> None:
    """Checks every sentence of a case; an unknown one fails.

    Args:
        case: whose report is read.
        seen: counts the patterns that are met.
        unnoticed: counts the patterns whose checks let a number pass that is not the sentence's.
    """
    known = passed_on(case)
    for text in sentences_of(case):
        found = [match for pattern in CLAIMS if (match := pattern.fullmatch(text)) is not None]
        if not found and (text in FIXED or text in known):
            continue
        assert len(found) == 1, f"seed {case.seed}: {len(found)} checks of the sentence {text!r}"
        for number, noun, plural in _PLURAL.findall(text) if _THEIRS not in text else ():
            assert (plural == "") == (number == "1"), f"seed {case.seed}: {number} {noun}{plural}: {text}"
        seen[found[0].re.pattern] += 1
        try:
            CLAIMS[found[0].re](case, **found[0].groupdict())
        except AssertionError as error:
            raise AssertionError(f"seed {case.seed}: false: {text!r}: {error}") from error
        if unnoticed is not None and _THEIRS not in text:
            unnoticed.update(found[0].re.pattern for _ in passing(case, found[0]))


def passing(case: Case, found: re.Match[str]) -> Iterator[str]:
    """Sentences with a number of another first digit that pass the check nevertheless."""
    spans = [found.span(name) for name in found.groupdict() if name != "run"]  # runs may tie for the furthest
    for digit in re.finditer(r"(?<![\d.])(\d)|(?<=[ -+]0\.)([1-9])", found[0]):
        place = digit.start()
        if not any(first <= place < last for first, last in spans):
            continue
        text = f"{found[0][:place]}{int(found[0][place]) % 9 + 1}{found[0][place + 1 :]}"
        with suppress(AssertionError, KeyError):
            if (again := found.re.fullmatch(text)) is not None:
                CLAIMS[found.re](case, **again.groupdict())
                yield text
