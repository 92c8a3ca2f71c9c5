"""Losses by domain: each is forecast as `scaling predict` would, and the figure, the table and the page agree."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from synthetic import bracketed

from analysis import plots
from analysis.errors import InputError
from analysis.forecasting.forecast import forecast
from analysis.plots.panels import columns_of, shortened, size_of
from analysis.report import page, write_report
from analysis.report.domains import Domain, domain_table, domain_tables, drawing_of, of_domains, read_domains
from analysis.report.findings import Findings, read_findings
from analysis.runs.table import RunTable, read_table

ODD = "a <b>&$x$"


def table(*domains: str, missing: float = 0.0) -> pd.DataFrame:
    """A sweep with a loss on each domain, the first the lowest, with errors and spikes that are no domains."""
    frame, random = bracketed(), np.random.default_rng(3)
    for place, name in enumerate(domains):
        losses = frame["loss"] * (0.8 + 0.3 * place) * np.exp(0.003 * random.standard_normal(len(frame)))
        frame[f"loss_{name}"] = losses.where(random.random(len(frame)) >= missing)
        frame[f"loss_{name}_stderr"] = 0.004
    return frame.assign(loss_stderr=0.001, loss_spikes=0.0, bits_per_byte=frame["loss"] / 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("domains")
    table("code", ODD).to_parquet(made / "runs.parquet")
    runs = read_table(made)
    target = runs.targets.iloc[0]
    args = float(target.params), float(target.tokens)
    forecast(runs, *args, law="chinchilla", bootstrap=50, target_seeds=3).freeze(made / "forecast.json")
    return made


@pytest.fixture(scope="module")
def domains(folder: Path) -> tuple[Domain, ...]:
    return read_domains(read_findings(folder))


def test_only_losses_on_a_domain_are_domains() -> None:
    assert list(domain_tables(RunTable.from_frame(table("code", "docs")))) == ["code", "docs"]
    assert domain_tables(RunTable.from_frame(table("code"))) == {}  # one is not several
    empty = table("code", "docs", "law").assign(loss_law=np.nan)
    assert list(domain_tables(RunTable.from_frame(empty))) == ["code", "docs"]


def test_a_domain_is_forecast_as_its_column_would_be(folder: Path, domains: tuple[Domain, ...]) -> None:
    first = domains[0]
    alone = read_table(folder, columns={"loss": "loss_code"})
    assert first.table.fit["loss"].tolist() == alone.fit["loss"].tolist()
    assert first.table.fit["loss_stderr"].tolist() == [0.004] * len(first.table.fit)
    assert first.forecast is not None
    same = forecast(alone, first.forecast.params, first.forecast.tokens, law="chinchilla", target_seeds=3)
    assert first.forecast.loss == pytest.approx(same.loss, rel=1e-6)
    assert first.forecast.interval == pytest.approx(same.interval, rel=2e-3)
    assert first.actual == pytest.approx(first.table.targets["loss"].tolist())


def test_targets_are_not_fitted(folder: Path) -> None:
    """Were the target's runs worse than any, no forecast would move."""
    frame = pd.read_parquet(folder / "runs.parquet")
    spoilt = frame.assign(loss_code=frame["loss_code"] * np.where(frame["role"] == "target", 9.0, 1.0))
    found = read_findings(folder)
    before = read_domains(found)[0]
    after = read_domains(Findings(RunTable.from_frame(spoilt), found.forecast))[0]
    assert before.forecast is not None
    assert after.forecast is not None
    assert after.forecast.loss == before.forecast.loss
    assert after.mean == pytest.approx(9 * before.mean)
    assert not after.covered


def test_runs_on_several_mixtures_make_no_forecast_of_a_domain(folder: Path) -> None:
    frame, found = pd.read_parquet(folder / "runs.parquet"), read_findings(folder)
    alternating = frame.assign(mix_code=np.where(np.arange(len(frame)) % 2, 0.5, 0.2))
    mixed = read_domains(Findings(RunTable.from_frame(alternating), found.forecast))
    assert [each.forecast for each in mixed] == [None, None]
    assert "several mixtures" in of_domains(mixed)
    alike = RunTable.from_frame(frame.assign(mix_code=0.5))
    assert read_domains(Findings(alike, found.forecast))[0].forecast is not None


def test_the_caption_and_the_table_say_the_numbers(domains: tuple[Domain, ...]) -> None:
    low, high = (each.forecast.loss for each in domains if each.forecast is not None)
    text = of_domains(domains)
    assert f"from {low:.4g} on code to {high:.4g} on {ODD}" in text
    missed = np.mean([abs(each.forecast.loss / each.mean - 1) for each in domains if each.forecast is not None])
    held = sum(each.covered for each in domains)
    assert text.endswith(f"; they missed by {missed:.2%} on average, and {held} of 2 intervals held the loss.")
    made = domain_table(domains)
    assert made.head == ("domain", "forecast loss", "90% interval", "actual", "error", "")
    assert [row[0] for row in made.rows] == ["code", ODD]
    assert made.rows[0][1] == f"{low:.4f}"
    assert made.rows[0][3] == f"{domains[0].mean:.4f}"
    assert made.rows[0][4] == f"{low / domains[0].mean - 1:+.2%}"


def test_each_domain_has_its_panel(domains: tuple[Domain, ...]) -> None:
    drawing = drawing_of(domains)
    figure = plots.figure(drawing.draw, *drawing.size)
    assert drawing.size == size_of(2)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}
    assert list(panels) == ["code", ODD]
    for axes, domain in zip(panels.values(), domains, strict=True):
        assert axes.get_xlabel() == "training FLOPs"
        assert domain.forecast is not None
        [dots, actual] = axes.collections[0], axes.collections[-1]
        assert len(np.asarray(dots.get_offsets())) == len(domain.table.fit)
        assert np.asarray(actual.get_offsets())[:, 1] == pytest.approx(domain.actual)
        points = [line.get_ydata() for line in axes.lines if line.get_marker() == "D"]
        assert points == [[domain.forecast.loss]]
        low, high = axes.get_ylim()
        assert low < min(domain.actual)
        assert high > domain.table.fit["loss"].max()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        *("fitted runs", "fitted laws, best split", "forecast, 90% interval", "actual, each run")
    ]


def test_the_report_has_the_section_and_names_are_escaped(folder: Path) -> None:
    text = write_report(folder).read_text()
    assert 'id="domains-figure"' in text
    assert "not frozen" in text
    assert "a &lt;b&gt;&amp;$x$" in text
    assert ODD not in text
    section = text[text.index('<section class="domains">') :]
    assert len(re.findall("<tr>", section[: section.index("</section>")])) == 3


def test_without_several_domains_the_page_is_as_before(folder: Path) -> None:
    frame = pd.read_parquet(folder / "runs.parquet")
    usual = frame.drop(columns=[name for name in frame if str(name).startswith(("loss_code", "loss_a"))])
    found = Findings(RunTable.from_frame(usual))
    text = page.render(page.page_of(found, Path("runs.csv")))
    assert 'class="domains"' not in text
    with pytest.raises(InputError, match="no losses by domain"):
        drawing_of(read_domains(found))


def test_without_a_forecast_the_runs_are_drawn() -> None:
    found = read_domains(Findings(RunTable.from_frame(table("code", "docs", missing=0.2))))
    drawing = drawing_of(found)
    assert "no domain is forecast: there is no forecast of the target" in drawing.reading
    assert isinstance(plots.figure(drawing.draw, *drawing.size), Figure)


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (4, 4), (5, 3), (6, 3), (8, 4), (9, 3), (13, 4), (17, 4)])
def test_panels_are_at_most_four_a_row(count: int, columns: int) -> None:
    assert columns_of(count) == columns


def test_long_names_are_cut_and_hidden_signs_shown() -> None:
    assert shortened("a" * 40, 9) == "aaaa…aaaa"
    assert shortened("code\u202e") == "code\ufffd"


@pytest.mark.parametrize("seed", range(30))
def test_the_caption_holds_whatever_the_numbers(domains: tuple[Domain, ...], seed: int) -> None:
    random = np.random.default_rng(seed)
    found = [_another(domains[0], f"d{place}", random) for place in range(int(random.integers(2, 8)))]
    text = of_domains(found)
    known = {each.name: each.forecast for each in found if each.forecast is not None}
    if not known:
        assert "no domain is forecast" in text
        return
    ends = re.search(r"expected from ([\d.]+) on (\w+) to ([\d.]+) on (\w+)", text)
    assert ends is not None
    losses = {name: made.loss for name, made in known.items()}
    assert losses[ends[2]] == min(losses.values()) == pytest.approx(float(ends[1]), rel=1e-3)
    assert losses[ends[4]] == max(losses.values()) == pytest.approx(float(ends[3]), rel=1e-3)
    missing = re.search(r"; (\d+) domains? (?:is|are) not forecast", text)
    assert (0 if missing is None else int(missing[1])) == len(found) - len(known)
    scored = [each for each in found if each.forecast is not None and each.actual]
    held = re.search(r"missed by ([\d.]+)% on average, and (\d+) of (\d+) intervals? held", text)
    assert (held is None) == (not scored)
    if held is not None:
        errors = [abs(known[each.name].loss / np.mean(each.actual) - 1) for each in scored]
        inside = [known[e.name].interval[0] <= np.mean(e.actual) <= known[e.name].interval[1] for e in scored]
        assert float(held[1]) == pytest.approx(100 * np.mean(errors), abs=0.006)
        assert (int(held[2]), int(held[3])) == (sum(inside), len(scored))


def _another(like: Domain, name: str, random: np.random.Generator) -> Domain:
    """The same domain with random numbers: some without a forecast, some not trained."""
    assert like.forecast is not None
    loss = float(random.uniform(0.5, 4))
    made = replace(like.forecast, loss=loss, interval=(loss * 0.98, loss * 1.01))
    actual = tuple((loss * random.normal(1, 0.02, 2)).tolist()) if random.random() < 0.7 else ()
    if random.random() < 0.3:
        return replace(like, name=name, forecast=None, reason="too few runs", actual=actual)
    return replace(like, name=name, forecast=made, actual=actual)
