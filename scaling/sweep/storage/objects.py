"""Named objects in a bucket or in memory, through fsspec, or on a disk."""

import os
import shutil
import threading
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from fsspec import AbstractFileSystem

from analysis.files import replace, write_bytes

# Properties by which one file system or another distinguishes an object's versions.
_VERSION = ("size", "generation", "ETag", "etag", "LastModified", "mtime", "created", "ino")


@runtime_checkable
class Objects(Protocol):
    """A store of named objects, each written atomically; failures raise exceptions of any kind."""

    def list(self, under: str) -> dict[str, str]:
        """Versions by name of the objects below a folder, or of all; an object's version changes with its content."""

    def read(self, name: str) -> bytes:
        """Content of an object; FileNotFoundError if there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Makes or replaces an object."""

    def create(self, name: str, content: bytes) -> None:
        """Makes an object; FileExistsError if it exists. Of several calls at once, one succeeds."""

    def remove(self, name: str) -> None:
        """Removes an object; without one, does nothing or raises FileNotFoundError."""

    def put(self, file: Path, name: str) -> None:
        """Makes or replaces an object from a file of any size."""

    def get(self, name: str, file: Path) -> None:
        """Writes an object of any size to a file."""


class Disk:
    """Objects as files below a folder, which several machines may see."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def list(self, under: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for place, _, files in os.walk(self._folder / under):
            for file in files:
                try:
                    state = os.stat(Path(place, file))
                except FileNotFoundError:
                    continue
                name = Path(place, file).relative_to(self._folder).as_posix()
                found[name] = f"{state.st_size} {state.st_mtime_ns} {state.st_ino}"
        return found

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        write_bytes(self._made(name), content)

    def create(self, name: str, content: bytes) -> None:
        with open(self._made(name), "xb") as file:
            file.write(content)

    def remove(self, name: str) -> None:
        (self._folder / name).unlink()

    def put(self, file: Path, name: str) -> None:
        replace(self._made(name), lambda temporary: _copy(file, temporary))

    def get(self, name: str, file: Path) -> None:
        shutil.copyfile(self._folder / name, file)

    def _made(self, name: str) -> Path:
        """Path of an object; makes its folder."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _copy(source: Path, target: Path) -> None:
    """Copies a file of any size, and waits until the disk has it."""
    with open(source, "rb") as content, open(target, "wb") as file:
        shutil.copyfileobj(content, file)
        file.flush()
        os.fsync(file.fileno())


class Bucket:
    """Objects below a path of a file system of fsspec's that makes an object visible when it is complete."""

    _creating = threading.Lock()  # the one in memory looks first, and makes then

    def __init__(self, files: AbstractFileSystem, path: str) -> None:
        self._files, self._path = files, path.rstrip("/")

    def list(self, under: str) -> dict[str, str]:
        place = self._at(under) if under else self._path
        found: dict[str, dict[str, Any]] = self._files.find(place, detail=True)
        return {
            path.lstrip("/").removeprefix(f"{self._path.lstrip('/')}/"): _version(state)
            for path, state in found.items()
            if not path.endswith("/")
        }

    def read(self, name: str) -> bytes:
        content: bytes = self._files.cat_file(self._at(name))
        return content

    def write(self, name: str, content: bytes) -> None:
        self._files.pipe_file(self._at(name), content)

    def create(self, name: str, content: bytes) -> None:
        with self._creating:
            self._files.pipe_file(self._at(name), content, mode="create")

    def remove(self, name: str) -> None:
        self._files.rm_file(self._at(name))

    def put(self, file: Path, name: str) -> None:
        if self._files.protocol == "memory":  # there, a file that is being put is visible
            self.write(name, file.read_bytes())
        else:
            self._files.put_file(str(file), self._at(name))

    def get(self, name: str, file: Path) -> None:
        self._files.get_file(self._at(name), str(file))

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}"


def _version(state: dict[str, Any]) -> str:
    return " ".join(str(state[key]) for key in _VERSION if key in state)
