"""The progress of a sweep's runs, read from their status files."""

import functools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from scaling.errors import InputError
from scaling.posttrain.config import StageConfig
from scaling.sweep.folder.run_folder import ENDED, RunFolder
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.configs import AnyConfig
from scaling.sweep.plan.shared_work import Shape, shape_of


@dataclass(frozen=True)
class RunProgress:
    """The progress of a run that is being trained.

    Attributes:
        id: the run.
        share: how much of it is trained, from 0 to 1.
        loss: the latest training loss, nats per token; None before the first, as long as its program is compiled.
        tokens_per_s: over the last seconds; None before the second loss.
        left_s: seconds that the rest takes at that speed.
    """

    id: str
    share: float
    loss: float | None
    tokens_per_s: float | None
    left_s: float | None


@dataclass(frozen=True)
class GroupProgress:
    """The progress of the runs of one shape.

    Attributes:
        params, width, depth: of their model.
        runs, runs_done: how many there are, and how many have ended.
        running: those that train now.
    """

    params: int
    width: int
    depth: int
    runs: int
    runs_done: int
    running: tuple[RunProgress, ...]


@dataclass(frozen=True)
class SweepProgress:
    """The progress of a sweep's runs of one role.

    Attributes:
        runs, runs_done, runs_failed: how many there are, have ended, and have failed.
        flops, flops_done: training FLOPs in all and so far, half-trained runs included; a trunk's count once.
        groups: the shapes that are trained now.
    """

    runs: int
    runs_done: int
    runs_failed: int
    flops: float
    flops_done: float
    groups: tuple[GroupProgress, ...]

    @property
    def running(self) -> tuple[RunProgress, ...]:
        """The runs that train now."""
        return tuple(run for group in self.groups for run in group.running)

    @property
    def tokens_per_s(self) -> float:
        """Tokens per second of all running runs together."""
        return sum(run.tokens_per_s or 0.0 for run in self.running)


def progress_of(sweep: SweepFolder, flops: dict[str, int]) -> SweepProgress:
    """The progress of some runs, from their status files.

    Args:
        sweep: the folder.
        flops: training FLOPs by run id.
    """
    statuses = {run_id: sweep.run(run_id).status() for run_id in flops}
    counts = Counter(status["state"] for status in statuses.values())
    spent = 0.0
    for run_id, cost in flops.items():
        spent += cost * (1.0 if statuses[run_id]["state"] in ENDED else _share(statuses[run_id]))
    return SweepProgress(
        runs=len(flops),
        runs_done=sum(counts[state] for state in ENDED),
        runs_failed=counts["failed"],
        flops=float(sum(flops.values())),
        flops_done=spent,
        groups=_groups(sweep, statuses),
    )


def _groups(sweep: SweepFolder, statuses: dict[str, dict[str, Any]]) -> tuple[GroupProgress, ...]:
    training = [run_id for run_id, status in statuses.items() if status["state"] == "running" and _held(sweep, run_id)]
    if not training:
        return ()
    configs = {run_id: _config(sweep.run(run_id)) for run_id in statuses}
    running: dict[Shape, list[RunProgress]] = {}
    for run_id in training:
        now = _running(configs[run_id], statuses[run_id])
        running.setdefault(shape_of(configs[run_id]), []).append(now)
    runs = Counter(map(shape_of, configs.values()))
    done = Counter(shape_of(configs[run_id]) for run_id, status in statuses.items() if status["state"] in ENDED)
    return tuple(
        GroupProgress(configs[now[0].id].params, shape[0].width, shape[0].depth, runs[shape], done[shape], tuple(now))
        for shape, now in running.items()
    )


def _running(config: AnyConfig, status: dict[str, Any]) -> RunProgress:
    share, speed = _share(status), _number(status, "tokens_per_s")
    if isinstance(config, StageConfig):  # whose steps are all alike
        spent = _number(status, "wall_s")
        left = spent * (1 - share) / share if spent and share else None
    else:
        left = config.tokens * (1 - share) / speed if speed else None
    return RunProgress(config.id, share, _number(status, "loss"), speed, left)


def states(sweep: SweepFolder) -> list[dict[str, Any]]:
    """The state of every run, as ``scaling status --json`` prints it.

    Returns:
        By run ``id``, ``role``, ``state``, ``progress`` (0 to 1), ``loss`` (held-out once done; None before the first
        step), ``wall_s`` and ``compile_s``, the seconds that it took so far (None before it was begun), and of one that
        trains now ``tokens_per_s`` and ``left_s`` (None otherwise).

    States are ``planned``, ``running``, ``done``, ``diverged``; ``failed``, with the ``reason``; ``interrupted`` for a
    run that was begun and is trained by nobody now; and ``damaged`` for one whose status cannot be read.
    """
    return [_row(sweep, run_id, role) for role in ("fit", "target") for run_id in sweep.runs(role)]


def _row(sweep: SweepFolder, run_id: str, role: str) -> dict[str, Any]:
    folder = sweep.run(run_id)
    status = folder.status()
    if status["state"] == "running" and not _held(sweep, run_id):
        status = folder.status()  # again, as it may just have ended
        if status["state"] == "running":
            status["state"] = "interrupted"
    speed = left = None
    if status["state"] == "running":
        try:
            now = _running(_config(folder), status)
            speed, left = now.tokens_per_s, now.left_s
        except InputError:  # its config cannot be read, and whoever trains it has read it before
            pass
    return {
        "id": run_id,
        "role": role,
        "state": status["state"],
        "progress": _share(status),
        "loss": None if status["state"] == "diverged" else _number(status, "loss"),
        "wall_s": _number(status, "wall_s"),
        "compile_s": _number(status, "compile_s"),
        "tokens_per_s": speed,
        "left_s": left,
        **({"reason": status.get("reason")} if status["state"] == "failed" else {}),
    }


def _held(sweep: SweepFolder, run_id: str) -> bool:
    """Whether a process holds the lock of a run, or of the trunk that it is a branch of."""
    try:
        return not all(folder.free() for folder in _lockable(sweep, run_id))
    except OSError:  # a folder that we may only read: its status is believed
        return True


def _lockable(sweep: SweepFolder, run_id: str) -> Iterable[RunFolder]:
    yield sweep.run(run_id)
    try:
        config = _config(sweep.run(run_id))
    except InputError:
        return
    if config.trunk is not None:
        yield sweep.trunk(config.trunk_id)


@functools.lru_cache(maxsize=10_000)
def _config(folder: RunFolder) -> AnyConfig:
    """The config of a run; cached, as the run's id is its hash."""
    return folder.config()


def _share(status: dict[str, Any]) -> float:
    """The trained share of a run's steps, from 0 to 1."""
    step, steps = _number(status, "step"), _number(status, "steps")
    return step / steps if step and steps else 0.0


def _number(status: dict[str, Any], key: str) -> float | None:
    value = status.get(key)
    return float(value) if isinstance(value, int | float) else None
