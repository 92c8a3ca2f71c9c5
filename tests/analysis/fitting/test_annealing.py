"""The multi-power law: against the paper's sum, its fits of curves, and the tables that they are read from."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.errors import InputError
from analysis.fitting.annealing import LAW, AnnealingFit, fit_annealing
from analysis.fitting.annealing_inputs import inputs_of_schedule, stacked
from analysis.fitting.law_fit import FitStatus
from analysis.runs.curves import Curve, CurveTable, LoggedSchedule, read_curves
from scaling.cli import main

QUICKSTART = Path(__file__).parents[3] / "benchmarks" / "quickstart"
PEAK, STEPS, WARM = 3e-4, 20_000, 500
# 2503.12811 reports L0 2.375, A .654, alpha .429, B 523, C 2.025, beta .594, gamma .635 for 400M parameters.
TRUTH = {"E": 2.375 - 523.4 * PEAK, "A": 0.654, "B": 523.4, "C": 2.025, "alpha": 0.429, "beta": 0.594, "gamma": 0.635}
TRUE = AnnealingFit(TRUTH, {}, 0.0, FitStatus.PUBLISHED, 0, (), "", 0.0)


def schedule(kind: str, steps: float = STEPS) -> LoggedSchedule:
    match kind:
        case "constant":
            return LoggedSchedule(np.array([0.0, WARM, steps]), np.array([0.0, PEAK, PEAK]))
        case "two-stage":
            drop = 0.4 * steps
            rates = np.array([0.0, PEAK, PEAK, 0.3 * PEAK, 0.3 * PEAK])
            return LoggedSchedule(np.array([0.0, WARM, drop, drop + 1, steps]), rates)
        case "cosine":
            return LoggedSchedule.cosine(PEAK, steps, WARM / steps, 0.1)
        case "wsd":
            return LoggedSchedule.wsd(PEAK, steps, WARM / steps, 0.2, 0.1)
    # Down, up again and down: the paper's sum takes rises with the opposite sign.
    return LoggedSchedule(np.array([0.0, WARM, 8e3, 1.2e4, steps]), PEAK * np.array([0.0, 1.0, 0.2, 0.8, 0.1]))


def curve(kind: str, seed: int, noise: float = 3e-3) -> Curve:
    step = np.arange(50.0, STEPS + 1, 50.0)
    loss = TRUE.predict(schedule(kind), step) * np.exp(noise * np.random.default_rng(seed).standard_normal(len(step)))
    return Curve(kind, schedule(kind), step, loss)


def step_by_step(rates: np.ndarray, steps: list[int]) -> np.ndarray:
    """The law as the paper writes it, one term for every step after warm-up."""
    work, p = np.cumsum(rates), TRUTH
    drops = np.concatenate([[0.0], rates[:-1] - rates[1:]])
    drops[:WARM] = 0.0
    losses = []
    for t in steps:
        k = np.flatnonzero(drops[: t + 1])
        since = work[t] - work[k] + rates[k]
        reduction = np.sum(drops[k] * (1 - (1 + p["C"] * rates[k] ** -p["gamma"] * since) ** -p["beta"]))
        losses.append(p["E"] + p["B"] * PEAK + p["A"] * work[t] ** -p["alpha"] - p["B"] * reduction)
    return np.array(losses)


@pytest.mark.parametrize("kind", ["constant", "two-stage", "cosine", "wsd", "rewarmed"])
def test_the_sum_over_parts_is_the_papers_sum_over_steps(kind: str) -> None:
    rates = schedule(kind).rate_at(np.arange(1.0, STEPS + 1))
    steps = [*range(1_000, STEPS, 700), STEPS - 1]
    seen = TRUE.predict(schedule(kind), np.array(steps) + 1.0)
    np.testing.assert_allclose(seen, step_by_step(rates, steps), rtol=2e-4)


def test_derivatives_match_finite_differences() -> None:
    inputs = stacked(
        [inputs_of_schedule(schedule(kind), np.array([900.0, 9e3, 1.9e4])) for kind in ("wsd", "constant")]
    )
    theta = LAW.internal(TRUTH)[None]
    _, jacobian = LAW.evaluate(theta, inputs)
    for i in range(theta.shape[1]):
        step = np.zeros_like(theta)
        step[0, i] = 1e-6
        slope = (LAW.evaluate(theta + step, inputs)[0] - LAW.evaluate(theta - step, inputs)[0]) / 2e-6
        np.testing.assert_allclose(slope, jacobian[:, :, i], rtol=1e-4, atol=1e-9)


def test_an_unseen_schedule_is_forecast_from_three_others() -> None:
    kinds = ("constant", "two-stage", "cosine")
    fit = fit_annealing(CurveTable(tuple(curve(kind, seed) for seed, kind in enumerate(kinds)), "x"), bootstrap=50)
    assert fit.status is FitStatus.CONVERGED
    assert fit.warnings == ()
    assert all(error is not None and error > 0 for error in fit.stderr.values())
    # Half as long again as the curves fitted; the noise of one row is 0.3 %.
    longer, step = schedule("wsd", 30_000), np.arange(1_000.0, 30_001, 100)
    miss = np.log(fit.predict(longer, step) / TRUE.predict(longer, step))
    assert np.abs(miss).max() < 2e-3
    assert abs(miss[-1]) < 1e-3


def test_one_shape_of_schedule_says_little_of_others() -> None:
    fit = fit_annealing(CurveTable((curve("cosine", 0),), "x"))
    assert "few-runs" in {warning.code for warning in fit.warnings}
    assert "one shape" in fit.warnings[0].message
    assert set(fit.stderr.values()) == {None}


def test_without_annealing_there_is_nothing_to_fit() -> None:
    with pytest.raises(InputError, match="lowers its learning rate"):
        fit_annealing(CurveTable((curve("constant", 0),), "x"))


def test_a_rate_is_warm_when_it_first_stops_rising() -> None:
    assert schedule("rewarmed").warm == WARM
    assert schedule("cosine").warm == WARM
    assert LoggedSchedule(np.array([0.0, 9.0]), np.array([1.0, 1.0])).warm == 0


def test_the_sum_of_rates_between_points() -> None:
    ramp = LoggedSchedule(np.array([0.0, 10.0, 20.0]), np.array([0.0, 1.0, 1.0]))
    np.testing.assert_allclose(ramp.work_at(np.array([0.0, 5.0, 10.0, 15.0, 20.0, 30.0])), [0, 1.25, 5, 10, 15, 25])


@pytest.mark.parametrize("kind", ["wsd", "cosine"])
def test_a_rebuilt_schedule_is_the_one_trained_with(kind: str) -> None:
    from jax import numpy as jnp

    from scaling.train.schedule import factor

    ours = LoggedSchedule.wsd(1.0, 300, 0.2, 0.3) if kind == "wsd" else LoggedSchedule.cosine(1.0, 300, 0.2)
    for step in (0, 30, 100, 250, 299):
        shares = (jnp.asarray(share) for share in (0.2 * 300, 0.3 * 300, 0.0))
        trained = float(factor(kind, jnp.asarray(step), jnp.asarray(300), *shares))
        # A step's rate is the one in its middle.
        assert ours.rate_at(np.array([step + 0.5]))[0] == pytest.approx(trained, abs=1e-4)


@pytest.mark.parametrize("params", [10864, 20136, 33504])
def test_the_end_of_decays_of_our_own_runs(params: int) -> None:
    """The shorter runs are known whole, the longer ones until their rate falls: what will the decay yield?"""
    table = read_curves(QUICKSTART / "sotu", where=f"params == {params} and batch_tokens == 128")
    horizon = max(c.schedule.step[-1] for c in table.curves)
    known, misses, naive = [], [], []
    for c in table.curves:
        before = c.step <= 0.7 * horizon
        known.append(Curve(c.run_id, c.schedule, c.step[before], c.loss[before]))
    fit = fit_annealing(CurveTable(tuple(known), "x"), bootstrap=0)
    for c, part in zip(table.curves, known, strict=True):
        if c.schedule.step[-1] == horizon:
            end = c.step >= 0.95 * horizon
            actual = np.log(c.loss[end]).mean()
            misses.append(np.log(fit.predict(c.schedule, c.step[end])).mean() - actual)
            naive.append(np.log(part.loss[-5:]).mean() - actual)
    assert abs(np.mean(misses)) < 0.015
    assert np.mean(naive) > 0.08


FRAME = pd.concat(
    pd.DataFrame({"run": c.run_id, "iter": c.step, "learning_rate": c.schedule.rate_at(c.step), "train_loss": c.loss})
    for c in (curve("two-stage", 0), curve("cosine", 1))
)


def run(*args: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(arg) for arg in args])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_the_command_prints_it_like_any_law(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FRAME.to_csv(tmp_path / "c.csv", index=False)
    assert run("fit", tmp_path / "c.csv", "--law", "annealing", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert {"law", "params", "stderr", "objective", "status", "n_runs", "warnings", "table_hash"} <= set(printed)
    assert printed["law"] == "annealing"
    assert printed["n_runs"] == 2
    assert list(printed["params"]) == list(LAW.names)
    assert printed["params"]["alpha"] == pytest.approx(TRUTH["alpha"], abs=0.05)
    assert run("fit", tmp_path / "c.csv", "--law", "annealing") == 0
    assert capsys.readouterr().out.startswith("annealing: E + A / S^alpha")
    assert run("fit", tmp_path / "c.csv", "--law", "annealing", "--best") == 2


def test_the_hash_knows_every_value() -> None:
    table = CurveTable((curve("cosine", 0),), "x")
    assert table.hash() == CurveTable((curve("cosine", 0),), "y").hash()
    assert table.hash() != CurveTable((curve("cosine", 1),), "x").hash()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.drop(columns="learning_rate"), "no column 'lr'"),
        (FRAME.assign(train_loss=0.0), ":2: column 'loss': 0.0 is not a positive number"),
        (FRAME.assign(iter="x"), ":2: column 'step': 'x' is not a number"),
        (FRAME.assign(learning_rate=0.0), "rates be positive"),
        (FRAME.assign(params=np.arange(len(FRAME)) % 2 + 7), "curves of 2 params"),
        (FRAME.head(1), "has 1 row"),
    ],
    ids=["no rate", "no loss", "text", "rate 0", "two models", "one row"],
)
def test_a_bad_table_is_one_line_a_violation(frame: pd.DataFrame, message: str, tmp_path: Path) -> None:
    frame.to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(InputError) as caught:
        read_curves(tmp_path / "c.csv")
    assert message in caught.value.errors[0]


def test_columns_and_filters(tmp_path: Path) -> None:
    FRAME.rename(columns={"iter": "t"}).to_parquet(tmp_path / "c.parquet")
    with pytest.raises(InputError, match="no column 'step'"):
        read_curves(tmp_path / "c.parquet")
    table = read_curves(tmp_path / "c.parquet", {"step": "t"}, "run == 'cosine'")
    assert [c.run_id for c in table.curves] == ["cosine"]
    with pytest.raises(InputError, match="no such name"):
        read_curves(tmp_path / "c.parquet", {"stepp": "t"})
    with pytest.raises(InputError, match="no row meets"):
        read_curves(tmp_path / "c.parquet", {"step": "t"}, "run == 'x'")
