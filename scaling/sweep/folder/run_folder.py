"""One run's files: ``config.json``, ``metrics.jsonl``, ``status.json``, ``lock``; while it trains
``checkpoints/``, and then ``parameters.safetensors``."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scaling.errors import InputError
from scaling.files import append_row, read_rows, write_text
from scaling.sweep.locks.leases import still_held
from scaling.sweep.locks.locks import Locks
from scaling.sweep.plan.configs import AnyConfig, pretraining, read_any_config
from scaling.train.checkpoints.index import forget, last_step
from scaling.train.checkpoints.parameters import PARAMETERS, read_parameters, write_parameters
from scaling.train.config import RunConfig

ENDED = ("done", "diverged")
# In a row without a newer checkpoint; then the run has failed.
ATTEMPTS = 20


@dataclass(frozen=True)
class RunFolder:
    """The files of one run, or of a trunk, which has no config and no status.

    Attributes:
        path: the folder.
        locks: those of the sweep that it is part of.
    """

    path: Path
    locks: Locks

    @property
    def checkpoints(self) -> Path:
        """Folder of the run's checkpoints."""
        return self.path / "checkpoints"

    def config(self) -> AnyConfig:
        """Reads the run's config.

        Raises:
            InputError: it cannot be read, or is not the config of this run's id.
        """
        file = self.path / "config.json"
        try:
            config = read_any_config(file.read_text(), str(file))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"{file}: unreadable: {reason}") from None
        if config.id != self.path.name:
            raise InputError(f"{file}: changed: it is the config of run {config.id}")
        return config

    def pretraining(self) -> RunConfig:
        """Reads the config of a run of pre-training; InputError for that of a stage, and as of ``config``."""
        return pretraining(self.config(), self.path)

    def status(self) -> dict[str, Any]:
        """The run's status: ``state``, and other values by name.

        States are planned, if nothing was written; running; done; diverged; failed, with a ``reason``; and damaged, if
        it cannot be read: such a run is trained again, from its newest checkpoint.
        """
        try:
            status = dict(json.loads((self.path / "status.json").read_bytes()))
        except FileNotFoundError:
            return {"state": "planned"}
        except (ValueError, TypeError, RecursionError):
            return {"state": "damaged"}
        return status if status.pop("digest", None) == _digest(status) else {"state": "damaged"}

    def write_status(self, status: dict[str, Any]) -> None:
        """Writes the run's status with its digest, atomically."""
        still_held()
        write_text(self.path / "status.json", json.dumps({**status, "digest": _digest(status)}))

    def keep(self, parameters: Mapping[str, np.ndarray]) -> str:
        """Writes the run's last parameters, by name; returns their digest, which ``parameters`` verifies."""
        still_held()
        return write_parameters(self.path / PARAMETERS, parameters)

    def parameters(self) -> dict[str, np.ndarray]:
        """The last parameters of the run, by name.

        Raises:
            InputError: the run is not done, or they are not there or not what was written.
        """
        status = self.status()
        if status["state"] != "done":
            raise InputError(f"{self.path}: the run is {status['state']}, not done")
        return read_parameters(self.path / PARAMETERS, status.get("parameters_sha256"))

    def finish(self, status: dict[str, Any]) -> None:
        """Writes the last status, and then removes the checkpoints."""
        still_held(sure=True)
        self.write_status(status)
        self.drop_checkpoints()

    def drop_checkpoints(self) -> None:
        """Removes the checkpoints and the count of attempts."""
        forget(self.checkpoints)
        self.forget_attempts()

    def log(self, row: dict[str, Any]) -> None:
        """Appends a row of metrics."""
        still_held()
        append_row(self.path / "metrics.jsonl", row)

    def metrics(self) -> list[dict[str, Any]]:
        """Rows of metrics in order of their step; torn lines are skipped, and the last row of a step counts."""
        rows = {row["step"]: row for row in read_rows(self.path / "metrics.jsonl") if _is_measured(row)}
        return [rows[step] for step in sorted(rows)]

    def attempt(self, ended: int) -> int:
        """Counts an attempt at training the run or trunk.

        Args:
            ended: number of its runs that have ended.

        Returns:
            Attempts, this one included, since the last checkpoint was written or the last run ended.
        """
        reached = [last_step(self.checkpoints), ended]
        before = self._attempted()
        count = before["count"] + 1 if before["reached"] == reached else 1
        write_text(self._attempts, json.dumps({"count": count, "reached": reached}))
        return count

    def attempts(self) -> int:
        """Number of attempts so far, as ``attempt`` counts them."""
        return int(self._attempted()["count"])

    def _attempted(self) -> dict[str, Any]:
        try:
            before = json.loads(self._attempts.read_bytes())
            return {"count": int(before["count"]), "reached": before["reached"]}
        except (OSError, ValueError, KeyError, TypeError):
            return {"count": 0, "reached": None}

    def forget_attempts(self) -> None:
        """Sets the count of attempts to 0."""
        self._attempts.unlink(missing_ok=True)

    @property
    def _attempts(self) -> Path:
        return self.path / "attempts.json"

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Holds the run's lock; yields False at once if another process has it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self.locks.locked(self.path / "lock") as mine:
            yield mine

    def free(self) -> bool:
        """Whether no process holds the run's lock; makes no file."""
        return self.locks.free(self.path / "lock")


def _is_measured(row: dict[str, Any]) -> bool:
    return isinstance(row.get("step"), int) and isinstance(row.get("loss", ""), float | int | None)


def _digest(status: dict[str, Any]) -> str:
    """Checksum of a status, by which a flipped bit is detected."""
    return hashlib.sha256(json.dumps(status).encode()).hexdigest()[:16]
