"""The commands of analysis: the keys of the contract, exit codes, and one line per error."""

import json
from pathlib import Path
from typing import Any

import pytest
from synthetic import sweep

from scaling.cli import main

FRAME = sweep()
TARGET = FRAME[FRAME.role == "target"].iloc[0]
AT = ["--params", str(TARGET.params), "--tokens", str(TARGET.tokens)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    FRAME.to_parquet(tmp_path / "runs.parquet")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *args: object) -> Any:
    """The JSON object of a command that succeeds."""
    with pytest.raises(SystemExit) as exit_info:
        main([str(arg) for arg in (*args, "--json")])
    captured = capsys.readouterr()
    assert exit_info.value.code == 0, captured.err
    return json.loads(captured.out)


def refusal(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    """The one line of a command that refuses its input."""
    with pytest.raises(SystemExit) as exit_info:
        main([str(arg) for arg in args])
    captured = capsys.readouterr()
    assert exit_info.value.code == 2
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_fit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = run(capsys, "fit", folder, "--law", "chinchilla", "--bootstrap", 50)
    assert {"law", "params", "stderr", "objective", "status", "n_runs", "warnings"} <= set(one)
    assert list(one["params"]) == list(one["stderr"]) == ["E", "A", "B", "alpha", "beta"]
    auto = run(capsys, "fit", folder, "--bootstrap", 50)
    assert set(auto["laws"]) == set(auto["weights"])
    assert auto["law"] == max(auto["weights"], key=auto["weights"].get)
    assert auto["laws"]["chinchilla"]["params"] == one["params"]


def test_predict_freeze_and_score(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "forecast.json"
    options = ["--law", "chinchilla", "--bootstrap", 50, "--seeds", 3]
    made = run(capsys, "predict", folder, *AT, *options, "--freeze", file)
    keys = {"law", "loss", "interval", "level", "extrapolation", "weights", "warnings"}
    assert keys <= set(made)
    assert made["interval"][0] < made["loss"] < made["interval"][1]
    assert run(capsys, "predict", file) == made
    scored = run(capsys, "score", file, folder, "--write", folder / "score.json")
    keys = {"predicted", "actual", "error", "interval", "covered", "extrapolation", "forecast_sha256"}
    assert keys <= set(scored)
    assert scored == json.loads((folder / "score.json").read_text())
    assert "is frozen for" in refusal(capsys, "predict", file, "--params", "8B", "--tokens", "1T")


def test_predict_from_published_constants(capsys: pytest.CaptureFixture[str]) -> None:
    made = run(capsys, "predict", "published:chinchilla-epoch", "--model", "llama3-8b", "--tokens", "15T")
    assert made["loss"] == pytest.approx(1.8172 + 482.01 / 8030261248**0.3478 + 2085.43 / 15e12**0.3658)
    assert made["interval"] is None


def test_allocate(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best = run(capsys, "allocate", folder, "--flops", "3e12")
    keys = {"params", "tokens", "flops", "loss", "tokens_per_param", "near_optimal"}
    assert keys <= set(best)
    low, high = best["near_optimal"]["params"]
    assert low < best["params"] < high
    assert best["tokens_per_param"] == pytest.approx(best["tokens"] / best["params"])
    assert {"interval", "covers", "extrapolation", "weights", "total_flops", "optimum"} <= set(best)


def test_backtest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, "backtest", folder, "--train-below", "1.1e11", "--law", "chinchilla")
    (split,) = result["splits"]
    assert {"train_below", "extrapolation", "n_train", "n_test", "laws"} == set(split)
    assert {"are", "signed", "covered", "half_width"} == set(split["laws"]["chinchilla"])
    assert {"mean_are", "worst_are", "coverage", "median_half_width"} == set(result["summary"]["chinchilla"])


@pytest.mark.parametrize("kind", ["flops", "tokens", "isoflop"])
def test_plot(folder: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "plot", kind, folder, "-o", folder / "figure.svg")
    assert "<svg" in (folder / "figure.svg").read_text()


def test_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "report", folder)["report"] == str(folder / "report.html")


@pytest.mark.parametrize(
    ("args", "violation"),
    [
        (["fit", "none.csv"], "none.csv: no such file"),
        (["fit", "{folder}", "--law", "chinchila"], "did you mean 'chinchilla'"),
        (["fit", "{folder}", "--where", "flop < 1"], "did you mean 'flops'"),
        (["fit", "{folder}", "--where", "__import__('os')"], "is not allowed"),
        (["fit", "{folder}", "--columns", "params"], "is not NAME=COLUMN"),
        (["fit", "{folder}", "--columns", "parms=params"], "did you mean 'params'"),
        (["predict", "{folder}", "--tokens", "1T"], "exactly one of --model and --params"),
        (["predict", "{folder}", "--params", "1M"], "give --tokens"),
        (["predict", "{folder}", "--model", "llama3-9b", "--tokens", "1T"], "llama3-8b"),
        (["predict", "{folder}", *AT, "--interval", "120%"], "not between 0 and 1"),
        (["predict", "none.json"], "none.json: not a readable forecast"),
        (["score", "none.json", "{folder}"], "none.json: not a readable forecast"),
        (["allocate", "published:chinchilla", "--flops", "1e21"], "did you mean"),
        (["allocate", "{folder}", "--flops", "-1"], "not positive"),
        (["plot", "isoflop", "{folder}", "-o", "figure.gif"], "write .png, .svg or .pdf"),
        (["plot", "residuals", "{folder}", "-o", "figure.png"], "no forecast.json"),
        (["report", "none"], "no runs.parquet"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path, args: list[str], violation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert violation in refusal(capsys, *(arg.format(folder=folder) for arg in args))
