"""Every kind of log gives the runs that were logged: parameters, tokens and loss of their ends, and their states."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest
from foreign.written import BATCH, WRITERS, Run, law, llama_params

from scaling.api.imports import import_runs

RUNS = [Run("small", 20_000_000, 3000), Run("longer", 20_000_000, 9000), Run("large", 60_000_000, 6000, state="failed")]
SLOW = {"wandb-offline", "mlflow-database", "mlflow-files"}  # processes of their own
# What tells that a run has not finished; the other kinds do not say.
STATES = {
    "wandb-csv": "failed",
    "wandb-offline": "failed",
    "mlflow-database": "FAILED",
    "mlflow-files": "FAILED",
    "levanter": "running",
    "excel": "failed",
}
KINDS = [pytest.param(kind, marks=[pytest.mark.slow] if kind in SLOW else []) for kind in WRITERS]


def written(kind: str, folder: Path, runs: list[Run]) -> Path:
    """The log of some runs, as its tool writes it; skipped where the tool is not installed."""
    write, package = WRITERS[kind]
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}")
    return write(folder, runs)


def expected(kind: str, run: Run) -> tuple[float, float, float]:
    """Parameters, tokens and loss of a run."""
    params = llama_params(run.params // 10_000) if kind == "trainer" else run.params
    return params, run.tokens, law(params, run.tokens)


@pytest.mark.parametrize("kind", KINDS)
def test_the_ends_of_runs(kind: str, tmp_path: Path) -> None:
    source = written(kind, tmp_path, RUNS)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    made = import_runs(source, tmp_path / "made" / "runs.parquet")
    assert {path: path.read_bytes() for path in before} == before
    frame = pd.read_parquet(tmp_path / "made" / "runs.parquet").sort_values(["params", "tokens"])
    assert len(frame) == len(RUNS)
    for run, row in zip(RUNS, frame.to_dict("records"), strict=True):
        params, tokens, loss = expected(kind, run)
        assert row["params"] == params
        assert row["tokens"] == tokens
        assert row["loss"] == pytest.approx(loss, rel=1e-4)  # what prints losses rounds them
        assert kind == "wandb-synced" or row["run_id"] == run.name
    if kind in STATES:
        assert made.runs.unfinished == {"large": STATES[kind]}
        assert list(frame["status"].str.lower() == "finished") == [True, True, False]
    losses = ("eval/loss", "val_loss", "loss/val", "eval_loss", "val loss", "Eval Loss")
    assert made.to_dict()["recognised"]["loss"] in losses
    check_settings(kind, frame)


def check_settings(kind: str, frame: pd.DataFrame) -> None:
    """Settings come along, in the schema's names."""
    if kind not in ("wandb-synced", "excel", "llmc"):
        assert frame["lr"].tolist() == pytest.approx([0.001] * len(frame), rel=0.2)
    if kind in ("mlflow-database", "mlflow-files", "tensorboard", "excel", "wandb-csv"):
        assert set(frame["corpus"]) == {"c4"}
    if kind in ("nanogpt", "llmc"):
        assert set(frame["batch_tokens"]) == {BATCH}
    if kind == "levanter":
        assert set(zip(frame["width"], frame["seed"], strict=True)) == {(64, 3)}
