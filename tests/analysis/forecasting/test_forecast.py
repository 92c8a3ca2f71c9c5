"""Forecasts: right on known laws, honest intervals, frozen for good, and scored."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic import chinchilla, sweep

from analysis.errors import InputError
from analysis.forecasting.ensemble import ensemble_of_arrays
from analysis.forecasting.forecast import Forecast, forecast, read_forecast, refuse_known
from analysis.forecasting.score import read_score, score
from analysis.runs.arrays import RunArrays, inputs_at
from analysis.runs.table import RunTable, read_table

FRAME = sweep()
TARGET = FRAME[FRAME.role == "target"].iloc[0]
SIZE, LENGTH = float(TARGET.params), float(TARGET.tokens)


def made(frame=FRAME, **options: object) -> Forecast:  # type: ignore[no-untyped-def]
    table = RunTable.from_frame(frame)
    return forecast(table, SIZE, LENGTH, target_seeds=3, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def frozen() -> Forecast:
    return made(bootstrap=200)


def test_a_clean_sweep_is_forecast_well(frozen: Forecast) -> None:
    truth = chinchilla(SIZE, LENGTH)
    assert frozen.loss == pytest.approx(truth, rel=0.02)
    low, high = frozen.interval
    assert low < truth < high
    assert (high - low) / 2 < 0.03 * truth
    assert frozen.extrapolation == pytest.approx(10, rel=0.01)
    assert sum(frozen.weights.values()) == pytest.approx(1)
    assert frozen.law == max(frozen.weights, key=lambda name: frozen.weights[name])
    assert frozen.noise["run"] == pytest.approx(0.004, rel=0.5)


def test_beats_the_naive_forecasts(frozen: Forecast) -> None:
    result = score(frozen, RunTable.from_frame(FRAME))
    assert len(result.baselines) == 2
    assert all(abs(baseline.error) > 2 * abs(result.error) for baseline in result.baselines.values())


@pytest.mark.parametrize("noise", [0.004, pytest.param(0.01, marks=pytest.mark.slow)])
def test_intervals_cover_unseen_sweeps(noise: float) -> None:
    """Three seeds' mean, forecast from sweeps of the law's own form and of another: 90 % intervals."""

    def bent(params: float, tokens: float) -> float:
        return 0.6 + (30 / params**0.6 + 400 / tokens**0.6) ** 0.6

    inside = []
    for seed in range(10):
        frame = sweep(100 + seed, noise, loss=chinchilla if seed % 2 else bent)
        table = RunTable.from_frame(frame)
        target = table.targets
        fitted = ensemble_of_arrays(RunArrays.of(table.fit), "auto", 60)
        at = inputs_at(*(target[name].iloc[:1] for name in ("params", "tokens", "flops")))
        _, low, high = fitted.predict(at, 0.9, seeds=3)
        inside.append(low < target["loss"].mean() < high)
    # At 90 % the chance of 6 or fewer of 10 is 1.3 %; the sweeps are fixed, so this is no lottery.
    assert sum(inside) >= 7


def test_the_interval_grows_with_extrapolation_level_and_noise() -> None:
    def width(frame=FRAME, times: float = 1.0, **options: object) -> float:  # type: ignore[no-untyped-def]
        result = forecast(
            RunTable.from_frame(frame),
            SIZE * times,
            LENGTH * times,
            law="chinchilla",
            bootstrap=100,
            **options,  # type: ignore[arg-type]
        )
        return (result.interval[1] - result.interval[0]) / result.loss

    assert width() < width(times=5)
    assert width(level=0.5) < width(level=0.9)
    assert width() < width(sweep(noise=0.02))
    assert width(target_seeds=8) < width()


def test_same_table_same_forecast(frozen: Forecast) -> None:
    assert replace(made(bootstrap=200), created=frozen.created) == frozen


def test_the_order_of_rows_does_not_matter(frozen: Forecast) -> None:
    shuffled = made(FRAME.sample(frac=1, random_state=3), bootstrap=200)
    assert replace(shuffled, created=frozen.created) == frozen


def test_a_target_among_the_fitted_runs_is_not_frozen() -> None:
    table = RunTable.from_frame(FRAME)
    refuse_known(table, SIZE, LENGTH)  # its runs have the role of target
    with pytest.raises(
        InputError, match=r"table:33: the target's size and length are among the fitted runs' .3 of them"
    ):
        refuse_known(RunTable.from_frame(FRAME.assign(role="fit")), SIZE, LENGTH)


def test_freezing_is_for_good(frozen: Forecast, tmp_path: Path) -> None:
    path = tmp_path / "forecast.json"
    assert frozen.freeze(path) == frozen
    assert read_forecast(path) == frozen
    # Made again, later: the first one stands.
    assert replace(frozen, created="2030-01-01T00:00:00+00:00").freeze(path) == frozen
    with pytest.raises(InputError, match="holds another frozen forecast"):
        replace(frozen, loss=1.0).freeze(path)
    assert list(tmp_path.iterdir()) == [path]


def test_of_two_that_freeze_at_once_the_first_wins(
    frozen: Forecast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "forecast.json"
    link = os.link

    def overtaken(source: Path, target: Path) -> None:
        path.write_text(frozen.to_json())  # another process, just before ours
        link(source, target)

    monkeypatch.setattr(os, "link", overtaken)
    assert replace(frozen, created="2030-01-01T00:00:00+00:00").freeze(path) == frozen
    with pytest.raises(InputError, match="holds another frozen forecast"):
        replace(frozen, loss=1.0).freeze(path)
    assert read_forecast(path) == frozen
    assert list(tmp_path.iterdir()) == [path]


def test_a_changed_forecast_is_refused(frozen: Forecast, tmp_path: Path) -> None:
    path = tmp_path / "forecast.json"
    frozen.freeze(path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "loss": 1.0}))
    with pytest.raises(InputError, match="changed after it was frozen"):
        read_forecast(path)
    path.write_text("{}")
    with pytest.raises(InputError, match="not a forecast"):
        read_forecast(path)


def test_score(frozen: Forecast, tmp_path: Path) -> None:
    table = RunTable.from_frame(FRAME)
    result = score(frozen, table)
    losses = FRAME[FRAME.role == "target"].loss
    assert result.actual == pytest.approx(losses.mean())
    assert result.error == pytest.approx(frozen.loss / losses.mean() - 1)
    assert result.covered == (frozen.interval[0] <= losses.mean() <= frozen.interval[1])
    assert [run.loss for run in result.actuals] == losses.tolist()
    assert [run.seed for run in result.actuals] == [0, 1, 2]
    assert result.seed_std == pytest.approx(np.log(losses).std())
    frozen.freeze(tmp_path / "forecast.json")
    assert result.forecast_sha256 == read_forecast(tmp_path / "forecast.json").sha256
    result.write(tmp_path / "score.json")
    assert read_score(tmp_path / "score.json") == result


def test_the_sha256_is_that_of_the_file(frozen: Forecast, tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "forecast.json"
    frozen.freeze(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == frozen.sha256


def test_score_refuses_another_table_and_a_target_not_run(frozen: Forecast) -> None:
    with pytest.raises(InputError, match="not the table that the forecast was made from"):
        score(frozen, RunTable.from_frame(sweep(seed=1)))
    with pytest.raises(InputError, match="no finished run at the forecast's"):
        score(frozen, RunTable.from_frame(FRAME[FRAME.role == "fit"]))


def test_a_table_without_roles_is_scored_at_the_target(tmp_path: Path) -> None:
    plain = FRAME.drop(columns=["role", "status", "trunk_id"])
    lower = plain[FRAME.role == "fit"]
    before = forecast(RunTable.from_frame(lower), SIZE, LENGTH, bootstrap=50)
    assert len(score(before, RunTable.from_frame(plain)).actuals) == 3
    plain.to_csv(tmp_path / "all.csv", index=False)
    where = f"flops <= {lower.flops.max()}"
    filtered = forecast(read_table(tmp_path / "all.csv", where=where), SIZE, LENGTH, bootstrap=50)
    assert len(score(filtered, read_table(tmp_path / "all.csv", where=filtered.where)).actuals) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 90.0}, "`interval` = 90.0"),
        ({"bootstrap": 3}, "`bootstrap` = 3"),
        ({"flops": -1.0}, "`flops` = -1.0"),
        ({"law": "chinch"}, "did you mean 'chinchilla'"),
    ],
)
def test_impossible_requests(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        made(**options)


def test_the_keys_of_a_frozen_forecast(frozen: Forecast) -> None:
    """Files frozen before are read for years: no key goes, and none is renamed."""
    made = frozen.to_dict()
    assert set(made["calibration"]) == {"splits", "tested", "scale", "form"}
    assert set(made["noise"]) == {"run", "replicates", "by_budget"}
    foci = made["fits"]["chinchilla"]["foci"]
    assert [set(member) for member in foci] == [{"focus", "weight", "params"}] * 3
    assert [member["focus"] for member in foci] == [None, 0.2, 0.05]
