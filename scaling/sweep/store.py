"""A sweep's folder: run folders, their locks and metrics, and the tables made from them.

A run's folder holds ``config.json``, ``metrics.jsonl``, ``status.json``, ``lock`` and, while it trains,
``checkpoints/``. Tables are derived and can always be rebuilt.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from scaling.errors import InputError
from scaling.hardware import mfu
from scaling.llama.counts import count_params
from scaling.sweep.arrangement import without_arrangement
from scaling.sweep.design import PlannedRun
from scaling.train.config import RunConfig, read_config

ENDED = ("done", "diverged")
PLAN = "plan.json"
RUNS, TRUNKS = "runs", "trunks"


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Writes a table whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    frame.to_parquet(temporary, index=False)
    os.replace(temporary, path)


@dataclass(frozen=True)
class RunFolder:
    """One run's files."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def config(self) -> RunConfig:
        file = self.path / "config.json"
        try:
            return read_config(file.read_text(), str(file))
        except OSError as error:
            raise InputError(f"{file}: {error.strerror}") from None

    def status(self) -> dict[str, Any]:
        """``state`` (planned, running, done, diverged) and what else is known; planned if nothing was written."""
        file = self.path / "status.json"
        try:
            status: dict[str, Any] = json.loads(file.read_text())
        except FileNotFoundError:
            return {"state": "planned"}
        except ValueError:
            raise InputError(f"{file}: damaged; remove it to have the run trained again") from None
        return status

    def write_status(self, status: dict[str, Any]) -> None:
        write_text(self.path / "status.json", json.dumps(status))

    def finish(self, status: dict[str, Any]) -> None:
        """Writes the last status; only then are the checkpoints superfluous."""
        self.write_status(status)
        self.drop_checkpoints()

    def drop_checkpoints(self) -> None:
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def log(self, row: dict[str, Any]) -> None:
        """Appends a row of metrics in a single write, so that a crash tears the last row at most."""
        descriptor = os.open(self.path / "metrics.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, (json.dumps(row) + "\n").encode())
        finally:
            os.close(descriptor)

    def metrics(self) -> list[dict[str, Any]]:
        """The rows in order of their step; a torn line is passed over, and of a step's rows the last one counts."""
        rows: dict[int, dict[str, Any]] = {}
        try:
            lines = (self.path / "metrics.jsonl").read_bytes().splitlines()
        except FileNotFoundError:
            return []
        for line in lines:
            try:
                row = json.loads(line)
                rows[row["step"]] = row
            except (ValueError, KeyError, TypeError):
                continue
        return [rows[step] for step in sorted(rows)]

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Holds the run's lock; yields False at once if another process has it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / "lock", "a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


@dataclass(frozen=True)
class SweepFolder:
    """A sweep's files."""

    path: Path

    def run(self, run_id: str) -> RunFolder:
        return RunFolder(self.path / RUNS / run_id)

    def trunk(self, trunk_id: str) -> RunFolder:
        """Lock, metrics and checkpoints of a trunk, made when it is first trained."""
        return RunFolder(self.path / TRUNKS / trunk_id)

    def prepare(self, canonical: dict[str, Any], source: str, plan: list[PlannedRun], may_grow: bool = False) -> None:
        """Makes the folder and every run's config, or leaves everything as it was.

        Args:
            canonical: the validated sweep, by which a later call knows it again.
            source: the sweep file's text, kept for readers.
            plan: its runs.
            may_grow: whether the sweep may be the one that the folder holds with more runs, the fitted ones all kept;
                be without its target for now; or have another target, as long as none of the old one's runs has begun.

        Raises:
            InputError: the folder holds another sweep, or cannot be written.
        """
        runs = [{"id": run.id, "role": run.role} for run in plan]
        existing = self._plan()
        if existing is not None:
            lost = [run for run in existing["runs"] if run not in runs]
            if not may_grow or any(run["role"] == "fit" for run in lost):
                self._refuse_other(existing, canonical, runs)
            same = existing["sweep"].get("target") == canonical.get("target")
            if same and "target" not in {run.role for run in plan}:
                runs += lost  # left for later
            elif any(self.run(run["id"]).status()["state"] != "planned" for run in lost):
                raise InputError(
                    f"{self.path}: holds another target, whose training has begun; choose another --out or remove it"
                )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for run in plan:
                folder = self.run(run.id).path
                folder.mkdir(parents=True, exist_ok=True)
                write_text(folder / "config.json", run.config.to_json())
            write_text(self.path / "sweep.yaml", source)
            write_text(self.path / PLAN, json.dumps({"sweep": canonical, "runs": runs}))
        except OSError as error:
            raise InputError(f"{self.path}: cannot write the sweep's folder: {error.strerror}") from None

    def _refuse_other(self, existing: dict[str, Any], canonical: dict[str, Any], runs: list[dict[str, str]]) -> None:
        before, now = without_arrangement(existing["sweep"]), without_arrangement(canonical)
        if before != now:
            changed = sorted(key for key in {*now, *before} if now.get(key) != before.get(key))
            raise InputError(
                f"{self.path}: holds another sweep (different: {', '.join(changed)}); choose another --out or remove it"
            )
        if existing["runs"] != runs:
            raise InputError(
                f"{self.path}: the same sweep file gives other runs than before (another corpus or version); "
                "choose another --out or remove it"
            )

    def _plan(self) -> dict[str, Any] | None:
        try:
            plan: dict[str, Any] = json.loads((self.path / PLAN).read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path / PLAN}: unreadable: {error}") from None
        return plan

    def runs(self, role: str | None = None) -> list[str]:
        """Ids of the planned runs, of one role or all, in the plan's order."""
        return [run["id"] for run in self._made()["runs"] if role in (None, run["role"])]

    def sweep(self) -> dict[str, Any]:
        """The sweep as JSON has it."""
        sweep: dict[str, Any] = self._made()["sweep"]
        return sweep

    def _made(self) -> dict[str, Any]:
        plan = self._plan()
        if plan is None:
            raise InputError(f"{self.path}: no sweep's folder (it has no {PLAN})")
        return plan

    def table(self) -> pd.DataFrame:
        """One row per finished run, in the plan's order, with the columns of the table of runs."""
        plan = self._plan() or {"sweep": {"name": ""}, "runs": []}
        rows = []
        for entry in plan["runs"]:
            folder = self.run(entry["id"])
            status = folder.status()
            if status["state"] in ENDED:
                rows.append(_row(folder.config(), status, entry["role"], plan["sweep"]["name"]))
        return pd.DataFrame(rows)

    def curves(self) -> pd.DataFrame:
        """The logged training losses: run_id, tokens, loss (nats per token, mean over a dispatch), kind."""
        rows = []
        for run_id in self.runs():
            folder = self.run(run_id)
            config, metrics = folder.config(), folder.metrics()
            if config.trunk is not None and metrics:
                shared = self.trunk(config.trunk_id).metrics()
                metrics = [row for row in shared if row["step"] <= config.branch_step] + metrics
            batch = config.recipe.batch_tokens
            rows += [(run_id, row["step"] * batch, _number(row["loss"]), "train") for row in metrics]
        return pd.DataFrame(rows, columns=["run_id", "tokens", "loss", "kind"])


def _row(config: RunConfig, status: dict[str, Any], role: str, sweep: str) -> dict[str, Any]:
    model, recipe, counts = config.model, config.recipe, count_params(config.model)
    return {
        "run_id": config.id,
        "trunk_id": config.trunk_id,
        "sweep": sweep,
        "role": role,
        "status": status["state"],
        "params": counts.total,
        "params_nonembedding": counts.nonembedding,
        "params_active": counts.total,
        "tokens": config.tokens,
        "unique_tokens": min(config.tokens, status["tokens_per_epoch"]),
        "epochs": config.tokens / status["tokens_per_epoch"],
        "flops": float(config.flops),
        "flops_6nd": 6.0 * counts.total * config.tokens,
        "loss": _number(status["loss"]),
        "loss_stderr": _number(status["loss_stderr"]),
        "bits_per_byte": _number(status["bits_per_byte"]),
        "lr": recipe.rates.matrix,
        "batch_tokens": recipe.batch_tokens,
        "warmup_tokens": round(recipe.schedule.warmup * config.tokens),
        "schedule": recipe.schedule.kind,
        "decay_fraction": recipe.schedule.decay,
        "weight_decay": recipe.weight_decay,
        "seed": config.seed,
        "width": model.width,
        "depth": model.depth,
        "heads": model.heads,
        "kv_heads": model.kv_heads,
        "ffn": model.ffn,
        "vocab": model.vocab,
        "seq_len": model.seq_len,
        "corpus": f"{config.data.fingerprint['name']}:{config.data.fingerprint['sha256'][:12]}",
        "tokenizer": config.data.tokenizer["name"],
        "dtype": config.dtype,
        "device": status["device"],
        "wall_s": status["wall_s"],
        "mfu": mfu(_number(status["flops_per_s"]), status["device"]),
    }


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
