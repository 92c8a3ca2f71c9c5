"""No sentence of the report is false, whatever the table: each is recomputed from the rows by checks of its own."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sentences.captions_checked import CLAIMS
from sentences.labels_checked import check_labels
from sentences.odd_tables import Case, case
from sentences.reader import check

from analysis import plots
from analysis.errors import InputError
from analysis.report import findings, page
from analysis.report.captions import of_tokens
from analysis.report.figures import KINDS
from analysis.report.findings import Findings
from analysis.runs.table import RunTable

FEW, MANY, DRAWN = 25, 500, 40


@pytest.fixture
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are not drawn, and few resamples make the intervals: what a sentence claims does not depend on either."""
    monkeypatch.setattr(findings, "_RESAMPLES", 10)
    monkeypatch.setattr(findings, "isoflop", partial(findings.isoflop, resamples=50))
    monkeypatch.setattr(findings, "envelope", partial(findings.envelope, resamples=10))
    monkeypatch.setattr(plots, "figure", lambda draw: draw)
    monkeypatch.setattr(plots, "svg", lambda _, name: f'<svg id="{name}"></svg>')


def cases(seeds: range) -> Iterator[Case]:
    yield from (made for seed in seeds if (made := case(seed)) is not None)


@pytest.mark.usefixtures("_undrawn")
def test_no_sentence_of_a_few_odd_tables_is_false() -> None:
    """And were a number of a sentence another, its check would see it."""
    seen: Counter[str] = Counter()
    unnoticed: Counter[str] = Counter()
    for made in cases(range(FEW)):
        check(made, seen, unnoticed if made.seed < FEW // 2 else None)
    assert len(seen) > len(CLAIMS) / 2
    assert unnoticed == {}


@pytest.mark.slow
@pytest.mark.usefixtures("_undrawn")
def test_no_sentence_of_many_odd_tables_is_false() -> None:
    """Every pattern of a sentence is met."""
    seen: Counter[str] = Counter()
    for made in cases(range(FEW, FEW + MANY)):
        check(made, seen)
    assert {pattern.pattern for pattern in CLAIMS if "rows, spread" not in pattern.pattern} - set(seen) == set()


def test_a_part_of_a_long_table_is_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "report_figures", lambda _: iter(()))
    rng = np.random.default_rng(0)
    params, tokens = 10 ** rng.uniform(5, 9, (2, 4100))
    frame = pd.DataFrame({"params": params, "tokens": tokens, "loss": rng.uniform(2, 6, 4100)})
    made = Case(0, frame, Findings(RunTable.from_frame(frame, "runs.csv")))
    text = page.render(page.page_of(made.found, Path("runs.csv")))
    shown = len(made.found.table.arrays)
    assert shown < 4100
    assert f"The figures are of {shown} of the 4100 rows, spread evenly over FLOPs." in text
    assert of_tokens(made.found.table, None).startswith("4100 runs of 4100 sizes, with losses from ")


WORST = """params,tokens,loss
2e7,1e8,5.4
2e7,4e8,4.6
5e7,1e9,3.9
5e7,4e9,3.5
2e8,4e9,3.1
2e8,16e9,2.8
2e7,1200e9,3.2
"""


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("", "The lowest loss, 2.8, is at 1.92e+19 FLOPs; that of the largest budget, 1.44e+20, is 3.2."),
        ("2e8,1600e9,2.79996", "Over 1.6e+05 times the compute the lowest loss fell from 5.4 to 2.8."),
        ("2e8,1600e9,2.8", "Over 1.6e+05 times the compute the lowest loss fell from 5.4 to 2.8."),
        (
            "2e7,1e8,2.7",
            "Over 1.2e+04 times the compute no run has a lower loss than the best of the smallest budget, 2.7.",
        ),
        ("2e8,1600e9,2.7\n2e7,1e8,2.70004", "Over 1.6e+05 times the compute the lowest loss fell from 2.70004 to 2.7."),
    ],
    ids=["most compute is not best", "best", "tie", "rises", "digits"],
)
def test_the_lowest_loss(rows: str, sentence: str) -> None:
    frame = pd.read_csv(StringIO(WORST + rows))
    assert KINDS["flops"].make(Findings(RunTable.from_frame(frame))).reading == sentence


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_figures_of_odd_tables_are_drawn_and_their_labels_hold(kind: str) -> None:
    drawn = 0
    for made in cases(range(DRAWN)):
        with suppress(InputError):
            check_labels(made, plots.figure(KINDS[kind].make(made.found).draw).axes[0])
            drawn += 1
    assert drawn
