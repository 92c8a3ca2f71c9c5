"""``scaling recipe``: the keys of the contract, what is printed, and one line per error."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scaling.cli import main


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """A sweep's folder: rates at one batch for nine sizes and lengths of one corpus, lr = 2 N^-0.7 D^0.3."""
    rng = np.random.default_rng(0)
    rows = [
        {"params": n, "tokens": d, "lr": lr, "batch_tokens": 4096, "seed": s, "corpus": "text", "role": "fit"}
        for n in (1e5, 1e6, 1e7)
        for d in (1e7, 1e8, 1e9)
        for lr in 2 * n**-0.7 * d**0.3 * np.array([0.25, 0.5, 1, 2, 4])
        for s in (0, 1)
    ]
    frame = pd.DataFrame(rows)
    off = np.log(frame["lr"] / (2 * frame["params"] ** -0.7 * frame["tokens"] ** 0.3))
    frame["loss"] = 2 * np.exp(0.01 * off**2 + 0.001 * rng.standard_normal(len(frame)))
    frame.to_parquet(tmp_path / "runs.parquet")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], code: int, *args: object) -> tuple[str, str]:
    with pytest.raises(SystemExit) as exit_info:
        main([str(arg) for arg in args])
    captured = capsys.readouterr()
    assert exit_info.value.code == code, captured.err
    return captured.out, captured.err


def test_fit_json(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, 0, "recipe", "fit", grid, "--json")
    reported = json.loads(out)
    assert set(reported) == {"learning_rate", "batch_tokens", "cells", "warnings", "n_runs", "table_hash"}
    assert set(reported["learning_rate"]) == {"step", "deepseek"}
    step = reported["learning_rate"]["step"]
    assert step["params"] == pytest.approx({"c": 2, "a": -0.7, "b": 0.3}, rel=0.3)
    assert set(step["stderr"]) == {"c", "a", "b"}
    assert reported["batch_tokens"] is None
    assert reported["n_runs"] == 90
    assert len(reported["cells"]) == 9
    assert {"params", "tokens", "lr", "lr_stderr", "batch_tokens", "batch_tokens_stderr", "runs", "fault"} <= set(
        reported["cells"][0]
    )


def test_fit_prints_laws_and_cells(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys, 0, "recipe", "fit", grid)
    assert "lr = c N^a D^b    (2503.04715)" in out
    assert "lr = c C^a    (2401.02954)" in out
    assert "batch tokens = " not in out
    assert sum(line.endswith("text") for line in out.splitlines()) == 9
    assert err == ""


def test_fit_prints_no_number_that_is_not_known(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = pd.read_parquet(grid / "runs.parquet")
    rows[rows["tokens"] == rows["tokens"].min()].to_csv(grid / "line.csv", index=False)
    out, err = run(capsys, 0, "recipe", "fit", grid / "line.csv")
    assert [line.split()[1:3] for line in out.splitlines()[1:4:2]] == [["not", "known"]] * 2
    assert out.splitlines()[2].startswith("a        -0.")
    assert "[collinear]" in err


def test_fit_prints_the_best_weight_decay_of_each_cell(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_parquet(grid / "runs.parquet")
    usual = frame.groupby(["params", "tokens"])["lr"].transform("median")
    frame.assign(weight_decay=frame["lr"] / usual, lr=0.01).to_csv(grid / "decays.csv", index=False)
    out, _ = run(capsys, 0, "recipe", "fit", grid / "decays.csv")
    assert out.startswith("no law: learning rate and batch were not tuned")
    assert "best weight decay" in out
    assert "best lr" not in out
    assert sum(" +- " in line for line in out.splitlines()) == 9


def test_where_and_columns(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_parquet(grid / "runs.parquet").rename(columns={"lr": "eta", "params": "n_nonemb"})
    frame.to_csv(grid / "theirs.csv", index=False)
    columns = ["--columns", "params=n_nonemb,lr=eta"]
    out, _ = run(capsys, 0, "recipe", "fit", grid / "theirs.csv", *columns, "--where", "n_nonemb < 5e6", "--json")
    assert json.loads(out)["n_runs"] == 60


@pytest.mark.parametrize(
    ("args", "violation"),
    [
        (["fit", "none.csv"], "none.csv: no such file"),
        (["fit", "{grid}", "--columns", "lr=seed"], "no size and length was trained at 3 values"),
        (["fit", "{grid}", "--where", "params == 1e5 and tokens == 1e7"], "optima at two different FLOPs"),
        (["fit", "{grid}", "--best"], "No such option"),
        (["fti", "{grid}"], "No such command"),
    ],
)
def test_bad_input_is_one_line(grid: Path, args: list[str], violation: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys, 2, "recipe", *(arg.format(grid=grid) for arg in args))
    assert out == ""
    (line,) = err.splitlines()
    assert violation in line


def test_alone_it_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, 0, "recipe")
    assert "fit" in out
    assert "Tune and check the recipe" in out
