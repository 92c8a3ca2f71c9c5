"""Workers on this machine: a process per core, or per device of an accelerator."""

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
from scaling.sweep.workers.pool import Crew, Fault
from scaling.train.stop import STOPPED_EXIT

# Spot machines give half a minute of notice.
_GRACE_S = 25.0
_FATAL_EXIT = 2
_LOG = logging.getLogger(__name__)
_LIVE: set["subprocess.Popen[bytes]"] = set()


@dataclass(frozen=True)
class Seat:
    """What a worker has to itself: a core, a device, or neither."""

    index: int
    core: int | None = None
    device: str | None = None


def seats(workers: int | None, whole: bool) -> list[Seat]:
    """Of the workers that this machine is to have.

    Args:
        workers: as many as asked for, on an accelerator one per device at most; None for one per core or device.
        whole: one worker uses all that there is.
    """
    if whole:
        return [Seat(0)]
    if devices := gpus():
        return [Seat(index, device=device) for index, device in enumerate(devices[:workers])]
    if accelerator() is not None:  # the chips of a TPU are one process's
        return [Seat(0)]
    available = cores()
    return [Seat(index, core=available[index % len(available)]) for index in range(workers or len(available))]


class WorkerProcess:
    """A worker on a seat, in a session of its own, so that it hears of a Ctrl-C through us alone.

    Args:
        sweep: the folder.
        role: ``fit`` or ``target``.
        seat: where it works.
        team: it is one of several processes that train as one.
    """

    def __init__(self, sweep: SweepFolder, role: str, seat: Seat, team: bool = False) -> None:
        self.name = f"{role}-{seat.index}"
        self.log = sweep.path / "logs" / f"{self.name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        module = "scaling.sweep.workers.process_group" if team else "scaling.sweep.workers.worker"
        pinned = [] if seat.core is None else [str(seat.core)]
        environment = worker_environment(pinned=bool(pinned))
        if seat.device is not None:
            environment["CUDA_VISIBLE_DEVICES"] = seat.device
        # Slurm's notice to all processes of a job that its time is nearly over; the one that started us heeds it.
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
        """Its exit status; None as long as it works."""
        return self._process.poll()

    def terminate(self) -> None:
        """Asks it to save its state and end."""
        self._process.terminate()

    def wait(self) -> None:
        """Until it has ended, of itself or when its time to do so is over."""
        _end(self._process)

    @property
    def ended(self) -> bool:
        return self.code is not None

    @property
    def _cause(self) -> str:
        code = self._process.returncode
        return f"exit {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"

    def fault(self) -> Fault | None:
        """How it has ended, and what it said last; None if it was asked to, or all went well."""
        if self.code in (0, STOPPED_EXIT):
            return None
        try:
            lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        except OSError:
            lines = []
        told = f"worker {self._cause}: {lines[-1] if lines else 'no output'} (see {self.log})"
        killed = self._process.returncode < 0 and self._process.returncode != -signal.SIGABRT  # which is its own doing
        return Fault(told, fatal=self.code == _FATAL_EXIT, killed=killed)

    def note(self, fault: Fault) -> None:  # noqa: ARG002
        told = f"worker {self.name} has ended: {self._cause} (see {self.log}); another one goes on"
        _LOG.warning("%s", told)
        with suppress(OSError), self.log.open("a") as file:
            file.write(f"{told}\n")


@contextmanager
def local(sweep: SweepFolder, role: str, workers: int | None, devices: int | None) -> Iterator[Crew]:
    """Workers on this machine; an ``Executor``."""
    refuse_workers(workers, mesh=devices is not None)
    with crew_on(sweep, role, seats(workers, whole=devices is not None)) as crew:
        yield crew


@contextmanager
def crew_on(sweep: SweepFolder, role: str, seats: Sequence[Seat]) -> Iterator[Crew]:
    """A crew of workers on some seats of this machine."""
    crew = Crew(len(seats), lambda empty: [WorkerProcess(sweep, role, seats[index]) for index in empty])
    try:
        yield crew
    finally:
        crew.stop()


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _LIVE.discard(process)


def stop_workers() -> None:
    """Has all workers that this process has started save their states and end; returns when they have."""
    live = list(_LIVE)
    for process in live:
        process.terminate()
    for process in live:
        _end(process)


def kill_workers() -> None:
    """Ends all workers that this process has started, without more ado."""
    for worker in list(_LIVE):
        worker.kill()
