"""Tables of fine-tuning on the command line: one law by name, a frozen forecast scored, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scaling.cli import main

EXAMPLES = 200.0 * 2.0 ** np.arange(12)
LOSS = (0.7 + 560.0 / (160.0 + EXAMPLES**0.45)) * np.exp(0.004 * np.random.default_rng(0).standard_normal(12))


def run(*args: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(arg) for arg in args])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    assert run(*args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("error: ")


@pytest.fixture
def curve(tmp_path: Path) -> Path:
    frame = pd.DataFrame({"params": 2.56e8, "examples": EXAMPLES, "loss": LOSS, "role": ["fit"] * 11 + ["target"]})
    frame.to_csv(tmp_path / "curve.csv", index=False)
    return tmp_path / "curve.csv"


def test_one_law_is_fitted_by_name(curve: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fit", curve, "--law", "rectified", "--bootstrap", 20, "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["law"] == "rectified"
    assert list(made["params"]) == ["E", "B", "D_l", "b"]
    assert "columns-read" in [warning["code"] for warning in made["warnings"]]


def test_a_forecast_of_more_examples_is_frozen_and_scored(curve: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frozen = curve.parent / "forecast.json"
    target = ("--params", "256M", "--tokens", EXAMPLES[-1])
    assert run("predict", curve, *target, "--bootstrap", 20, "--freeze", frozen, "--json") == 0
    assert set(json.loads(capsys.readouterr().out)["weights"]) == {"rectified", "data"}
    assert run("score", frozen, curve, "--json") == 0
    assert abs(json.loads(capsys.readouterr().out)["error"]) < 0.03


def test_a_forecast_of_pairs_keeps_its_unit(curve: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv(curve).rename(columns={"examples": "pairs"})
    frame.to_csv(curve, index=False)
    frozen = curve.parent / "forecast.json"
    made = ("predict", curve, "--params", "256M", "--tokens", EXAMPLES[-1], "--bootstrap", 20)
    assert run(*made, "--freeze", frozen) == 0
    assert " nats per pair, 90% interval" in capsys.readouterr().out
    assert json.loads(frozen.read_text())["stage"] == "reward"
    assert run("score", frozen, curve) == 0
    assert "nats per pair" in capsys.readouterr().out.splitlines()[0]


def test_a_row_of_the_start_is_one_line(curve: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv(curve)
    pd.concat([frame, frame.iloc[:1].assign(examples=0)]).to_csv(curve, index=False)
    line = refused(capsys, "fit", curve)
    assert line.startswith(f"{curve}:14: column 'tokens': 0.0 is not a positive number: a row of the start")
    assert line.endswith('leave it out with --where "tokens > 0"')


def test_a_law_of_one_size_on_several_is_one_line(curve: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv(curve).drop(columns="role")
    pd.concat([frame, frame.assign(params=1e9, loss=frame["loss"] * 0.9)]).to_csv(curve, index=False)
    line = refused(capsys, "fit", curve, "--law", "rectified")
    assert line == (
        "rectified is a law of one size, and the runs have 2 of which the larger do better: choose one with --where, "
        "such as params == 1000000000, or fit finetuning-rectified"
    )


def test_mixed_stages_are_one_line(curve: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv(curve)
    frame.assign(role="fit", stage=["sft", "dpo"] * 6).to_csv(curve, index=False)
    line = refused(capsys, "backtest", curve)
    assert line == (
        f"{curve}: column 'stage': rows of 'dpo' and 'sft' in one table: their losses are not comparable; choose one "
        "with --where \"stage == 'dpo'\""
    )
