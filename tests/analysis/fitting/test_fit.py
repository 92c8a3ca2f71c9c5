"""The engine: known optima, starts, resamples and refusals."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import sweep

from analysis.errors import InputError
from analysis.fitting.fit import fit
from analysis.fitting.huber_newton import SolverStatus, best_of_starts, minimise, starts_of
from analysis.fitting.law_fit import FitStatus
from analysis.laws import LAWS
from analysis.runs.arrays import RunArrays
from analysis.runs.table import RunTable, read_table


def test_epochs_240_points(published: Path) -> None:
    table = read_table(published / "epoch_chinchilla.csv", where="excluded_by_epoch == 0")
    result = fit(table, "chinchilla", bootstrap=1000)
    assert result.n_runs == 240
    assert result.objective is not None
    assert result.objective <= 0.00101827402
    p, e = result.params, result.stderr
    assert p["E"] == pytest.approx(1.8172, abs=5e-5)
    assert p["A"] == pytest.approx(477.8, abs=0.1)
    assert p["B"] == pytest.approx(2142.9, rel=1e-3)
    assert p["alpha"] == pytest.approx(0.34731, abs=1e-5)
    assert p["beta"] == pytest.approx(0.36716, abs=2e-5)
    assert {name: e[name] for name in ("E", "alpha", "beta")} == pytest.approx(
        {"E": 0.026, "alpha": 0.015, "beta": 0.021}, rel=0.25
    )
    assert result.status is FitStatus.CONVERGED
    assert result.warnings == ()


def test_no_other_start_does_better(published: Path) -> None:
    points = RunArrays.of(read_table(published / "steplaw_dense_best.csv").fit)
    law = LAWS["chinchilla"]
    best = best_of_starts(law, points.inputs, points.log_loss, np.ones(len(points)))
    rng = np.random.default_rng(0)
    low, high = np.array([-2, 0, 0, 0.02, 0.02]), np.array([1, 15, 15, 1.5, 1.5])
    starts = rng.uniform(low, high, size=(200, 5))
    others = minimise(law, points.inputs, points.log_loss, np.ones((200, len(points))), starts)
    assert best.stats.objective[0] <= others.stats.objective.min() * (1 + 1e-7)


def test_units_do_not_matter() -> None:
    frame = sweep()
    one = fit(RunTable.from_frame(frame), bootstrap=0)
    scaled = frame.assign(params=frame.params * 1e6, tokens=frame.tokens * 1e6)
    two = fit(RunTable.from_frame(scaled), bootstrap=0)
    assert two.objective == pytest.approx(one.objective, rel=1e-6)
    assert two.params["alpha"] == pytest.approx(one.params["alpha"], rel=1e-4)


def test_resampling_is_deterministic_and_by_trunk() -> None:
    frame = sweep(seeds=1)
    again = pd.concat([frame.assign(run_id=frame.run_id + "b"), frame], ignore_index=True)
    assert fit(RunTable.from_frame(frame)).stderr == fit(RunTable.from_frame(frame)).stderr
    # A trunk's rows count once however many there are: repeating them must not look like new knowledge.
    shared, own = (
        fit(RunTable.from_frame(f), "chinchilla-tied").stderr["alpha"]
        for f in (again, again.assign(trunk_id=again.run_id))
    )
    assert shared is not None
    assert own is not None
    assert shared > 1.2 * own


def test_too_few_runs_are_refused() -> None:
    frame = sweep()
    with pytest.raises(InputError, match="6 runs are too few to fit chinchilla"):
        fit(RunTable.from_frame(frame[:6]))


def test_unknown_law_names_the_closest() -> None:
    with pytest.raises(InputError, match="did you mean 'chinchilla'"):
        fit(RunTable.from_frame(sweep()), "chinchila")


def test_collinear_params_and_tokens_warn_and_fit() -> None:
    frame = sweep()
    frame = frame.assign(tokens=20 * frame.params, flops=120.0 * frame.params**2)
    result = fit(RunTable.from_frame(frame), bootstrap=50)
    assert "collinear" in [warning.code for warning in result.warnings]


def test_the_solver_says_how_the_search_of_each_member_ended(published: Path) -> None:
    points = read_table(published / "epoch_chinchilla.csv", where="excluded_by_epoch == 0").arrays
    law, ones = LAWS["chinchilla"], np.ones((2, len(points)))
    start = starts_of(law, points.inputs, points.log_loss, ones[0])[:2]
    short = minimise(law, points.inputs, points.log_loss, ones, start, iterations=2)
    assert short.status.tolist() == [SolverStatus.STEP_LIMIT] * 2
    assert short.stats.steps.tolist() == [2, 2]
    best = best_of_starts(law, points.inputs, points.log_loss, ones[0])
    assert best.status.tolist() == [SolverStatus.CONVERGED]
    assert best.stats.objective[0] < short.stats.objective.min()
    assert best.stats.steps[0] > 2
