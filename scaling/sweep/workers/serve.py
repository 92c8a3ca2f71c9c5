"""A seat on another machine: what a task of Ray or a job of Slurm does there, which is to start workers as here."""

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
from scaling.sweep.host.processes import Place
from scaling.sweep.locks.local import LocalLocks
from scaling.sweep.workers.execute import keep_at_work, work_along
from scaling.sweep.workers.local import Seat, crew_on, seats
from scaling.sweep.workers.pool import Fault
from scaling.train.stop import Stopped, stopping_on_signals


def serve(folder: str, role: str, index: int, directory: str) -> Fault | None:
    """Has a worker train the runs that nobody else trains, one shape after another, until none is left.

    Asked to stop by SIGTERM or SIGINT, it has the worker save its state first.

    Args:
        folder: the sweep's, as all machines see it.
        role: ``fit`` or ``target``.
        index: of the seat, by which its log is named.
        directory: where paths in the sweep start from.

    Returns:
        Why nothing can be trained; None if all went well.
    """

    def work(sweep: SweepFolder) -> None:
        left = jobs(sweep, [sweep.run(run_id).config() for run_id in sweep.runs(role)])
        with seat_here(index) as seat, crew_on(sweep, role, [seat]) as crew:
            keep_at_work(crew, sweep, left, wait=False)

    return _served(work, folder, directory)


def serve_along(folder: str, role: str, directory: str, here: Place, coordinator: str) -> Fault | None:
    """Trains as one of several processes, whose mesh is the devices that all of them see, until no run is left.

    Args:
        folder, role, directory: as for ``serve``.
        here: this process among the others.
        coordinator: host and port of the first.

    Returns:
        Why it has ended before its time; None if all went well, or it was asked to stop.
    """
    os.environ.update(here.variables(coordinator))
    return _served(lambda sweep: work_along(sweep, role), folder, directory)


def _served(work: Callable[[SweepFolder], Fault | None], folder: str, directory: str) -> Fault | None:
    try:
        os.chdir(directory)
        with stopping_on_signals():
            return work(SweepFolder(Path(folder)))
    except OSError as error:
        return Fault(f"{error.filename}: {error.strerror}", fatal=True)
    except InputError as error:
        return Fault("; ".join(error.errors), fatal=True)
    except Stopped:
        return None


@contextmanager
def seat_here(index: int) -> Iterator[Seat]:
    """The first device of this machine that this process may use, or a core that no other such seat has."""
    (seat,) = seats(1, whole=False)
    seat = replace(seat, index=index)
    if seat.core is None:
        yield seat
        return
    available = cores()
    for core in available:
        with LocalLocks().locked(_mark(core)) as mine:
            if mine:
                yield replace(seat, core=core)
                return
    yield replace(seat, core=available[index % len(available)])


def _mark(core: int) -> Path:
    folder = Path(tempfile.gettempdir(), f"scaling-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"core-{core}"
