"""The list of figures: each is drawn and has a caption made from the data, or a reason why it cannot be."""

import html
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from synthetic import BRACKETED, bracketed, curves_of, tuned

from analysis import plots
from analysis.errors import InputError
from analysis.forecasting.forecast import forecast
from analysis.forecasting.score import score
from analysis.report.draw import TABLE_KINDS, draw
from analysis.report.figures import KINDS, REPORTED, Drawing
from analysis.report.findings import Findings, read_findings
from analysis.runs.table import RunTable
from scaling.cli.forecasts.plot import KINDS as OFFERED

FRAME = bracketed()
TABLE = RunTable.from_frame(FRAME)


@pytest.fixture(scope="module")
def found() -> Findings:
    target = TABLE.targets.iloc[0]
    made = forecast(TABLE, float(target.params), float(target.tokens), law="chinchilla", bootstrap=50, target_seeds=3)
    return Findings(TABLE, made, score(made, TABLE), curves_of(FRAME), RunTable.from_frame(tuned(FRAME)))


def drawn(drawing: Drawing) -> Axes:
    return plots.figure(drawing.draw).axes[0]


def numbers(text: str) -> list[float]:
    scale = {"k": 1e3, "M": 1e6, "B": 1e9, "%": 1e-2, "": 1.0}
    found = re.findall(r"([-+]?\d+\.?\d*(?:e[-+]?\d+)?)([kMB%]?)", text)
    return [float(number) * scale[unit] for number, unit in found]


def test_the_command_offers_the_whole_list() -> None:
    assert set(OFFERED) == set(TABLE_KINDS)
    assert len(OFFERED) == len(TABLE_KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_labels_with_units_and_one_line(kind: str, found: Findings) -> None:
    drawing = KINDS[kind].make(found)
    axes = drawn(drawing)
    for label in (axes.get_xlabel(), axes.get_ylabel()):
        assert re.search("FLOPs|tokens|parameters|nats per token|%|learning rate", label)
    assert drawing.reading.endswith(".")
    assert "\n" not in drawing.reading
    assert numbers(drawing.reading)
    legend = axes.get_legend()
    if legend is not None:  # above the data
        figure = axes.figure
        assert legend.get_window_extent().y0 >= axes.get_window_extent().y1 - 3
        assert legend.get_window_extent().x1 <= figure.get_window_extent().x1


@pytest.mark.parametrize("suffix", ["svg", "pdf"])
def test_files_are_vectors_throughout(suffix: str, found: Findings, tmp_path: Path) -> None:
    plots.save(plots.figure(KINDS["tokens"].make(found).draw), tmp_path / f"figure.{suffix}")
    content = (tmp_path / f"figure.{suffix}").read_bytes()
    assert b"<image" not in content
    assert b"/Subtype /Image" not in content


def test_dots_say_which_run_they_are(found: Findings) -> None:
    for kind in ("flops", "tokens", "isoflop", "overtraining", "residuals"):
        text = plots.svg(plots.figure(KINDS[kind].make(found).draw), kind)
        named = set(re.findall("<title>(fit[^:]*): ", text))
        assert named == set(TABLE.fit.run_id), kind
        assert 'xlink:href="run:' not in text
        assert "</a>" not in text


def test_an_escaped_name_stays_escaped() -> None:
    frame = FRAME.assign(run_id=[f"""<b>"&{"'" * (i % 2)}{i}</b>""" for i in range(len(FRAME))])
    text = plots.svg(plots.figure(KINDS["tokens"].make(Findings(RunTable.from_frame(frame))).draw), "tokens")
    assert "<b>" not in text
    assert {html.unescape(named) for named in re.findall("<title>(.*?): ", text)} == set(frame.run_id)


def test_captions_follow_the_data(found: Findings) -> None:
    exponent, *_ = numbers(KINDS["optimum"].make(found).reading)
    assert exponent == pytest.approx(BRACKETED["beta"] / (BRACKETED["alpha"] + BRACKETED["beta"]), abs=0.05)
    span, first, last, expected, extrapolation, actual = numbers(KINDS["flops"].make(found).reading)
    fit = TABLE.fit
    assert span == pytest.approx(fit.flops.max() / fit.flops.min(), rel=0.01)
    assert last == pytest.approx(fit.loss.min(), abs=1e-3)
    assert first > last > expected
    assert (expected, extrapolation) == (pytest.approx(found.forecast.loss, abs=1e-3), pytest.approx(10, rel=0.01))
    assert actual == pytest.approx(TABLE.targets.loss.mean(), abs=1e-3)
    size, after, longer, before, shorter, change, ratio = numbers(KINDS["overtraining"].make(found).reading)
    assert longer > shorter
    assert change == pytest.approx(after / before - 1, abs=2e-3)
    assert change < 0
    assert ratio == pytest.approx(found.forecast.tokens / found.forecast.params, rel=0.01)
    assert size in {float(f"{n:.3g}") for n in fit.params}


def test_a_foreign_column_named_like_a_hyperparameter_is_none() -> None:
    frame = FRAME.assign(warmup="long")
    with pytest.raises(InputError, match="three learning rates"):
        KINDS["rates"].make(Findings(RunTable.from_frame(frame)))


def test_a_drift_of_the_residuals_is_not_noise(found: Findings) -> None:
    assert "no trend beyond noise" in KINDS["residuals"].make(found).reading
    bent = FRAME.assign(loss=FRAME.loss * (FRAME.flops / FRAME.flops.min()) ** 0.01)
    reading = KINDS["residuals"].make(replace(found, table=RunTable.from_frame(bent))).reading
    assert "they drift" in reading
    *_, slope, error = numbers(reading)
    assert slope == pytest.approx(10**0.01 - 1, abs=0.004)
    assert 0 < error < slope


def test_the_backtest_draws_every_held_out_run_and_the_frozen_forecast(found: Findings) -> None:
    axes = drawn(KINDS["backtest"].make(found))
    held = sum(split.n_test for split in found.backtest.splits)
    dots = sum(len(np.asarray(line.get_xdata())) for line in axes.lines if line.get_marker() in ("o", "s", "^", "v"))
    assert dots == held
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "the frozen forecast, 90% interval" in labels


@pytest.mark.parametrize(("best", "verdict"), [(0.01, "holds"), (0.06, "is not ready")])
def test_the_check_beside_a_sweep_is_read_against_its_recipe(best: float, verdict: str, tmp_path: Path) -> None:
    for name, frame in (("sweep", FRAME), ("sweep-check", tuned(FRAME, best))):
        (tmp_path / name).mkdir()
        frame.to_parquet(tmp_path / name / "runs.parquet")
    both = read_findings(tmp_path / "sweep")
    assert f"The sweep's recipe {verdict}: " in KINDS["rates"].make(both).reading
    # Runs of others have neither FLOPs nor seeds nor states.
    bare = RunTable.from_frame(tuned(FRAME, best).drop(columns=["flops", "seed", "status"]))
    assert f"The sweep's recipe {verdict}: " in KINDS["rates"].make(replace(both, check=bare)).reading
    # Of another recipe the check says where the best rate is, and nothing of this one.
    other = replace(both, table=RunTable.from_frame(FRAME.assign(lr=0.5)))
    assert "recipe" not in KINDS["rates"].make(other).reading


@pytest.mark.parametrize(
    ("kind", "frame", "reason"),
    [
        ("isoflop", FRAME[:4], "no budget has three sizes"),
        ("envelope", FRAME[:4], "fewer than three sizes"),
        ("optimum", FRAME[:4], "fewer than two budgets bracket"),
        ("overtraining", FRAME[FRAME.flops < 2e10], "no size was trained to two lengths"),
        ("backtest", FRAME[:4], "runs to train on"),
        ("residuals", FRAME, "no forecast.json"),
        ("rates", FRAME, "no size and length has three learning rates that vary on their own"),
        ("collapse", FRAME, "no loss curves were read"),
    ],
)
def test_what_a_table_cannot_give_is_one_line(kind: str, frame: pd.DataFrame, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        draw(kind, RunTable.from_frame(frame, str(tmp_path)), tmp_path)
    assert len(caught.value.errors) == 1
    assert str(tmp_path) in caught.value.errors[0]


def test_the_report_shows_all_but_the_envelope() -> None:
    assert set(KINDS) - set(REPORTED) == {"envelope"}
