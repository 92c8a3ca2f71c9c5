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
from scaling.sweep.processes import place
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
        workers: processes; None for one per core, or one if there is an accelerator or a mesh.
        report: called about twice a second.

    Raises:
        InputError: a worker failed, and its last line is named; or several were asked for with a mesh.
    """
    mesh = sweep.sweep().get("mesh") is not None
    refuse_workers(workers, mesh)
    here = place(mesh)
    if here.index:
        raise InputError(
            f"this is process {here.index} of {here.count}: of all commands only run trains on several hosts"
        )
    team = here.count > 1
    configs = [sweep.run(run_id).config() for run_id in sweep.runs(role)]
    added = added_steps(configs)
    flops = {config.id: config.flops // config.steps * added[config.id] for config in configs}
    before = progress_of(sweep, flops)
    left = before.runs - before.runs_done
    if not left and not team:  # the other processes of a team wait to be told so
        return
    pinned = not mesh and accelerator() is None
    available = cores()
    count = 1 if mesh else min(left, workers or (len(available) if pinned else 1))
    started: list[tuple[subprocess.Popen[bytes], Path]] = []
    try:
        for index in range(count):
            core = available[index % len(available)] if pinned else None
            started.append(_start(sweep, role, index, core, team))
        while any(worker.poll() is None for worker, _ in started):
            time.sleep(_POLL_S)
            report(progress_of(sweep, flops))
    finally:
        for worker, _ in started:
            worker.terminate()
            worker.wait()
    after = progress_of(sweep, flops)
    report(after)
    if after.runs_done < after.runs:
        tails = [_failure(worker, log) for worker, log in started if worker.returncode != 0]
        raise InputError(tails or [f"{sweep.path}: {after.runs - after.runs_done} runs are held by another process"])


def join(sweep: SweepFolder, role: str) -> None:
    """Trains along with the first of several processes, each of which was called like this one.

    Raises:
        InputError: it ended before its time, or the first did.
    """
    worker, log = _start(sweep, role, place(mesh=True).index, None, team=True)
    try:
        worker.wait()
    finally:
        worker.terminate()
        worker.wait()
    if worker.returncode != 0:
        raise InputError(_failure(worker, log))


def refuse_workers(workers: int | None, mesh: bool) -> None:
    """InputError where several workers are asked for with a mesh."""
    if mesh and workers is not None and workers > 1:
        raise InputError(f"--workers {workers}: a sweep with a mesh has one worker, which trains on all of the mesh")


def _start(
    sweep: SweepFolder, role: str, index: int, core: int | None, team: bool
) -> tuple["subprocess.Popen[bytes]", Path]:
    """A worker, pinned to a core if there is one, and its log."""
    log = sweep.path / "logs" / f"{role}-{index}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    module = "scaling.sweep.team" if team else "scaling.sweep.worker"
    command = [sys.executable, "-m", module, str(sweep.path), role, *([] if core is None else [str(core)])]
    with log.open("ab") as output:
        worker = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env=worker_environment(pinned=core is not None),
        )
    return worker, log


def _failure(worker: "subprocess.Popen[bytes]", log: Path) -> str:
    return f"worker exit {worker.returncode}: {_tail(log)} (see {log})"


def _tail(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
