"""Downstream: links recovered, the paper's forecasts found again, and which tasks are refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import curve_fit

from analysis.errors import InputError
from analysis.forecasting.downstream import TaskForecast, forecast_task, task_forecast
from analysis.forecasting.downstream.accuracy_links import LINKS, fit_link
from analysis.forecasting.ensemble import Ensemble, ensemble_of_arrays
from analysis.runs.arrays import RunArrays
from analysis.runs.table import read_table
from scaling.cli import main

KEPT: dict[tuple[bytes, str, int], Ensemble] = {}


@pytest.fixture(autouse=True)
def _one_ensemble(monkeypatch: pytest.MonkeyPatch) -> None:
    """The laws of one loss are the same for every task: fitted once, as they take seconds."""

    def once(points: RunArrays, law: str, bootstrap: int) -> Ensemble:
        key = (points.log_loss.tobytes(), law, bootstrap)
        if key not in KEPT:
            KEPT[key] = ensemble_of_arrays(points, law, bootstrap)
        return KEPT[key]

    monkeypatch.setattr(task_forecast, "ensemble_of_arrays", once)


LINK = {link.name: link for link in LINKS}
LOG_C = np.linspace(np.log(1e16), np.log(1e21), 24)
LOSS = 1.8 + 60.0 * np.exp(-0.09 * LOG_C)
BEYOND = np.array([np.log(1e22)])
LOSS_BEYOND = 1.8 + 60.0 * np.exp(-0.09 * BEYOND)


def accuracy(name: str, loss: np.ndarray, log_c: np.ndarray) -> np.ndarray:
    match name:
        case "exponential":
            return 0.2 + 3.0 * np.exp(-0.9 * loss)
        case "sigmoid":
            return 0.25 + 0.6 / (1 + np.exp(4.0 * (loss - 2.9)))
        case "direct":
            return 0.25 + 0.6 / (1 + np.exp(-0.6 * (log_c - np.log(1e19))))
    return 0.1 + 0.8 * np.exp(-np.exp(-0.4 * (log_c - np.log(1e19))))


@pytest.mark.parametrize("name", list(LINK))
def test_a_link_forecasts_its_own_form(name: str) -> None:
    fitted = fit_link(LINK[name], LOSS, LOG_C, accuracy(name, LOSS, LOG_C))
    assert np.abs(fitted.predict(LOSS, LOG_C) - accuracy(name, LOSS, LOG_C)).max() < 5e-4
    assert fitted.predict(LOSS_BEYOND, BEYOND)[0] == pytest.approx(accuracy(name, LOSS_BEYOND, BEYOND)[0], abs=2e-3)


@pytest.mark.parametrize("name", list(LINK))
@pytest.mark.parametrize("values", ["flat", "falling", "perfect", "noise"])
def test_a_link_stays_between_0_and_1_and_never_falls(name: str, values: str) -> None:
    rng = np.random.default_rng(0)
    seen = {
        "flat": np.full(24, 0.25),
        "falling": np.linspace(0.9, 0.1, 24),
        "perfect": np.ones(24),
        "noise": rng.uniform(0, 1, 24),
    }[values]
    log_c = np.linspace(LOG_C[0] - 5, LOG_C[-1] + 20, 200)
    foreseen = fit_link(LINK[name], LOSS, LOG_C, seen).predict(1.8 + 60.0 * np.exp(-0.09 * log_c), log_c)
    assert (foreseen >= 0).all()
    assert (foreseen <= 1).all()
    assert (np.diff(foreseen) >= -1e-12).all()


# The tasks on which 2403.08540 averages.
SEVENTEEN = [
    *(
        "arc_easy",
        "boolq",
        "commonsense_qa",
        "copa",
        "coqa",
        "hellaswag",
        "hellaswag_zeroshot",
        "lambada_openai",
        "piqa",
    ),
    *("pubmed_qa_labeled", "squad", "winograd", "bigbench_cs_algorithms", "bigbench_dyck_languages"),
    *("bigbench_novel_concepts", "bigbench_operators", "bigbench_qa_wikidata"),
]


@pytest.fixture(scope="module")
def gadre(published: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """Gadre's RedPajama runs with the average over the seventeen tasks."""
    frame = pd.read_csv(published / "gadre2024.csv")
    frame = frame[frame["train_data"] == "rpj"]
    frame = frame.assign(icl_average=frame[[f"icl_{task}" for task in SEVENTEEN]].mean(axis=1))
    path = tmp_path_factory.mktemp("gadre") / "runs.csv"
    frame.to_csv(path, index=False)
    return path, frame.sort_values("n_params")


def test_their_own_two_steps_give_their_errors(gadre: tuple[Path, pd.DataFrame]) -> None:
    """2403.08540: the average error of the 1.4B and 6.9B runs is foreseen to 3.6 % and 0.05 %."""
    _, frame = gadre
    # Their choice: four sizes at 20 tokens per parameter and the smallest at 320; for the error also 1.4B at 20.
    multiplier, size = frame["chinchilla_multiplier"], frame["n_params"]
    chosen = (multiplier == 1) & (size < 1e9) | (multiplier == 16) & (size < 2e7)
    few, six = frame[chosen], frame[chosen | (multiplier == 1) & (size < 2e9)]
    assert (len(few), len(six)) == (5, 6)

    def tied(x: np.ndarray, a: float, b: float, alpha: float, e: float) -> np.ndarray:
        return a * x[0] ** -alpha + b * x[1] ** -alpha + e

    def sizes(rows: pd.DataFrame) -> np.ndarray:
        return rows[["n_params", "tokens"]].to_numpy(float).T

    law, _ = curve_fit(tied, sizes(few), few["loss"], p0=[300.0, 300.0, 0.3, 1.0], maxfev=10_000)
    held_out = frame[frame["held_out_by_paper"] == 1]
    loss = tied(sizes(held_out), *law)
    np.testing.assert_allclose(loss / held_out["loss"] - 1, [0.0071, 0.0073], atol=5e-5)
    link = fit_link(LINK["exponential"], six["loss"].to_numpy(), np.zeros(6), six["icl_average"].to_numpy())
    error = (1 - link.predict(loss, np.zeros(2))) / (1 - held_out["icl_average"].to_numpy()) - 1
    np.testing.assert_allclose(error, [0.0364, 0.0005], atol=1e-4)


@pytest.mark.slow
def test_refusals_tell_which_tasks_would_be_missed(gadre: tuple[Path, pd.DataFrame]) -> None:
    """All 47 columns of accuracies, forecast from the cheaper runs and compared with the two runs held out."""
    path, frame = gadre
    tasks = [name for name in frame if name.startswith("icl_") and name != "icl_n_tasks"]
    table = read_table(path, where="held_out_by_paper == 0", extra=tasks)
    made: list[tuple[TaskForecast, float, float]] = []
    refused = set()
    for _, run in frame[frame["held_out_by_paper"] == 1].iterrows():
        for task in tasks:
            naive = table.fit.sort_values("flops")[task].iloc[-3:].mean()
            try:
                made.append((forecast_task(table, task, run["n_params"], run["tokens"]), run[task], naive))
            except InputError:
                refused.add(task.removeprefix("icl_"))
    assert {"mmlu", "math_qa", "siqa", "bbq", "agi_eval_sat_en", "winogender_mc_female"} <= refused
    assert not {"arc_easy", "hellaswag", "lambada_openai", "piqa", "average", "mean_acc_all"} & refused
    miss = np.array([f.accuracy - actual for f, actual, _ in made])
    naive_miss = np.array([naive - actual for _, actual, naive in made])
    covered = np.mean([f.interval[0] <= actual <= f.interval[1] for f, actual, _ in made])
    assert np.sqrt(np.mean(miss**2)) < 0.6 * np.sqrt(np.mean(naive_miss**2))
    assert np.mean(np.abs(miss) < np.abs(naive_miss)) > 0.85
    assert covered >= 0.9
    assert np.median([f.interval[1] - f.interval[0] for f, _, _ in made]) < 0.25


def runs(seed: int = 0) -> pd.DataFrame:
    """A grid of runs of a known law, and tasks of several kinds."""
    rng = np.random.default_rng(seed)
    n, ratio = (v.ravel() for v in np.meshgrid(np.geomspace(1e7, 1e9, 6), [10.0, 20.0, 40.0, 80.0]))
    frame = pd.DataFrame({"params": n, "tokens": n * ratio})
    mean = 1.7 + 400 / frame["params"] ** 0.34 + 400 / frame["tokens"] ** 0.28
    frame["loss"] = mean * np.exp(0.002 * rng.standard_normal(len(frame)))
    frame["other_loss"] = 0.9 * frame["loss"] - 0.3
    frame["rises"] = 0.25 + 0.6 / (1 + np.exp(5 * (mean - 3.0))) + 0.008 * rng.standard_normal(len(frame))
    frame["chance"] = 0.25 + 0.01 * rng.standard_normal(len(frame))
    frame["erratic"] = rng.uniform(0.2, 0.8, len(frame))
    return frame


def written(frame: pd.DataFrame, folder: Path) -> Path:
    frame.to_csv(folder / "runs.csv", index=False)
    return folder / "runs.csv"


TARGET = (3e9, 6e10)


@pytest.mark.parametrize("task_loss", ["loss", "other_loss"])
def test_a_task_that_follows_the_loss_is_forecast(task_loss: str, tmp_path: Path) -> None:
    table = read_table(written(runs(), tmp_path), extra=("rises", "other_loss"))
    made = forecast_task(table, "rises", *TARGET, task_loss=task_loss)
    mean = 1.7 + 400 / TARGET[0] ** 0.34 + 400 / TARGET[1] ** 0.28
    truth = 0.25 + 0.6 / (1 + np.exp(5 * (mean - 3.0)))
    assert made.accuracy == pytest.approx(truth, abs=0.03)
    assert made.interval[0] < truth < made.interval[1]
    assert made.loss == pytest.approx(mean if task_loss == "loss" else 0.9 * mean - 0.3, rel=0.01)
    assert made.backtest_error < made.naive_error / np.sqrt(2)
    assert sum(made.weights.values()) == pytest.approx(1)
    again = forecast_task(table, "rises", *TARGET, task_loss=task_loss)
    assert made == again
    wider = forecast_task(table, "rises", *TARGET, task_loss=task_loss, level=0.99)
    assert wider.interval[0] < made.interval[0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("task", ["chance", "erratic"])
def test_a_task_without_a_trend_is_refused_with_its_backtest_error(task: str, seed: int, tmp_path: Path) -> None:
    table = read_table(written(runs(seed), tmp_path), extra=(task,))
    with pytest.raises(InputError, match=rf"{task} does not scale predictably: .* misses by 0\.\d+ of accuracy"):
        forecast_task(table, task, *TARGET)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.assign(rises=100 * f["rises"]), ":2: column 'rises': .* is no accuracy between 0 and 1"),
        (lambda f: f.assign(rises=["high", *f["rises"][1:]]), ":2: column 'rises': 'high' is not a number"),
        (lambda f: f.assign(rises=[0.3] * 5 + [None] * (len(f) - 5)), "5 runs with 'rises' are too few"),
        (lambda f: f.assign(other_loss=0.0), ":2: column 'other_loss': 0 is not a positive number"),
        (lambda f: f.assign(tokens=1e18 / f["params"]), "too few FLOP budgets"),
        (lambda f: f.rename(columns={"rises": "rised"}), "no column 'rises' .*did you mean 'rised'"),
    ],
    ids=["percent", "text", "gaps", "loss", "one budget", "absent"],
)
def test_bad_columns_are_one_line(change: object, message: str, tmp_path: Path) -> None:
    assert callable(change)
    path = written(change(runs()), tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        forecast_task(read_table(path, extra=("rises", "other_loss")), "rises", *TARGET, task_loss="other_loss")
    assert len(caught.value.errors) == 1


def run(*args: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(arg) for arg in args])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(runs(), tmp_path)
    at = ("--params", "3B", "--tokens", "60B")
    assert run("predict", path, "--task", "rises", "--task-loss", "other_loss", *at, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    keys = "task accuracy interval level method backtest_error extrapolation loss warnings"
    assert set(keys.split()) <= set(printed)
    assert run("predict", path, "--task", "rises", *at) == 0
    assert capsys.readouterr().out.startswith("accuracy       0.")
    assert run("predict", path, "--task", "chance", *at) == 2
    assert capsys.readouterr().err.startswith("error: chance does not scale predictably")
    assert run("predict", path, "--task", "rises", *at, "--law", "chinchilla") == 2
    assert run("predict", path, "--task-loss", "other_loss", *at) == 2
    assert "does not apply to a forecast without --task" in capsys.readouterr().err
