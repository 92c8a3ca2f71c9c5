"""The page about a mixture's choice: made from its numbers, whatever they are, and nothing of it unescaped."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mixing.choices import ODD, choice, scored
from mixing.planted import Planted

from analysis.errors import InputError
from analysis.mixing.choose import choose
from analysis.mixing.reading import read_mixtures
from analysis.mixing.request import ChoiceRequest
from analysis.mixing.score import score_choice
from analysis.report import write_report
from analysis.report.mixtures.figures import MIXTURE_KINDS, draw_mixture
from analysis.report.mixtures.findings import is_mixture, read_mixture_findings
from analysis.report.mixtures.landscape import landscape_of
from scaling.api.pages import plot
from scaling.cli.forecasts.plot import KINDS
from scaling.cli.forecasts.plot import MIXTURE_KINDS as OFFERED

TARGET = 1e7, 2e8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources by a planted law, chosen from, with targets of two candidates, and scored."""
    made, law = tmp_path_factory.mktemp("mixtures"), Planted()
    runs = law.table(16).assign(role="fit")
    runs.to_csv(made / "runs.csv", index=False)
    runs.to_parquet(made / "runs.parquet")
    request = ChoiceRequest(*TARGET, draws=50, law="exponential", unique={"code": 1e8, "docs": 2e8, "web": 3e8})
    found = choose(read_mixtures(made), request)
    found.freeze(made / "choice.json")
    trained = np.array([list(found.candidates[name].shares.values()) for name in ("chosen", "uniform")])
    targets = law.runs(trained, TARGET, 1).assign(role="target")
    pd.concat([runs, targets], ignore_index=True).to_parquet(made / "runs.parquet")
    score_choice(found, read_mixtures(made)).write(made / "choice_score.json")
    return made


def test_every_kind_is_offered_by_the_command() -> None:
    assert set(OFFERED) | {"domains"} == set(MIXTURE_KINDS)
    assert "domains" in KINDS


def test_the_surface_fitted_anew_is_that_of_the_choice(folder: Path) -> None:
    found = read_mixture_findings(folder)
    for each in found.choice.candidates.values():
        shares = np.array([list(each.shares.values())])
        assert found.surface.objective(shares)[0] == pytest.approx(each.objective.value, rel=1e-6)
    made = landscape_of(found)
    assert len(made.tried) == found.choice.n_mixtures
    assert made.grid is not None
    # The outlined set holds the chosen mixture, lies within the hull of those tried, and has about the ranges told.
    alike = made.grid.shares[made.grid.excess <= 0]
    assert len(alike) > 0
    assert (alike.min(axis=0) >= made.tried.min(axis=0) - 1e-9).all()
    assert (alike.max(axis=0) <= made.tried.max(axis=0) + 1e-9).all()
    nearest = np.abs(alike - made.candidates["chosen"]).max(axis=1).min()
    assert nearest < 0.03
    for place, name in enumerate(made.sources):
        low, high = made.ranges[name]
        assert alike[:, place].min() == pytest.approx(low, abs=0.08)
        assert alike[:, place].max() == pytest.approx(high, abs=0.08)
    best = made.grid.objective[made.grid.excess <= 0]
    assert best.max() < np.median(made.grid.objective)


@pytest.mark.parametrize("kind", MIXTURE_KINDS)
def test_every_figure_is_drawn_from_a_folder(folder: Path, kind: str, tmp_path: Path) -> None:
    made = plot(kind, folder, output=tmp_path / "figure.svg")
    assert made.drawing.reading.endswith(".")
    assert (tmp_path / "figure.svg").stat().st_size > 5000


def test_the_page_of_a_folder(folder: Path) -> None:
    text = write_report(folder).read_text()
    assert re.findall('<figure id="([^"]*)-figure"', text) == list(MIXTURE_KINDS)
    assert "Not shown" not in text
    assert '<section class="runs">' in text
    assert "2 candidates trained at the target" in text
    assert "A forecast has two parts: the level" in text
    assert text.index('class="verdict"') < text.index("<figure ")


def test_a_file_finds_its_runs_beside_it_or_says_so(folder: Path, tmp_path: Path) -> None:
    text = (folder / "choice.json").read_text()
    (tmp_path / "choice.json").write_text(text)
    assert is_mixture(tmp_path / "choice.json")
    assert read_mixture_findings(tmp_path / "choice.json").table is not None  # where the choice says
    moved = replace(read_mixture_findings(folder).choice, source="nowhere/runs.csv")
    moved.freeze(tmp_path / "moved.json")
    with pytest.raises(InputError, match=r"was made from are not at nowhere/runs\.csv"):
        draw_mixture("mixtures", tmp_path / "moved.json")
    page = write_report(tmp_path / "moved.json").read_text()
    assert page.count("Not shown: the runs that the choice was made from are not at nowhere/runs.csv.") == 2
    (tmp_path / "runs.csv").write_text((folder / "runs.csv").read_text())
    assert read_mixture_findings(tmp_path / "moved.json").table is not None
    changed = (folder / "runs.csv").read_text().splitlines()
    (tmp_path / "runs.csv").write_text("\n".join(changed[:-1]) + "\n")
    assert "other runs than those" in read_mixture_findings(tmp_path / "moved.json").missing


def test_a_score_of_another_choice_is_refused(tmp_path: Path) -> None:
    made = choice(0)
    made.freeze(tmp_path / "choice.json")
    scored(replace(made, kl=0.1), 0).write(tmp_path / "choice_score.json")
    with pytest.raises(InputError, match="is the score of another choice"):
        read_mixture_findings(tmp_path)
    assert read_mixture_findings(tmp_path / "choice.json").score is None  # a file may stand beside any other


def test_a_place_without_a_choice_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no frozen choice of a mixture") as error:
        plot("mixtures", tmp_path)
    assert len(error.value.errors) == 1
    (tmp_path / "runs.csv").write_text("params,tokens,loss\n1e6,1e8,3\n")
    with pytest.raises(InputError, match="no frozen choice of a mixture"):
        plot("mixture-laws", tmp_path / "runs.csv")


@pytest.mark.parametrize(("sources", "domains"), [(2, 1), (3, 3), (17, 13)])
def test_names_are_escaped_and_hidden_signs_shown(tmp_path: Path, sources: int, domains: int) -> None:
    made = choice(4, sources, domains)
    made.freeze(tmp_path / "choice.json")
    scored(made, 4).write(tmp_path / "choice_score.json")
    text = write_report(tmp_path / "choice.json").read_text()
    assert ODD not in text
    assert "<b>" not in text
    assert "\u202e" not in text
    assert "a &lt;b&gt;&amp;$x$" in text
    assert "[U+202E]" in text
    tables = re.findall('<section class="([a-z]+)">', text)
    assert tables == ["shares", "candidates", "domains", "provenance"]
    assert text.count("<tr>") > sources + 4 * domains
