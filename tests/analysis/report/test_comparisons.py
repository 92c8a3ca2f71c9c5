"""Figures and page of a comparison: their numbers are the comparison's, whichever contender is ahead."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.comparing.comparison import BudgetRow, Comparison, PairComparison, Point, Span
from analysis.comparing.score import ComparisonScore, ScoredPair
from analysis.errors import InputError
from analysis.plots.comparisons import difference_lines, multiplier_lines
from analysis.report.comparisons import captions
from analysis.report.comparisons.findings import read_comparison_findings
from analysis.report.comparisons.page import write_comparison_report

PAIR = PairComparison(
    first="a",
    second="b",
    difference=Span(-0.02, -0.03, -0.01),
    loss=Span(-0.05, -0.08, -0.02),
    better=0.98,
    multiplier=Span(1.6, 1.25, 2.0),
    trend=Span(None, None, None),
    time=None,
    money=None,
    budgets=(
        BudgetRow(1e15, 2, Span(-0.01, -0.02, 0.0), Span(1.2, 1.0, 1.5)),
        BudgetRow(1e16, 2, Span(-0.015, -0.02, -0.01), Span(1.4, 1.3, None)),
    ),
    crossing=None,
    crosses=0.02,
    pairs=4,
    tested=10.0,
    weights={"constant": 1.0},
    scatter=0.004,
    drift=0.001,
    freedom=5.0,
    gain=(),
    enough=True,
    deciding=None,
)
TARGET = Point(1e8, 1e10, 6e18)
TWO = Comparison(
    contenders=("b", "a"),
    best={"b": 0.98, "a": 0.02},
    may_be_best=("b",),
    targets={"a": TARGET, "b": TARGET},
    pairs=(PAIR,),
    unit="nats per token",
    level=0.9,
    target_seeds=1,
    extrapolation=600.0,
    runs={"a": 4, "b": 4},
    sources={"a": "a.csv", "b": "b.csv"},
    where={"a": None, "b": None},
    parts={"a": None, "b": None},
    columns=None,
    table_hashes={"a": "0" * 64, "b": "1" * 64},
    warnings=(),
    version="0",
    created="2026-01-01T00:00:00+00:00",
)
# The same finding with the better contender as the first of the pair.
TURNED = replace(
    TWO,
    contenders=("a", "b"),
    best={"a": 0.98, "b": 0.02},
    may_be_best=("a",),
    pairs=(
        replace(
            PAIR,
            difference=Span(0.02, 0.01, 0.03),
            better=0.02,
            multiplier=Span(1 / 1.6, 1 / 2.0, 1 / 1.25),
            budgets=(
                BudgetRow(1e15, 2, Span(0.01, 0.0, 0.02), Span(1 / 1.2, 1 / 1.5, 1.0)),
                BudgetRow(1e16, 2, Span(0.015, 0.01, 0.02), Span(1 / 1.4, 0.0, 1 / 1.3)),
            ),
        ),
    ),
)


def scored(made: Comparison, actual: float, multiplier: float) -> ComparisonScore:
    [pair] = made.pairs
    right = (pair.better >= 0.5) == (actual < 0)
    row = ScoredPair("a", "b", pair.better, right, 0.0, 0.0, actual, True, pair.multiplier.value, multiplier, True)
    best = "b" if actual < 0 else "a"
    return ComparisonScore(
        (row,), {"a": 3.0, "b": 2.9}, {"a": 1, "b": 1}, best, made.contenders[0], 0.0, 0.9, made.unit, made.sha256, ()
    )


@pytest.mark.parametrize(("made", "other"), [(TWO, "a"), (TURNED, "b")], ids=["second", "first"])
def test_the_best_contender_is_drawn_against_the_other_whichever_is_first(made: Comparison, other: str) -> None:
    [line] = multiplier_lines(made, None)
    assert line.other == other
    assert line.flops == pytest.approx([1e15, 1e16, 6e18])
    assert line.value == pytest.approx([1.2, 1.4, 1.6])
    assert line.low == pytest.approx([1.0, 1.3, 1.25])
    assert line.high == pytest.approx([1.5, 1e4, 2.0])  # no end: drawn at the largest factor
    [line] = difference_lines(made, None)
    assert line.value == pytest.approx([-1, -1.5, -2])
    assert (line.low <= line.value).all()
    assert (line.value <= line.high).all()


@pytest.mark.parametrize(
    ("made", "actual", "multiplier"), [(TWO, -0.015, 1.5), (TURNED, 0.015, 1 / 1.5)], ids=["second", "first"]
)
def test_captions_say_the_numbers_of_their_figure(made: Comparison, actual: float, multiplier: float) -> None:
    score = scored(made, actual, multiplier)
    best, other = made.contenders
    assert captions.of_multiplier(multiplier_lines(made, score), made) == (
        f"For {best}'s loss at the target {other} needs 1.6 times {best}'s compute (1.25 to 2); at the largest budget "
        f"of both, 1e16 FLOPs, it was 1.4. Above 1 {best} is better. It came to 1.5, inside the interval."
    )
    assert captions.of_difference(difference_lines(made, score), made) == (
        f"At the target the loss of {best} is expected 2.00% below that of {other} (-3.00% to -1.00%); at the largest "
        f"budget of both, 1e16 FLOPs, it was 1.50% below it. Below 0 {best} is better. It came to -1.50%, inside the "
        "interval."
    )
    outside = scored(made, -4 * actual, 1 / multiplier)
    assert captions.of_multiplier(multiplier_lines(made, outside), made).endswith(
        "It came to 0.667, outside the interval."
    )


def test_the_page_of_a_folder_with_contenders(tmp_path: Path) -> None:
    TWO.freeze(tmp_path / "comparison.json")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "report.html").write_text("")
    text = write_comparison_report(tmp_path).read_text()
    assert "The targets have not been scored yet." in text
    assert 'href="b/report.html"' in text
    assert 'href="a/report.html"' not in text
    assert "b is better than a at the target with probability 98%, worth 1.6 times the compute" in text
    assert len(re.findall("<figure ", text)) == 2
    scored(TWO, -0.015, 1.5).write(tmp_path / "comparison_score.json")
    assert "At the target b was best, as forecast." in write_comparison_report(tmp_path).read_text()
    replace(scored(TWO, -0.015, 1.5), comparison_sha256="0").write(tmp_path / "comparison_score.json")
    with pytest.raises(InputError, match="is the score of another comparison"):
        read_comparison_findings(tmp_path)


def test_where_no_multiplier_is_known_the_figure_says_so(tmp_path: Path) -> None:
    unknown = Span(None, None, None)
    budgets = tuple(replace(row, multiplier=unknown) for row in PAIR.budgets)
    made = replace(TWO, pairs=(replace(PAIR, multiplier=unknown, budgets=budgets),))
    assert multiplier_lines(made, None) == []
    made.freeze(tmp_path / "comparison.json")
    text = write_comparison_report(tmp_path).read_text()
    assert "Not shown: the runs do not show what compute buys" in text
    assert "what that is worth in compute is not known" in text
    assert np.isfinite(difference_lines(made, None)[0].value).all()
