"""Trains a sweep's runs on this machine: a worker process per core, or one for an accelerator."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.errors import InputError
from scaling.sweep.jobs import added_steps
from scaling.sweep.machine import accelerator, cores, worker_environment
from scaling.sweep.store import ENDED, RunFolder, SweepFolder

_POLL_S = 0.5


@dataclass(frozen=True)
class SweepProgress:
    """How far a sweep's runs of one role are.

    Attributes:
        runs, runs_done: how many there are, and how many have ended.
        flops, flops_done: training FLOPs in all and so far, half-trained runs included; a trunk's count once.
        running: (run id, share done, latest training loss) of those that train now.
    """

    runs: int
    runs_done: int
    flops: float
    flops_done: float
    running: tuple[tuple[str, float, float | None], ...]


def progress_of(sweep: SweepFolder, flops: dict[str, int]) -> SweepProgress:
    """Reads the runs' status files; ``flops`` names the runs and their training FLOPs."""
    done, spent, running = 0, 0.0, []
    for run_id, cost in flops.items():
        status = sweep.run(run_id).status()
        if status["state"] in ENDED:
            done, spent = done + 1, spent + cost
        elif status["state"] == "running":
            share = status["step"] / status["steps"]
            spent += share * cost
            running.append((run_id, share, status["loss"]))
    return SweepProgress(len(flops), done, float(sum(flops.values())), spent, tuple(running))


def states(sweep: SweepFolder) -> list[dict[str, Any]]:
    """Every run's id, role, state, progress (0 to 1), loss (held-out once done; None before the first step), and the
    seconds it took so far, in all and compiling (None before it was begun).

    States are ``planned``, ``running``, ``done``, ``diverged``, and ``interrupted`` for a run that was begun and is
    trained by nobody now.
    """
    rows = []
    for role in ("fit", "target"):
        for run_id in sweep.runs(role):
            status = _status(sweep.run(run_id))
            planned = status["state"] == "planned"
            rows.append(
                {
                    "id": run_id,
                    "role": role,
                    "state": status["state"],
                    "progress": 0.0 if planned else status["step"] / status["steps"],
                    "loss": None if planned or status["state"] == "diverged" else status["loss"],
                    "wall_s": status.get("wall_s"),
                    "compile_s": status.get("compile_s"),
                }
            )
    return rows


def _status(folder: RunFolder) -> dict[str, Any]:
    status = folder.status()
    if status["state"] != "running":
        return status
    try:
        with folder.locked() as free:
            status = folder.status()  # again, as it may just have ended
            if free and status["state"] == "running":
                status["state"] = "interrupted"
    except OSError:  # a folder that we may only read
        pass
    return status


def execute(sweep: SweepFolder, role: str, workers: int | None, report: Callable[[SweepProgress], None]) -> None:
    """Trains every unfinished run of a role; returns when all have ended.

    Args:
        sweep: the prepared folder.
        role: ``fit`` or ``target``.
        workers: processes; None for one per core, or one if there is an accelerator.
        report: called about twice a second.

    Raises:
        InputError: a worker failed; its last lines are named.
    """
    configs = [sweep.run(run_id).config() for run_id in sweep.runs(role)]
    added = added_steps(configs)
    flops = {config.id: config.flops // config.steps * added[config.id] for config in configs}
    before = progress_of(sweep, flops)
    left = before.runs - before.runs_done
    if not left:
        return
    pinned = accelerator() is None
    available = cores()
    count = min(left, workers or (len(available) if pinned else 1))
    logs = sweep.path / "logs"
    logs.mkdir(exist_ok=True)
    started: list[tuple[subprocess.Popen[bytes], Path]] = []
    try:
        for index in range(count):
            log = logs / f"{role}-{index}.log"
            command = [sys.executable, "-m", "scaling.sweep.worker", str(sweep.path), role]
            if pinned:
                command.append(str(available[index % len(available)]))
            with log.open("ab") as output:
                worker = subprocess.Popen(
                    command,
                    stdout=output,
                    stderr=output,
                    stdin=subprocess.DEVNULL,
                    env=worker_environment(pinned),
                )
            started.append((worker, log))
        while any(worker.poll() is None for worker, _ in started):
            time.sleep(_POLL_S)
            report(progress_of(sweep, flops))
    finally:
        for worker, _ in started:
            worker.terminate()
            worker.wait()
    failed = [(worker, log) for worker, log in started if worker.returncode != 0]
    after = progress_of(sweep, flops)
    report(after)
    if after.runs_done < after.runs:
        tails = [f"worker exit {worker.returncode}: {_tail(log)} (see {log})" for worker, log in failed]
        raise InputError(tails or [f"{sweep.path}: {after.runs - after.runs_done} runs are held by another process"])


def _tail(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
