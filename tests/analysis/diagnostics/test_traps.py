"""Warnings on synthetic sweeps and targets: each where it is due, and none on the clean ones."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from messages import said
from synthetic import sweep

from analysis.diagnostics import checks, fit_checks
from analysis.diagnostics.codes import Code
from analysis.diagnostics.mixed_conventions import disagreements
from analysis.errors import InputError
from analysis.fitting.fit import fit
from analysis.forecasting.forecast import forecast
from analysis.runs.arrays import RunArrays, inputs_at
from analysis.runs.seed_noise import seed_noise
from analysis.runs.subsample import MOST_ROWS
from analysis.runs.table import RunTable
from scaling.cli import main

CLEAN = sweep()
Change = dict[str, Callable[[pd.DataFrame], object]]


def codes(frame: pd.DataFrame) -> set[str]:
    """The warnings of a fit."""
    return {warning.code for warning in fit(RunTable.from_frame(frame), bootstrap=50).warnings}


def changed(change: Change, frame: pd.DataFrame = CLEAN) -> pd.DataFrame:
    return frame.assign(**{name: make(frame) for name, make in change.items()})


def alternating(*values: object) -> Callable[[pd.DataFrame], object]:
    return lambda f: np.resize(np.array(values, object), len(f))


def test_params_that_do_not_move_do_not_move_together() -> None:
    one = RunTable.from_frame(sweep().assign(params=1e6).drop(columns="flops"))
    assert said(list(fit_checks.check_design(one.arrays, 5)), "collinear").startswith("all runs are of one size (off")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"corpus": alternating("a", "b")}, "pooled-corpora"),
        ({"tokenizer": alternating("a", "b")}, "tokenizer-mismatch"),
        ({"vocab": alternating(32000.0, 128256.0)}, "tokenizer-mismatch"),
        ({"unique_tokens": lambda f: f.tokens / 4}, "repeated-data"),
        ({"epochs": lambda f: np.full(len(f), 3.0)}, "repeated-data"),
        ({"lr": lambda f: f.seed * 0.01 + 0.01}, "untuned-grid"),
        ({"decay_fraction": lambda f: 0.0 * f.seed}, "not-decayed"),
        ({"schedule": alternating("constant")}, "not-decayed"),
        ({"train_tokens": lambda f: f.tokens * np.where(f.seed == 1, 2, 1)}, "not-decayed"),
        ({"portion": lambda f: np.where(f.seed == 1, 0.5, 1.0)}, "not-decayed"),
        ({"run_id": lambda f: f.params.astype(str)}, "not-decayed"),
        ({"flops": lambda f: f.flops * (1 + f.seed)}, "mixed-conventions"),
        ({"params": lambda f: f.params / 1e9}, "mixed-conventions"),
        (
            {"eval": lambda f: np.where(f.seed, "a", "b"), "loss": lambda f: f.loss * (1 + f.seed / 10)},
            "mixed-conventions",
        ),
        ({"trunk_id": lambda f: f.params.astype(str)}, "correlated-rows"),
        ({"status": lambda f: np.where(f.seed == 1, "diverged", "done")}, "diverged-rows"),
        ({"loss": lambda f: f.loss.where(f.index != 5, 6.5)}, "diverged-rows"),
        ({"tokens": lambda f: 20 * f.params, "flops": lambda f: 120.0 * f.params**2}, "collinear"),
        ({"loss": lambda f: 9e3 / f.tokens**0.5 + 0 * f.loss}, "floor-unidentified"),
    ],
)
def test_each_trap_is_named(change: Change, code: str) -> None:
    assert code in codes(changed(change))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"tokenizer": alternating("a"), "corpus": alternating("a")},
        {"vocab": alternating(50257.0, 50304.0)},  # padded
        {"unique_tokens": lambda f: f.tokens * 2, "epochs": lambda f: np.full(len(f), 0.5)},
        {"lr": lambda f: 1 / f.params, "batch_tokens": lambda f: f.tokens / 1000},  # tuned by size
        {"decay_fraction": lambda f: 0.2 + 0.0 * f.seed},
        {"decay_fraction": lambda f: 0.0 * f.seed, "schedule": alternating("cosine")},
        {"train_tokens": lambda f: f.tokens, "portion": lambda f: 1.0 + 0 * f.seed},
        {"host": alternating("a", "b", "c"), "seed": lambda f: f.seed},
        {"half": lambda f: np.where(f.params > f.params.median(), "large", "small")},
        {"flops": lambda f: f.flops * (1 + 1e5 / (f.params + 1e5))},  # a head that weighs less the larger the model
        {"loss": lambda f: f.loss.round(3)},
    ],
)
def test_a_clean_sweep_gives_no_warning(change: Change) -> None:
    frame = CLEAN[CLEAN.role == "fit"]
    assert codes(changed(change, frame)) <= {"floor-unidentified"}


def test_a_row_repeated_is_reported_and_is_no_replicate() -> None:
    frame = sweep(seeds=1)
    twice = pd.concat([frame, frame[:5]], ignore_index=True)
    assert said(checks.check_table(RunTable.from_frame(twice)), "correlated-rows").startswith("5 rows repeat")
    assert seed_noise(RunArrays.of(RunTable.from_frame(twice).fit)).pooled is None


def test_points_along_runs_without_names() -> None:
    sizes, steps = [1e6, 3e6, 1e7, 3e7], np.arange(1, 16)
    rows = pd.DataFrame(
        [{"params": n, "tokens": 1e8 * s, "loss": 2 + n**-0.2 + (1e8 * s) ** -0.2} for n in sizes for s in steps]
    )
    message = said(checks.check_table(RunTable.from_frame(rows)), "correlated-rows")
    assert message.startswith("60 rows lie along the tokens as points along a run do")
    grid = rows.assign(tokens=1e8 * 1.3 ** (rows["tokens"] / 1e8))
    assert checks.check_table(RunTable.from_frame(grid)) == ()
    named = RunTable.from_frame(rows.assign(run_id=rows["params"].astype(str)))
    assert {w.code for w in checks.check_table(named)} == {"correlated-rows", "not-decayed"}


def test_few_runs() -> None:
    few, many = CLEAN[CLEAN.role == "fit"][:10], CLEAN
    assert "few-runs" in codes(few)
    assert "few-runs" not in codes(many)


@pytest.mark.parametrize(("runs", "law", "code"), [(4, "auto", 2), (6, "chinchilla", 2), (32, "chinchilla", 0)])
def test_too_few_runs_are_refused_and_collinear_ones_are_not(
    runs: int, law: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = CLEAN[:runs].assign(tokens=20 * CLEAN.params, flops=120.0 * CLEAN.params**2)
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(SystemExit) as caught:
        main(["fit", str(tmp_path / "t.csv"), "--law", law, "--bootstrap", "20"])
    assert caught.value.code == code
    err = capsys.readouterr().err
    if code == 2:
        assert err.startswith(f"error: {runs} runs are too few")
        assert err.count("\n") == 1
    else:
        assert "[collinear]" in err


def test_a_long_table_says_what_part_of_it_is_fitted() -> None:
    frame = pd.concat([CLEAN[CLEAN.role == "fit"].assign(seed=i) for i in range(200)], ignore_index=True)
    frame = frame.assign(loss=frame.loss * (1 + 1e-3 * np.random.default_rng(0).standard_normal(len(frame))))
    frame = frame.assign(run_id=frame.index.astype(str), trunk_id=frame.index.astype(str))
    table = RunTable.from_frame(frame)
    message = said(checks.check_table(table), "sampled-rows")
    assert message.startswith(f"the fit uses {len(table.arrays)} of {len(frame)} rows")
    assert 0.95 * MOST_ROWS < len(table.arrays) <= MOST_ROWS
    share = np.bincount(table.arrays.budget)
    assert share.max() < 1.1 * share.min()
    shuffled = RunTable.from_frame(frame.sample(frac=1, random_state=1)).arrays
    assert sorted(shuffled.log_loss) == sorted(table.arrays.log_loss)
    assert "sampled-rows" not in codes(frame[:MOST_ROWS])


def test_every_code_is_tried() -> None:
    texts = [file.read_text() for file in Path(__file__).parents[2].rglob("test_*.py")]
    assert [code for code in get_args(Code) if not any(f'"{code}"' in text for text in texts)] == []


def test_random_labels_are_hardly_ever_a_convention() -> None:
    rng = np.random.default_rng(0)
    alarms = 0
    for seed in range(60):
        frame = sweep(seed=seed, seeds=1 + seed % 3, noise=0.002 + 0.004 * (seed % 2))
        rows = RunTable.from_frame(frame.assign(label=rng.integers(0, 3, len(frame)).astype(str))).fit
        alarms += len(disagreements(rows, ["label"]))
    assert alarms <= 2


@pytest.mark.parametrize(("times", "warned"), [(0.5, False), (25.0, False), (40.0, True)])
def test_a_target_beyond_what_nested_extrapolation_tried_is_named(times: float, warned: bool) -> None:
    points = RunArrays.of(RunTable.from_frame(CLEAN).fit)
    flops = times * np.exp(points.inputs.c.max())
    params = np.sqrt(flops / 6 / 50)
    found = list(fit_checks.check_target(points, inputs_at(params, 50 * params, flops), np.log(10.0)))
    assert [warning.code for warning in found] == ["far-extrapolation"] * warned
    if warned:
        assert "40 times the FLOPs" in found[0].message
        assert "could be tried over 10 times" in found[0].message


def test_a_target_below_all_runs_and_a_miscounted_one_are_named() -> None:
    points = RunArrays.of(RunTable.from_frame(CLEAN).fit)
    small = np.exp(points.inputs.c.min()) / 50
    params = np.sqrt(small / 6 / 50)
    (below,) = fit_checks.check_target(points, inputs_at(params, small / 6 / params, small), 0.0)
    assert (below.code, "50 times fewer FLOPs than the smallest" in below.message) == ("far-extrapolation", True)
    largest = np.exp(points.inputs.c.max())
    params = np.sqrt(largest / 6 / 50)
    (counted,) = fit_checks.check_target(points, inputs_at(params, largest / 6 / params / 4, largest), 0.0)
    assert (counted.code, "counted otherwise than the runs'" in counted.message) == ("mixed-conventions", True)


def test_another_vocabulary_is_named() -> None:
    rows = CLEAN.assign(vocab=256.0)
    (warning,) = fit_checks.check_vocabulary(rows, 128256)
    assert warning.code == "tokenizer-mismatch"
    assert "a vocabulary of 128256 and the fitted runs one of 256" in warning.message
    assert list(fit_checks.check_vocabulary(rows, 260)) == list(fit_checks.check_vocabulary(CLEAN, 128256)) == []


@pytest.mark.parametrize(("change", "warned"), [(1.0, False), (0.0, True), (-1.0, True)])
def test_runs_that_compute_does_not_improve(change: float, warned: bool) -> None:
    frame = CLEAN.assign(loss=2.0 * (CLEAN.loss / 2.0) ** change)
    messages = [w.message for w in checks.check_table(RunTable.from_frame(frame)) if w.code == "floor-unidentified"]
    assert ["what compute buys" in message for message in messages] == [True] * warned


@pytest.mark.parametrize(("ratio", "warned"), [(1e-3, True), (30.0, False), (1e6, True)])
def test_a_target_of_a_strange_shape_is_named(ratio: float, warned: bool) -> None:
    points = RunArrays.of(RunTable.from_frame(CLEAN).fit)
    flops = np.exp(points.inputs.c.max())
    params = np.sqrt(flops / 6 / ratio)
    found = list(fit_checks.check_target(points, inputs_at(params, ratio * params, flops), 0.0))
    assert [warning.code for warning in found] == ["far-extrapolation"] * warned
    assert all("tokens per parameter, and the fitted runs" in warning.message for warning in found)


def test_a_target_beyond_all_reason_is_refused() -> None:
    table = RunTable.from_frame(CLEAN)
    largest = table.fit.flops.max()
    assert "far-extrapolation" in [w.code for w in forecast(table, 1e6, 900 * largest / 6e6, bootstrap=20).warnings]
    wide = CLEAN.assign(flops=CLEAN.flops.where(CLEAN.flops != CLEAN.flops.min(), 1.0))
    points = RunArrays.of(RunTable.from_frame(wide).fit)
    assert fit_checks.out_of_reach(points.inputs, float(np.log(0.9e7 * largest))) is None
    assert fit_checks.out_of_reach(points.inputs, float(np.log(1.1e7 * largest))) is not None
    with pytest.raises(InputError, match=r"needs 6e\+12 times .* span 31.6 times: no forecast reaches"):
        forecast(table, 70e9, 6e12 * largest / 6 / 70e9)
