"""A pool of workers: while there are untrained runs, another worker follows each one that ends."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from scaling.errors import InputError
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.workers.worker_handle import WorkerHandle

# Errors in a row, without a run begun or ended in between, after which the pool gives up: workers that failed of
# themselves, and workers killed from outside, which says little of the work.
_MOST_FAILED, _MOST_KILLED = 3, 20


class WorkerPool:
    """A pool of workers in numbered slots, one after another in each.

    Args:
        size: number of slots.
        start: called with the numbers of empty slots; starts and returns a worker for each.
    """

    def __init__(self, size: int, start: Callable[[Sequence[int]], Sequence[WorkerHandle]]) -> None:
        self.size, self._start = size, start
        # By slot: the worker, and the progress of the sweep when it began.
        self._working: dict[int, tuple[WorkerHandle, object]] = {}
        self._errors_in_a_row = 0

    @property
    def idle(self) -> bool:
        """Whether no worker runs."""
        return not self._working

    def tend(self, free: int, held: int, progress: object) -> None:
        """Starts workers where there are untrained runs; called twice a second.

        Args:
            free: number of jobs that nobody has.
            held: number of jobs that some worker has.
            progress: a value that changes whenever a run is begun or ends.

        Raises:
            InputError: nothing can be trained.
        """
        for slot, (worker, before) in list(self._working.items()):
            if worker.ended:
                del self._working[slot]
                worker.wait()
                self._check(worker, fruitless=progress == before)
        coming = max(0, len(self._working) - held)  # workers that have not taken a run yet
        empty = [slot for slot in range(self.size) if slot not in self._working][: max(0, free - coming)]
        if empty:
            started = zip(empty, self._start(empty), strict=True)
            self._working |= {slot: (worker, progress) for slot, worker in started}

    def _check(self, worker: WorkerHandle, fruitless: bool) -> None:
        """Raises InputError if an ended worker's error would also end the next one; else warns of it."""
        error = worker.error()
        if error is None:
            return
        self._errors_in_a_row = self._errors_in_a_row + 1 if fruitless else 0
        if error.fatal or self._errors_in_a_row >= (_MOST_KILLED if error.killed else _MOST_FAILED):
            raise InputError(error.message)
        worker.note(error)

    def stop(self) -> None:
        """Stops every worker: each saves its state and ends; returns when all have."""
        workers = [worker for worker, _ in self._working.values()]
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
        self._working.clear()


@runtime_checkable
class Executor(Protocol):
    """An executor of workers: on this machine, on a Ray cluster, in Slurm."""

    def __call__(
        self, sweep: SweepFolder, role: str, workers: int | None, devices: int | None
    ) -> AbstractContextManager[WorkerPool]:
        """A context with a pool for the runs of a role; all of its workers have ended when it ends.

        Args:
            sweep: the prepared folder.
            role: ``fit`` or ``target``.
            workers: processes that train at once; None for as many as there are cores, or devices of an accelerator,
                or as the mesh needs.
            devices: size of the mesh that trains each run; None if each device trains by itself.

        Raises:
            InputError: there is nowhere for them to run.
        """
