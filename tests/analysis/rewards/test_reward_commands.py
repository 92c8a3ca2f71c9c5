"""Rewards on the command line: fit, predict, freeze and score, and what they refuse."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from posttraining.reward_tables import best_of_n_rows, measured_rows

import scaling as sl
from analysis.rewards.laws import REINFORCEMENT
from scaling.cli import main

PAIRS = (128, 256, 512, 1024, 2048, 8192)


def rows() -> pd.DataFrame:
    generator = np.random.default_rng(5)
    runs = {pairs: (-0.35 + 0.12 * np.log(pairs) + generator.normal(0, 0.01), 0.25) for pairs in PAIRS}
    return best_of_n_rows(runs, {run: {"pairs": run} for run in runs}, 0.01, 5, -3.0)


@pytest.fixture
def tables(tmp_path: Path) -> tuple[str, str]:
    """A file of all rows with other names, and one without the target's."""
    made = rows().rename(columns={"gold": "truth", "pairs": "comparisons"})
    every, fitted = tmp_path / "all.csv", tmp_path / "fitted.csv"
    made.to_csv(every, index=False)
    made[made["comparisons"] != 8192].to_csv(fitted, index=False)
    return str(every), str(fitted)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def test_fit_predict_freeze_and_score(
    tables: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    every, fitted = tables
    code, out, _ = run(capsys, "fit", fitted, "--law", "overoptimization-bon", "--columns", "gold=truth", "--json")
    assert code == 0
    assert [each["pairs"] for each in json.loads(out)["runs"]] == list(PAIRS[:-1])
    frozen = str(tmp_path / "forecast.json")
    options = ("--columns", "gold=truth", "--where", "comparisons < 8192", "--pairs", "8192", "--n", "48")
    code, out, _ = run(capsys, "predict", every, *options, "--freeze", frozen, "--json")
    assert code == 0
    made = json.loads(out)
    assert 48.0 in made["points"]
    assert {"digest", *made} == set(json.loads(Path(frozen).read_text()))
    code, out, _ = run(capsys, "predict", frozen)
    assert code == 0
    assert out.startswith("peak ")
    code, out, _ = run(capsys, "score", frozen, every, "--write", str(tmp_path / "score.json"), "--json")
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "score.json").read_text())
    assert abs(json.loads(out)["peak_error"]) < 0.1


def test_a_refused_forecast_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, frozen = tmp_path / "measured.csv", tmp_path / "forecast.json"
    measured_rows([128, 512, 2048]).to_csv(table, index=False)
    code, out, err = run(capsys, "predict", str(table), "--pairs", "8k", "--freeze", str(frozen))
    assert code == 2
    assert out == ""
    assert "the forecast is refused: on fitted runs of more pairs the law's forecast misses" in err
    assert len(err.strip().splitlines()) == 1
    assert not frozen.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--n", "4"), "--n: does not apply to a forecast without --pairs"),
        (("--pairs", "8k", "--tokens", "3M"), "--tokens: does not apply to --pairs"),
        (("--pairs", "8k", "--n", "4", "--kl", "2"), "--n and --kl: give one of them"),
        (("--pairs", "8k", "--kl", "2"), "overoptimization-rl needs rows with 'kl' and without 'n'"),
        (("--pairs", "1024"), "has the target's 1024 pairs and is fitted; leave it out with --where"),
    ],
    ids=["no pairs", "tokens", "both", "other law", "fitted"],
)
def test_options_that_do_not_go_together(
    options: tuple[str, ...], message: str, tables: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "predict", tables[1], "--columns", "gold=truth", *options)
    assert code == 2
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_a_fit_says_where_a_table_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("n,gold\n1,0\n2,x\n0,1\n")
    code, _, err = run(capsys, "fit", str(path), "--law", "overoptimization")
    assert code == 2
    assert f"{path}:3: column 'gold': 'x' is not a number" in err
    assert f"{path}:4: column 'n': 0 is no number of samples" in err


def test_backtest(tables: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(
        capsys, "backtest", tables[1], "--law", "overoptimization-bon", "--columns", "gold=truth", "--json"
    )
    assert code == 0
    found = json.loads(out)
    assert found["refused"] is None
    assert found["together"]["gain"] < found["ways"]["best fitted run"]["gain"]
    assert found["runs"] == []
    code, _, err = run(
        capsys, "backtest", tables[1], "--law", "overoptimization-bon", "--columns", "gold=truth", "--splits", "rolling"
    )
    assert (code, "--splits: does not apply" in err) == (2, True)


def test_backtest_of_the_course_of_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "ppo.csv"
    runs = dict.fromkeys("ab", (0.6, 0.5))
    best_of_n_rows(runs, {run: {} for run in runs}, 0.002, law=REINFORCEMENT, d=np.linspace(0.05, 3, 100)).to_csv(table)
    code, out, _ = run(capsys, "backtest", str(table), "--law", "overoptimization")
    assert code == 0
    assert "refused: fewer than three numbers of pairs" in out
    assert "the last three quarters of each run from its first:" in out
    few = tmp_path / "few.csv"
    best_of_n_rows(runs, {run: {} for run in runs}, law=REINFORCEMENT, d=np.linspace(0.3, 3, 10)).to_csv(few)
    code, _, err = run(capsys, "backtest", str(few), "--law", "overoptimization-rl")
    assert (code, "nothing to test on" in err) == (2, True)


def test_the_front_door_takes_frames_and_trained_policies() -> None:
    made = sl.forecast_rewards(rows(), pairs=16_384)
    assert made.axis == "n"
    runs = {pairs: (-0.35 + 0.12 * np.log(pairs), 0.6) for pairs in PAIRS}
    trained = best_of_n_rows(runs, {run: {"pairs": run} for run in runs}, law=REINFORCEMENT, d=np.linspace(0.3, 2, 9))
    found = sl.forecast_rewards(trained, pairs=8192, kl=3.0, where="pairs < 8192")
    assert found.axis == "kl"
    assert sl.score_rewards(found, trained).rms < 0.01
    assert sl.fit_rewards(trained, bootstrap=0).law == "overoptimization-rl"
