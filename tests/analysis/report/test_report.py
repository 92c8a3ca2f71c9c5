"""Figures and the report: they are drawn, say what happened, and escape what they are given."""

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from synthetic import sweep

from analysis import plots
from analysis.allocation.isoflop import isoflop
from analysis.errors import InputError
from analysis.forecasting.forecast import Forecast, forecast
from analysis.forecasting.score import score
from analysis.formatting import format_duration, format_quantity
from analysis.report import write_report
from analysis.report.figures import REPORTED
from analysis.runs.arrays import RunArrays
from analysis.runs.table import RunTable

FRAME = sweep()
TABLE = RunTable.from_frame(FRAME)


@pytest.fixture(scope="module")
def made() -> Forecast:
    target = TABLE.targets.iloc[0]
    return forecast(TABLE, float(target.params), float(target.tokens), law="chinchilla", bootstrap=50, target_seeds=3)


def curves() -> pd.DataFrame:
    parts = []
    for _, run in FRAME.iterrows():
        tokens = np.linspace(0.1, 1, 20) * run.tokens
        loss = run.loss * (tokens / run.tokens) ** -0.1
        parts.append(pd.DataFrame({"run_id": run.run_id, "tokens": tokens, "loss": loss, "kind": "train"}))
    return pd.concat(parts, ignore_index=True)


def shown(page: str) -> set[str]:
    """The figures of a page that are drawn."""
    return set(re.findall('<figure id="([a-z]+)-figure"><h3>[^<]*</h3><figcaption>', page))


def test_loss_vs_flops_holds_everything_in_view(made: Forecast) -> None:
    result = score(made, TABLE)
    seen: list[Axes] = []
    plots.figure(lambda axes: seen.append(plots.loss_vs_flops(TABLE, made, result, axes)) or axes)
    (axes,) = seen
    low, high = axes.get_ylim()
    assert low < min(made.interval[0], *(run.loss for run in result.actuals))
    assert high > max(TABLE.fit["loss"].max(), *made.baselines.values())
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "forecast, 90% interval" in labels
    assert "actual, each run" in labels
    assert axes.get_xlabel() == "training FLOPs"
    assert axes.get_ylabel() == "loss (nats per token)"


def test_parabolas_are_drawn_once_per_budget() -> None:
    result = isoflop(RunArrays.of(TABLE.fit))
    seen: list[Axes] = []
    plots.figure(lambda axes: seen.append(plots.isoflop_parabolas(result, axes)) or axes)
    good = sum(p.reason is None for p in result.parabolas)
    curves, minima = ([line for line in seen[0].lines if line.get_marker() == mark] for mark in ("None", "*"))
    assert len(curves) == len(minima) == good
    dots = [group for group in seen[0].collections if isinstance(group, PathCollection)]
    assert [len(group.get_offsets()) for group in dots] == [len(parabola.n) for parabola in result.parabolas]


def test_svg_is_the_same_every_time(made: Forecast) -> None:
    first, second = (
        plots.svg(plots.figure(lambda axes: plots.residuals(TABLE, made, axes)), "residuals") for _ in range(2)
    )
    assert first == second
    assert first.startswith("<svg")
    assert "currentColor" in first


def test_report(made: Forecast, tmp_path: Path) -> None:
    FRAME.assign(sweep="<b>&sweep").to_parquet(tmp_path / "runs.parquet")
    curves().to_parquet(tmp_path / "curves.parquet")
    (tmp_path / "sweep.yaml").write_text("name: <script>alert(1)</script>\n")
    (tmp_path / "summary.json").write_text('{"corpus": {"name": "<i>"}, "train_s": 12.5}')
    made.freeze(tmp_path / "forecast.json")
    result = score(made, TABLE)
    result.write(tmp_path / "score.json")
    page = write_report(tmp_path).read_text()
    assert f"{made.loss:.4f}" in page
    assert f"{result.actual:.4f}" in page
    assert f"{result.error:+.2%}" in page
    assert made.sha256 in page
    assert "&lt;script&gt;alert(1)" in page
    assert page.count("<script") == 1  # our own
    assert "Sweep &lt;b&gt;&amp;sweep" in page
    assert shown(page) == set(REPORTED) - {"optimum", "rates"}  # the sweep brackets no budget, and tries one rate
    for run_id in FRAME.run_id:
        assert run_id in page
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert [link for link in links if not link.startswith(("#", "data:"))] == []
    HTMLParser().feed(page)


def test_report_without_a_forecast(tmp_path: Path) -> None:
    FRAME[:8].to_parquet(tmp_path / "runs.parquet")
    assert "There is no forecast here yet" in write_report(tmp_path).read_text()


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_report_while_the_first_runs_end(rows: int, tmp_path: Path) -> None:
    FRAME[:rows].to_parquet(tmp_path / "runs.parquet")
    page = write_report(tmp_path).read_text()
    assert {"flops", "tokens"} <= shown(page)
    assert page.count("<figure") == len(REPORTED)
    assert page.count("Not shown: ") == len(REPORTED) - len(shown(page))


def test_report_of_runs_that_all_diverged(tmp_path: Path) -> None:
    FRAME.assign(status="diverged", loss=np.nan).to_parquet(tmp_path / "runs.parquet")
    page = write_report(tmp_path).read_text()
    assert "nothing to draw yet" in page
    assert "status is 'diverged' in every row" in unescape(page)
    assert "<svg" not in page
    for run_id in FRAME.run_id:
        assert run_id in page


def test_report_shows_the_sampling_error_of_the_held_out_text(tmp_path: Path) -> None:
    FRAME[:8].to_parquet(tmp_path / "runs.parquet")
    (tmp_path / "summary.json").write_text('{"loss_stderr_documents": 0.0123, "eval_tokens": 65536, "own": 1}')
    page = write_report(tmp_path).read_text()
    assert re.search("held-out sampling error[^<]*clustered by document</td><td>0.0123<", page)
    assert "<td>held-out tokens</td><td>65536<" in page
    assert "<td>own</td><td>1<" in page


@pytest.mark.parametrize("name", ["curves.parquet", "summary.json"])
@pytest.mark.parametrize("content", [b"\xff\x00 none", b"[1]", b""])
def test_a_broken_file_of_the_folder_is_named(name: str, content: bytes, tmp_path: Path) -> None:
    FRAME.to_parquet(tmp_path / "runs.parquet")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: not a readable"):
        write_report(tmp_path)


def test_curves_without_their_columns_are_named(tmp_path: Path) -> None:
    FRAME.to_parquet(tmp_path / "runs.parquet")
    pd.DataFrame({"run_id": ["a"]}).to_parquet(tmp_path / "curves.parquet")
    with pytest.raises(InputError, match=r"curves\.parquet: not a readable"):
        write_report(tmp_path)


def test_numbers_are_rounded_before_their_suffix() -> None:
    assert [format_quantity(value) for value in (8.03e9, 999_999, 999.99e12, 12)] == ["8.03B", "1M", "1e+15", "12"]


def test_report_needs_a_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no runs\.parquet"):
        write_report(tmp_path)


def test_what_it_cost_and_what_the_target_costs(made: Forecast, tmp_path: Path) -> None:
    fit, target = FRAME[FRAME.role == "fit"], FRAME[FRAME.role == "target"]
    fit.to_parquet(tmp_path / "runs.parquet")
    made.freeze(tmp_path / "forecast.json")
    page = write_report(tmp_path).read_text()
    assert f"{len(fit)} runs took {fit.flops.sum():.3g} FLOPs and {format_duration(fit.wall_s.sum())} of" in page
    largest = fit[fit.flops > 0.5 * fit.flops.max()]
    expected = made.flops / (largest.flops.sum() / largest.wall_s.sum())
    assert f"about {format_duration(expected)} at the speed of the largest of them" in page
    FRAME.to_parquet(tmp_path / "runs.parquet")
    page = write_report(tmp_path).read_text()
    assert f"its 3 runs took {target.flops.sum():.3g} FLOPs and {format_duration(target.wall_s.sum())} of" in page
    # A foreign table has neither FLOPs nor times.
    fit.drop(columns=["flops", "wall_s"]).to_csv(tmp_path / "theirs.csv", index=False)
    page = write_report(tmp_path / "theirs.csv").read_text()
    assert f"{len(fit)} runs took {fit.flops.sum():.3g} FLOPs.</p>" in page


def test_bits_per_byte_stand_beside_the_loss_where_they_are_known(made: Forecast, tmp_path: Path) -> None:
    FRAME.assign(bits_per_byte=FRAME.loss * 0.36).to_parquet(tmp_path / "runs.parquet")
    made.freeze(tmp_path / "forecast.json")
    assert f"({made.loss * 0.36:.4f} bits per byte)" in write_report(tmp_path).read_text()
    FRAME.assign(bits_per_byte=FRAME.loss * np.linspace(0.3, 0.4, len(FRAME))).to_parquet(tmp_path / "runs.parquet")
    assert "bits per byte)" not in write_report(tmp_path).read_text()


def test_a_file_of_anybodys_runs_with_a_frozen_forecast(made: Forecast, tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "theirs.csv", index=False)
    made.freeze(tmp_path / "f.json")
    path = write_report(tmp_path / "theirs.csv", tmp_path / "out.html", tmp_path / "f.json")
    assert path == tmp_path / "out.html"
    page = path.read_text()
    assert "Sweep synthetic" in page
    assert f"<b>{made.loss:.4f}</b>" in page
    assert "residuals" in shown(page)


def test_no_numbers_are_taken_for_anothers(made: Forecast, tmp_path: Path) -> None:
    FRAME[FRAME.params > FRAME.params.min()].to_csv(tmp_path / "other.csv", index=False)
    made.freeze(tmp_path / "f.json")
    with pytest.raises(InputError, match=r"not the table that the forecast .*f\.json was made from"):
        write_report(tmp_path / "other.csv", forecast=tmp_path / "f.json")


def test_a_score_is_shown_with_its_own_forecast_alone(made: Forecast, tmp_path: Path) -> None:
    FRAME.to_parquet(tmp_path / "runs.parquet")
    made.freeze(tmp_path / "forecast.json")
    score(made, TABLE).write(tmp_path / "score.json")
    assert f"missed by <b>{score(made, TABLE).error:+.2%}</b>" in write_report(tmp_path).read_text()
    other = forecast(TABLE, made.params, made.tokens, law="compute", bootstrap=20, target_seeds=3)
    other.freeze(tmp_path / "other.json")
    page = write_report(tmp_path, forecast=tmp_path / "other.json").read_text()  # scored anew
    assert f"missed by <b>{score(other, TABLE).error:+.2%}</b>" in page
    (tmp_path / "forecast.json").unlink()
    other.freeze(tmp_path / "forecast.json")
    assert "The target has not been scored yet." in write_report(tmp_path).read_text()


def test_a_forecast_of_other_rows_is_called_so(made: Forecast, tmp_path: Path) -> None:
    said = "It was made from other rows than those shown here."
    FRAME.to_parquet(tmp_path / "runs.parquet")
    made.freeze(tmp_path / "forecast.json")
    assert said not in write_report(tmp_path).read_text()
    FRAME[FRAME.params > FRAME.params.min()].to_parquet(tmp_path / "runs.parquet")
    assert said in write_report(tmp_path).read_text()
