"""A sweep's folder: its plan, its run folders, and the tables made from them, which can always be rebuilt."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from scaling.errors import InputError
from scaling.files import write_text
from scaling.posttrain.config import StageConfig
from scaling.sweep.folder.file_names import FORECAST, PLAN, SOURCE
from scaling.sweep.folder.forks import FORKS, discard_results, keep, refuse_links, take_back
from scaling.sweep.folder.plan_changes import begun, conflict, describe_changes, forecast_holds, with_target_left
from scaling.sweep.folder.plan_file import Plan, read_plan
from scaling.sweep.folder.run_folder import ENDED, RunFolder
from scaling.sweep.folder.run_table import number_or_nan, run_row
from scaling.sweep.folder.stage_table import stage_row
from scaling.sweep.locks.locks import Locks, waited_for
from scaling.sweep.plan.configs import Planned
from scaling.sweep.storage.folder_locks import locks_of
from scaling.train.config import RunConfig
from scaling.train.health import loss_spikes

RUNS, TRUNKS = "runs", "trunks"
_LATE = "the target's training has begun, and a forecast from other runs would be made after that"


@dataclass(frozen=True)
class SweepFolder:
    """A sweep's folder: its plan, its runs and trunks, and the tables made from them."""

    path: Path

    @cached_property
    def locks(self) -> Locks:
        """The locks of the folder and of its runs, of one kind for as long as it is open."""
        return locks_of(self.path)

    def run(self, run_id: str) -> RunFolder:
        """The files of a run."""
        return RunFolder(self.path / RUNS / run_id, self.locks)

    def trunk(self, trunk_id: str) -> RunFolder:
        """The files of a trunk (lock, metrics, checkpoints), which exist once it is trained."""
        return RunFolder(self.path / TRUNKS / trunk_id, self.locks)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """A context that waits for the folder's own lock and holds it, to change more than one run's files.

        Raises:
            InputError: the folder has links that lead out of it, or cannot be written.
            Stopped: this process was requested to stop before it had the lock.
        """
        refuse_links(self.path)  # the lock itself could be one
        with ExitStack() as held:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                held.enter_context(waited_for(self.locks, self.path / "lock"))
            except OSError as error:
                raise InputError(f"{self.path}: cannot write the sweep's folder: {error.strerror}") from None
            yield

    def prepare(
        self,
        canonical: dict[str, Any],
        source: str,
        plan: Sequence[Planned],
        may_grow: bool = False,
        fork: bool = False,
    ) -> None:
        """Makes the folder and every run's config, or leaves everything as it was.

        Args:
            canonical: the validated sweep, by which a later call knows it again.
            source: the sweep file's text, stored for readers.
            plan: its runs.
            may_grow: whether the sweep may differ from the folder's by further runs, by its target left for later, or
                by another target, as long as no run of the old one has begun; until the forecast is frozen.
            fork: whether it may be any other: runs of both stay as they are, others leave the plan but not the disk,
                and the earlier plan and results are copied to ``forks/``.

        Raises:
            InputError: the folder holds another sweep, and a line for each difference; its fork would have a forecast
                that is made after its target has begun, or runs that are being trained now; or it cannot be written.
        """
        after: Plan = {"sweep": canonical, "runs": [{"id": run.id, "role": run.role} for run in plan]}
        try:
            take_back(self.path)
            before, forks = self._plan(), False
            if before is not None:
                may_grow = may_grow and not (self.path / FORECAST).exists()
                after = with_target_left(before, after) if may_grow or fork else after
                forks = self._forks(before, after, may_grow, fork)
            self.path.mkdir(parents=True, exist_ok=True)
            for run in plan:
                folder = self.run(run.id).path
                folder.mkdir(parents=True, exist_ok=True)
                write_text(folder / "config.json", run.config.to_json())
            if before is not None and forks:
                keep(self.path)
                if not forecast_holds(before, after):
                    discard_results(self.path)
            write_text(self.path / SOURCE, source)
            write_text(self.path / PLAN, json.dumps(after))
        except OSError as error:
            with suppress(OSError):
                take_back(self.path)
            raise InputError(f"{self.path}: cannot write the sweep's folder: {error.strerror}") from None

    def _forks(self, before: Plan, after: Plan, may_grow: bool, fork: bool) -> bool:
        """Whether a plan forks from the folder's; False where it is the same or grows."""
        reason = conflict(before, after, may_grow, self._state)
        late = bool(begun(after, self._state)) and not forecast_holds(before, after)
        if reason is None and not late:
            return False
        obstacle = _LATE if late else self._busy(before)
        if fork and obstacle is None:
            return True
        if fork or reason is None:
            raise InputError(f"{self.path}: {obstacle}; choose another `out`")
        way = (
            f"choose another `out`; or go on with it by `fork`, which keeps what was in {self.path / FORKS}"
            if obstacle is None
            else f"choose another `out`: {obstacle}"
        )
        raise InputError(
            f"{self.path}: {line}" for line in (reason, *describe_changes(before, after, self._state), way)
        )

    def _busy(self, plan: Plan) -> str | None:
        """A message that names the runs of a plan in training; None without any."""
        held = [run["id"] for run in plan["runs"] if self._state(run["id"]) == "running" and not self._free(run["id"])]
        return f"runs are being trained now ({', '.join(held[:3])}); stop that first" if held else None

    def _state(self, run_id: str) -> str:
        state: str = self.run(run_id).status()["state"]
        return state

    def _free(self, run_id: str) -> bool:
        """Whether no process trains a run, by itself or as a branch of its trunk."""
        config = self.run(run_id).config()
        return (self.run(run_id) if config.trunk is None else self.trunk(config.trunk_id)).free()

    def _plan(self) -> Plan | None:
        try:
            return read_plan((self.path / PLAN).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{self.path / PLAN}: unreadable: {error}") from None

    def runs(self, role: str | None = None) -> list[str]:
        """Ids of the planned runs, of one role or all, in the plan's order."""
        return [run["id"] for run in self._made()["runs"] if role in (None, run["role"])]

    def sweep(self) -> dict[str, Any]:
        """The validated sweep as a JSON object."""
        sweep: dict[str, Any] = self._made()["sweep"]
        return sweep

    def _made(self) -> dict[str, Any]:
        plan = self._plan()
        if plan is None:
            raise InputError(f"{self.path}: no sweep's folder (it has no {PLAN})")
        return plan

    def table(self) -> pd.DataFrame:
        """The table of runs: one row per finished run, in the plan's order."""
        plan = self._plan() or {"sweep": {}, "runs": []}
        rows = []
        for entry in plan["runs"]:
            folder = self.run(entry["id"])
            status = folder.status()
            if status["state"] == "damaged":
                raise InputError(f"{folder.path / 'status.json'}: damaged; `scaling run` trains the run again")
            if status["state"] in ENDED:
                config, place = folder.config(), (entry["role"], plan["sweep"].get("name", ""))
                if isinstance(config, StageConfig):
                    rows.append(stage_row(config, status, *place))
                    continue
                spikes = loss_spikes([number_or_nan(row["loss"]) for row in self._metrics(config)])
                rows.append(run_row(config, status, *place) | {"loss_spikes": spikes})
        return pd.DataFrame(rows)

    def curves(self) -> pd.DataFrame:
        """Table of the logged training losses: run_id, tokens, loss (nats per token, mean over a dispatch), kind."""
        rows = []
        for run_id in self.runs():
            config = self.run(run_id).pretraining()
            batch = config.recipe.batch_tokens
            rows += [
                (run_id, row["step"] * batch, number_or_nan(row["loss"]), "train") for row in self._metrics(config)
            ]
        return pd.DataFrame(rows, columns=["run_id", "tokens", "loss", "kind"])

    def ended(self) -> list[RunFolder]:
        """The folders of the runs that have ended well, in the plan's order."""
        folders = [self.run(run_id) for run_id in self.runs()]
        return [folder for folder in folders if folder.status()["state"] == "done"]

    def _metrics(self, config: RunConfig) -> list[dict[str, Any]]:
        """Rows of a run's metrics, with those of its part of a trunk."""
        metrics = self.run(config.id).metrics()
        if config.trunk is not None and metrics:
            shared = self.trunk(config.trunk_id).metrics()
            metrics = [row for row in shared if row["step"] <= config.branch_step] + metrics
        return metrics
