"""Workers on this machine: a process per core, or per device of an accelerator; an ``Executor``."""

import logging
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.host.machine import accelerator, cores, gpus, worker_environment
from scaling.sweep.spec.arrangement import refuse_workers
from scaling.sweep.workers.worker_handle import WorkerError
from scaling.sweep.workers.worker_pool import WorkerPool
from scaling.train.stop import STOPPED_EXIT

# Spot machines give half a minute of notice.
_GRACE_S = 25.0
_FATAL_EXIT = 2
_LOG = logging.getLogger(__name__)
_LIVE: set["subprocess.Popen[bytes]"] = set()


@dataclass(frozen=True)
class Slot:
    """A numbered place for one worker, with a core or device of its own, if any."""

    index: int
    core: int | None = None
    device: str | None = None


def slots(workers: int | None, whole: bool) -> list[Slot]:
    """Slots of this machine.

    Args:
        workers: the number requested, on an accelerator one per device at most; None for one per core or device.
        whole: whether one worker uses all that there is.
    """
    if whole:
        return [Slot(0)]
    if devices := gpus():
        return [Slot(index, device=device) for index, device in enumerate(devices[:workers])]
    if accelerator() is not None:  # the chips of a TPU are one process's
        return [Slot(0)]
    available = cores()
    return [Slot(index, core=available[index % len(available)]) for index in range(workers or len(available))]


class WorkerProcess:
    """A worker process in a session of its own, so that a Ctrl-C reaches it through its parent alone.

    Args:
        sweep: the folder.
        role: ``fit`` or ``target``.
        slot: the core or device that it uses.
        grouped: whether it is a rank of a process group.
    """

    def __init__(self, sweep: SweepFolder, role: str, slot: Slot, grouped: bool = False) -> None:
        self.name = f"{role}-{slot.index}"
        self.log = sweep.path / "logs" / f"{self.name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        module = "scaling.sweep.workers.rank_worker" if grouped else "scaling.sweep.workers.worker"
        pinned = [] if slot.core is None else [str(slot.core)]
        environment = worker_environment(pinned=bool(pinned))
        if slot.device is not None:
            environment["CUDA_VISIBLE_DEVICES"] = slot.device
        # Slurm sends it to all processes of a job whose time is nearly over; our parent alone acts on it.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        try:
            with self.log.open("ab") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", module, str(sweep.path), role, *pinned],
                    stdout=output,
                    stderr=output,
                    stdin=subprocess.DEVNULL,
                    env=environment,
                    start_new_session=True,
                )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        _LIVE.add(self._process)

    @property
    def code(self) -> int | None:
        """Exit status; None while the worker runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Requests the worker to save its state and end."""
        self._process.terminate()

    def wait(self) -> None:
        """Waits until the worker has ended; kills it after its period of grace."""
        _end(self._process)

    @property
    def ended(self) -> bool:
        """Whether the worker has ended, for whatever reason."""
        return self.code is not None

    @property
    def _cause(self) -> str:
        code = self._process.returncode
        return f"exit {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"

    def error(self) -> WorkerError | None:
        """The exit status and the last line of the log; None if its work was done or a stop was requested."""
        if self.code in (0, STOPPED_EXIT):
            return None
        try:
            lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        except OSError:
            lines = []
        message = f"worker {self._cause}: {lines[-1] if lines else 'no output'} (see {self.log})"
        killed = self._process.returncode < 0 and self._process.returncode != -signal.SIGABRT  # which is its own doing
        return WorkerError(message, fatal=self.code == _FATAL_EXIT, killed=killed)

    def note(self, error: WorkerError) -> None:  # noqa: ARG002
        """Warns, here and in the worker's log, that it has ended and that another one continues."""
        line = f"worker {self.name} has ended: {self._cause} (see {self.log}); another one goes on"
        _LOG.warning("%s", line)
        with suppress(OSError), self.log.open("a") as file:
            file.write(f"{line}\n")


@contextmanager
def local(sweep: SweepFolder, role: str, workers: int | None, devices: int | None) -> Iterator[WorkerPool]:
    """The ``Executor`` of workers on this machine."""
    refuse_workers(workers, mesh=devices is not None)
    with pool_on(sweep, role, slots(workers, whole=devices is not None)) as pool:
        yield pool


@contextmanager
def pool_on(sweep: SweepFolder, role: str, slots: Sequence[Slot]) -> Iterator[WorkerPool]:
    """A context with a pool of workers on some slots of this machine."""
    pool = WorkerPool(len(slots), lambda empty: [WorkerProcess(sweep, role, slots[index]) for index in empty])
    try:
        yield pool
    finally:
        pool.stop()


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _LIVE.discard(process)


def stop_workers() -> None:
    """Stops all workers of this process: each saves its state and ends; returns when all have."""
    live = list(_LIVE)
    for process in live:
        process.terminate()
    for process in live:
        _end(process)


def kill_workers() -> None:
    """Kills all workers of this process."""
    for process in list(_LIVE):
        process.kill()
