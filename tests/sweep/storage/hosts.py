"""Hosts that share one storage: their runs, their sweep, and a network that fails."""

from collections.abc import Callable
from pathlib import Path

from sweep.workers.test_supervisor import SWEEP

from scaling.sweep.folder.run_folder import RunFolder
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.corpus_text import load_text
from scaling.sweep.plan.expand import expand
from scaling.sweep.spec.sweep_file import parse_sweep
from scaling.sweep.storage.mirror import Mirror
from scaling.sweep.storage.objects import Objects
from scaling.train.checkpoints.index import record_step

RUN = "runs/0123456789ab"
Host = Callable[[str], Mirror]


def run_of(mirror: Mirror) -> RunFolder:
    """The run ``RUN``, in a host's mirror."""
    return SweepFolder(mirror.folder).run(RUN.removeprefix("runs/"))


def checkpoint(run: RunFolder, step: int, content: str) -> None:
    """Writes a checkpoint with the files that Orbax writes, and records its step."""
    (run.checkpoints / str(step) / "state").mkdir(parents=True)
    (run.checkpoints / str(step) / "state" / "array").write_text(content)
    record_step(run.checkpoints, step)


def contents(run: RunFolder) -> dict[str, str]:
    """Path in the run's folder -> text, of all files but hidden ones and the lock."""
    files = (path for path in run.path.rglob("*") if path.is_file())
    return {
        path.relative_to(run.path).as_posix(): path.read_text()
        for path in files
        if not path.name.startswith(".") and path.name != "lock"
    }


class Failing:
    """Objects whose next calls fail, as a network does."""

    def __init__(self, objects: Objects) -> None:
        self._objects, self.failures = objects, 0
        self.written: list[str] = []

    def _begin(self) -> Objects:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no route to host")
        return self._objects

    def list(self, under: str) -> dict[str, str]:
        return self._begin().list(under)

    def read(self, name: str) -> bytes:
        return self._begin().read(name)

    def write(self, name: str, content: bytes) -> None:
        self._begin().write(name, content)
        self.written.append(name)

    def create(self, name: str, content: bytes) -> None:
        self._begin().create(name, content)

    def remove(self, name: str) -> None:
        self._begin().remove(name)
        self.written.append(f"-{name}")

    def put(self, file: Path, name: str) -> None:
        self._begin().put(file, name)
        self.written.append(name)

    def get(self, name: str, file: Path) -> None:
        self._begin().get(name, file)


def failing(mirror: Mirror) -> Failing:
    """Makes the network of a mirror one that can fail; returns it."""
    remote = mirror._remote
    if not isinstance(remote._objects, Failing):
        remote._objects = Failing(remote._objects)
    return remote._objects


def planned(mirror: Mirror, *overrides: str) -> SweepFolder:
    """The folder of a small sweep in a host's mirror, planned and stored."""
    spec = parse_sweep(SWEEP, "tiny.yaml", overrides)
    sweep = SweepFolder(mirror.folder)
    with sweep.locked():
        sweep.prepare(spec.canonical(), SWEEP, expand(spec, load_text(spec.corpus)))
    return sweep
