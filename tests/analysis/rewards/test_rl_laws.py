"""Laws of reinforcement learning: constants that are known come back, and what cannot be known is refused."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from inprocess import scaling

from analysis.errors import InputError
from analysis.laws import Inputs
from analysis.rewards.rl_compute import fit_rl_sigmoid
from analysis.rewards.rl_curves import RlCurve, RlTable, read_rl_curves
from analysis.rewards.rl_fit import RlFit
from analysis.rewards.rl_intrinsic import LAW, fit_intrinsic
from analysis.rewards.rl_power import fit_rl_power

R0, A, B, C_MID = 0.1, 0.6, 1.3, 3e13
STEPS = np.concatenate([[0.0], np.linspace(0.02, 1, 50)])


def table(curves: Sequence[RlCurve], x: str = "flops", value: str = "reward") -> RlTable:
    return RlTable(tuple(curves), x, value, "rl.csv", "hash")


def sigmoids(runs: int, longest: float = 3e14, noise: float = 0.01, seed: int = 0, value: str = "reward") -> RlTable:
    rng = np.random.default_rng(seed)
    x = longest * STEPS
    with np.errstate(divide="ignore"):
        true = R0 + (A - R0) / (1 + (C_MID / x) ** B)
    curves = [RlCurve(f"run-{i}", 1e5, x, true + rng.normal(0, noise, len(x))) for i in range(runs)]
    return table(curves, value=value)


def held(fit: RlFit, **true: float) -> list[bool]:
    """Whether the 90 % intervals, widened by half of their width at each end, hold the true constants."""
    ends = {name: fit.intervals[name] for name in true}
    assert all(end is not None for end in ends.values())
    return [
        low - (high - low) / 2 <= true[name] <= high + (high - low) / 2
        for name, end in ends.items()
        if end is not None
        for low, high in [end]
    ]


def codes(fit: RlFit) -> set[str]:
    return {each.code for each in fit.refused}


def test_the_sigmoid_comes_back() -> None:
    fit = fit_rl_sigmoid(sigmoids(4), 200)
    assert all(held(fit, R0=R0, A=A, B=B, C_mid=C_MID))
    assert fit.params["A"] == pytest.approx(A, abs=0.02)
    assert fit.params["C_mid"] == pytest.approx(C_MID, rel=0.1)
    assert codes(fit) == set()
    assert fit.backtest is not None
    assert fit.backtest.error < fit.backtest.naive
    assert fit.predict(1e15) == pytest.approx(A, abs=0.02)


def test_a_reward_may_be_negative_and_a_share_stays_below_one() -> None:
    shifted = sigmoids(3)
    moved = table([RlCurve(c.run_id, None, c.x, 7 * c.value - 5) for c in shifted.curves])
    fit, plain = fit_rl_sigmoid(moved, 0), fit_rl_sigmoid(shifted, 0)
    assert fit.params["A"] == pytest.approx(7 * plain.params["A"] - 5, rel=1e-6)
    assert fit.intervals["A"] is None
    up = [RlCurve(c.run_id, None, c.x, c.value + 0.41) for c in sigmoids(3, 4e13).curves]
    assert fit_rl_sigmoid(table(up, value="accuracy"), 0).params["A"] <= 1
    assert fit_rl_sigmoid(table(up), 0).params["A"] > 1


def test_a_run_that_ends_before_its_middle_is_refused() -> None:
    fit = fit_rl_sigmoid(sigmoids(4, longest=1.5e13), 200)
    assert "plateau-unseen" in codes(fit)
    with pytest.raises(InputError, match=r"before the middle of their rise|do not tell where they level off"):
        fit.predict(1e15)


def test_a_reward_that_falls_is_refused() -> None:
    falling = table([RlCurve(c.run_id, c.params, c.x, -c.value) for c in sigmoids(3).curves])
    assert "not-monotone" in codes(fit_rl_sigmoid(falling, 0))


def test_noise_is_refused_where_the_last_value_forecasts_better() -> None:
    rng = np.random.default_rng(1)
    walk = [RlCurve(f"{i}", 1e5, 1e14 * STEPS, np.cumsum(rng.normal(0, 1, len(STEPS)))) for i in range(3)]
    assert "naive-better" in codes(fit_rl_sigmoid(table(walk), 0))


def test_one_run_has_intervals_of_its_parts() -> None:
    fit = fit_rl_sigmoid(sigmoids(1), 200)
    assert fit.resampled == "parts of runs"
    assert fit.intervals["A"] is not None
    assert fit_rl_sigmoid(sigmoids(3), 20).resampled == "runs"


def test_the_start_of_a_run_does_not_count() -> None:
    """What happens within the first twentieth changes no constant; the start itself does."""
    plain = sigmoids(3)
    odd = [np.where((c.x > 0) & (c.x < 0.05 * c.x[-1]), -9.0, c.value) for c in plain.curves]
    spoiled = table([RlCurve(c.run_id, c.params, c.x, v) for c, v in zip(plain.curves, odd, strict=True)])
    assert fit_rl_sigmoid(spoiled, 0).params == fit_rl_sigmoid(plain, 0).params


K, N0 = 0.3, 5e5
SIZES = (1e5, 3e5, 1e6, 3e6)


def powers(sizes: Sequence[float] = SIZES, noise: float = 0.01) -> RlTable:
    rng = np.random.default_rng(0)
    x = np.linspace(20, 1000, 40)
    curves = []
    for n in sizes:
        error = np.exp(-K * np.log(x) / (1 + N0 / n) - 0.1 - 0.05 * np.log(n / 1e5))
        curves += [RlCurve(f"{n:g}-{s}", n, x, 1 - error * np.exp(rng.normal(0, noise, len(x)))) for s in range(2)]
    return table(curves, "step", "accuracy")


def test_the_power_law_comes_back() -> None:
    fit = fit_rl_power(powers(), 200)
    assert fit.params["K"] == pytest.approx(K, rel=0.05)
    assert fit.params["N0"] == pytest.approx(N0, rel=0.2)
    assert codes(fit) == set()
    true = 1 - np.exp(-K * np.log(4000) / 1.5 - 0.1 - 0.05 * np.log(10))
    assert fit.predict(4000, 1e6) == pytest.approx(true, abs=0.01)
    with pytest.raises(InputError, match="knows 100k, 300k, 1M, 3M"):
        fit.predict(4000, 2e6)


def test_few_sizes_and_what_is_no_share_are_errors() -> None:
    with pytest.raises(InputError, match="2 sizes are too few"):
        fit_rl_power(powers(SIZES[:2]))
    scaled = [RlCurve(c.run_id, c.params, c.x, 3 * c.value) for c in powers().curves]
    with pytest.raises(InputError, match="of a share of right answers"):
        fit_rl_power(table(scaled, "step", "reward"))
    with pytest.raises(InputError, match="2 sizes are too few to fit intrinsic"):
        fit_intrinsic(powers(SIZES[:2]))


THETA = {"a_N": 0.7, "a_E": 0.5, "N_c": 20.0}


def returns(sizes: int = 7, longest: float = 1e6) -> RlTable:
    rng = np.random.default_rng(0)
    e = np.geomspace(10, longest, 60)
    curves = []
    for n in np.geomspace(1e3, 1e6, sizes):
        at = Inputs(np.full(60, np.log(n)), np.log(e), np.log(n * e), np.log(e))
        log_i = -np.log(LAW.predict(THETA, at))
        curves.append(RlCurve(f"{n:.3g}", float(n), e, np.sqrt(log_i + 9) + rng.normal(0, 0.002, 60)))
    return table(curves, "step", "reward")


def test_intrinsic_performance_comes_back_whatever_the_scale_of_the_return() -> None:
    fit = fit_intrinsic(returns(), 100)
    for name, true in THETA.items():
        assert fit.params[name] == pytest.approx(true, rel=0.1)
    assert fit.params["b"] == pytest.approx(1 / (1 / 0.7 + 1 / 0.5), rel=0.05)
    assert codes(fit) == set()
    bent = table([RlCurve(c.run_id, c.params, c.x, np.exp(c.value)) for c in returns().curves], "step")
    assert fit_intrinsic(bent, 0).params["a_N"] == pytest.approx(fit.params["a_N"], rel=0.1)


def test_intrinsic_performance_is_the_least_compute() -> None:
    """Two constants are fixed by that: over sizes at one compute, the most that the law says is the compute itself."""
    log_c = np.log(1e9)
    n = np.linspace(np.log(1e2), np.log(1e8), 20001)
    values = LAW.predict(THETA, Inputs(n, log_c - n, np.full_like(n, log_c), log_c - n))
    assert np.log(1 / values).max() == pytest.approx(log_c, abs=1e-6)


def test_derivatives_of_intrinsic_performance() -> None:
    theta = LAW.internal(THETA)
    at = Inputs(np.log([1e3, 1e5, 1e6]), np.log([1e2, 1e5, 10.0]), np.log([1e5, 1e10, 1e7]), np.log([1e2, 1e5, 10.0]))
    jacobian = LAW.evaluate(theta[None], at)[1][0]
    for place in range(3):
        step = np.eye(3)[place] * 1e-6
        up, down = (LAW.evaluate((theta + sign * step)[None], at)[0][0] for sign in (1, -1))
        np.testing.assert_allclose(jacobian[:, place], (up - down) / 2e-6, rtol=1e-6)


def test_runs_that_never_reach_the_limit_of_their_size_are_refused() -> None:
    sizes = np.geomspace(1e6, 1e9, 5)
    e = np.linspace(1, 60, 60)
    curves = [RlCurve(f"{n:.3g}", float(n), e, np.log(e) - 1e-3 * (np.log(n) - 17) ** 2) for n in sizes]
    with pytest.raises(InputError, match="train the small sizes until larger ones overtake them"):
        fit_intrinsic(table(curves, "step"), 0)


def frame_of(made: RlTable) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"run_id": c.run_id, "params": c.params, made.x: c.x, made.value: c.value}) for c in made.curves
    ]
    return pd.concat(parts, ignore_index=True)


def test_a_table_is_read_and_its_gaps_are_left_out(tmp_path: Path) -> None:
    frame = frame_of(sigmoids(2)).rename(columns={"flops": "C", "reward": "score/mean"})
    frame.loc[3, "score/mean"] = np.nan
    frame.to_csv(tmp_path / "rl.csv", index=False)
    made = read_rl_curves(tmp_path / "rl.csv", columns={"reward": "score/mean"})
    assert (made.x, made.value, [len(c.x) for c in made.curves]) == ("flops", "reward", [50, 51])
    chosen = read_rl_curves(tmp_path / "rl.csv", columns={"reward": "score/mean"}, where='run_id == "run-1"')
    assert [c.run_id for c in chosen.curves] == ["run-1"]
    assert chosen.sha256 != made.sha256
    frame["score/mean"] = frame["score/mean"].astype(object)
    frame.loc[5, "score/mean"] = "high"
    frame.to_csv(tmp_path / "rl.csv", index=False)
    with pytest.raises(InputError, match=r"rl\.csv:7: column 'reward': 'high' is not a number"):
        read_rl_curves(tmp_path / "rl.csv", columns={"reward": "score/mean"})
    with pytest.raises(InputError, match="did you mean 'reward'"):
        read_rl_curves(tmp_path / "rl.csv", columns={"rewards": "score/mean"})
    with pytest.raises(InputError, match="none of the columns gold, accuracy"):
        read_rl_curves(tmp_path / "rl.csv")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"accuracy": [20.0, 30.0]}, "x:2: column 'accuracy': 20 is no share between 0 and 1"),
        ({"params": 0}, "x:2: column 'params': 0 is not a number that can be used"),
        ({"reward": 1e200}, r"x:2: column 'reward': 1e\+200 is not a number"),
        ({"run_id": ["a", None]}, "x:3: column 'run_id': is empty"),
        ({"run_id": None, "step": 1}, "x:3: column 'step': 1 is there already, of which run"),
    ],
    ids=["percent", "no size", "huge", "no run", "runs together"],
)
def test_rows_that_would_be_read_wrongly(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"run_id": "a", "step": [0, 1], "reward": [0.1, 0.2], "params": 7e9}).assign(**changed)
    frame = frame.drop(columns=[name for name in ("reward",) if "accuracy" in changed])
    frame.to_csv(tmp_path / "x", index=False)
    with pytest.raises(InputError, match=said):
        read_rl_curves(tmp_path / "x")


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    frame = pd.DataFrame({"step": ["0", "1k", "0"], "accuracy": ["20%", "30%", "10%"], "params": ["7B", "7B", "0.5B"]})
    frame.to_csv(tmp_path / "x.csv", index=False)
    small, large = read_rl_curves(tmp_path / "x.csv").curves
    assert (small.params, large.params, large.x.tolist()) == (5e8, 7e9, [0, 1000])
    np.testing.assert_allclose(large.value, [0.2, 0.3])


def test_the_flops_of_a_stage_fall_to_its_steps(tmp_path: Path) -> None:
    rewards = pd.DataFrame({"run_id": "a", "step": [0, 5, 10], "gold": [0.1, 0.2, 0.3], "kl": [0.0, 1.0, 2.0]})
    rewards.to_parquet(tmp_path / "rewards.parquet")
    pd.DataFrame([{"run_id": "a", "params": 7e3, "flops": 4e12, "stage": "ppo"}]).to_parquet(tmp_path / "runs.parquet")
    (curve,) = read_rl_curves(tmp_path).curves
    assert (curve.params, curve.x.tolist()) == (7e3, [0, 2e12, 4e12])


def test_the_command(tmp_path: Path) -> None:
    frame_of(sigmoids(3)).to_csv(tmp_path / "rl.csv", index=False)
    done = scaling("fit", tmp_path / "rl.csv", "--law", "rl-sigmoid", "--bootstrap", 50, "--json")
    made = json.loads(done.stdout)
    assert (done.returncode, made["law"], made["refused"], made["warnings"]) == (0, "rl-sigmoid", [], [])
    assert set(made["params"]) == set(made["intervals"]) == {"R0", "A", "B", "C_mid"}
    text = scaling("fit", tmp_path / "rl.csv", "--law", "rl-sigmoid", "--bootstrap", 0).stdout
    assert text.startswith("rl-sigmoid: R0 + (A - R0) / (1 + (C_mid / C)^B)    (2510.13786)")
    assert "forecasts   given" in text
    frame = frame_of(sigmoids(3))
    frame["params"] = [1e5 if run == "run-0" else 2e5 for run in frame["run_id"]]
    frame.to_csv(tmp_path / "rl.csv", index=False)
    done = scaling("fit", tmp_path / "rl.csv", "--law", "rl-sigmoid")
    assert (done.returncode, done.stdout) == (2, "")
    assert 'curves of 2 sizes (100k, 200k): the law is of one; choose with --where "params == ..."' in done.stderr
    assert scaling("fit", tmp_path / "rl.csv", "--law", "intrinsic").stderr.count("error: ") == 1
    assert "--best: does not apply" in scaling("fit", tmp_path / "rl.csv", "--law", "rl-power", "--best").stderr
