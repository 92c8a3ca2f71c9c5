"""Workers on another machine: the functions that a task of Ray or a job of Slurm runs there."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from scaling.errors import InputError
from scaling.sweep.folder.jobs import jobs
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.host.machine import cores
from scaling.sweep.host.rank import Rank
from scaling.sweep.locks.local import LocalLocks
from scaling.sweep.workers.local import Slot, pool_on, slots
from scaling.sweep.workers.supervisor import supervise, train_as_rank
from scaling.sweep.workers.worker_handle import WorkerError
from scaling.train.stop import Stopped, stopping_on_signals


def run_worker(folder: str, role: str, index: int, directory: str) -> WorkerError | None:
    """Runs workers, one shape of model after another, until every run has ended or is trained elsewhere.

    On SIGTERM or SIGINT the worker saves its state first.

    Args:
        folder: the sweep's, as all machines see it.
        role: ``fit`` or ``target``.
        index: number of the slot, by which the log is named.
        directory: what relative paths in the sweep start from.

    Returns:
        Why nothing can be trained; None if all went well.
    """

    def work(sweep: SweepFolder) -> None:
        left = jobs(sweep, [sweep.run(run_id).config() for run_id in sweep.runs(role)])
        with slot_here(index) as slot, pool_on(sweep, role, [slot]) as pool:
            supervise(pool, sweep, left, wait=False)

    return _error_of(work, folder, directory)


def run_rank(folder: str, role: str, directory: str, rank: Rank, coordinator: str) -> WorkerError | None:
    """Trains as a rank of a process group, whose mesh is the devices of all its processes, until no run is left.

    Args:
        folder, role, directory: as for ``run_worker``.
        rank: of this process.
        coordinator: host and port of rank 0.

    Returns:
        The error that ended it before its work was done; None if it was done or a stop was requested.
    """
    os.environ.update(rank.variables(coordinator))
    return _error_of(lambda sweep: train_as_rank(sweep, role), folder, directory)


def _error_of(work: Callable[[SweepFolder], WorkerError | None], folder: str, directory: str) -> WorkerError | None:
    try:
        os.chdir(directory)
        with stopping_on_signals():
            return work(SweepFolder(Path(folder)))
    except OSError as error:
        return WorkerError(f"{error.filename}: {error.strerror}", fatal=True)
    except InputError as error:
        return WorkerError("; ".join(error.errors), fatal=True)
    except Stopped:
        return None


@contextmanager
def slot_here(index: int) -> Iterator[Slot]:
    """Slot on the first device that this process may use, or on a core that no other such slot has."""
    (slot,) = slots(1, whole=False)
    slot = replace(slot, index=index)
    if slot.core is None:
        yield slot
        return
    available = cores()
    for core in available:
        with LocalLocks().locked(_mark(core)) as mine:
            if mine:
                yield replace(slot, core=core)
                return
    yield replace(slot, core=available[index % len(available)])


def _mark(core: int) -> Path:
    folder = Path(tempfile.gettempdir(), f"scaling-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"core-{core}"
