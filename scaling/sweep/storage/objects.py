"""Where objects are: in a bucket or in memory, through fsspec; or on a disk."""

import os
import shutil
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

from fsspec import AbstractFileSystem

# What tells one content of an object from the next, in the words of one file system or another.
_VERSION = ("size", "generation", "ETag", "etag", "LastModified", "mtime", "created", "ino")


@runtime_checkable
class Objects(Protocol):
    """Named contents; an object is there whole or not at all. Whatever fails raises an exception of some kind."""

    def list(self, under: str) -> dict[str, str]:
        """The objects in a folder and those in it, or all: what tells this content from the one before, by name."""

    def read(self, name: str) -> bytes:
        """A content; FileNotFoundError if it is not there."""

    def write(self, name: str, content: bytes) -> None:
        """Makes or replaces an object."""

    def create(self, name: str, content: bytes) -> None:
        """Makes an object; FileExistsError if it is there. Of several at once, one succeeds."""

    def remove(self, name: str) -> None:
        """Removes an object; if it is not there, nothing or FileNotFoundError."""

    def put(self, file: Path, name: str) -> None:
        """Makes or replaces an object from a file of any size."""

    def get(self, name: str, file: Path) -> None:
        """Writes an object of any size to a file."""


class Disk:
    """Files below a folder, which several machines may see."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def list(self, under: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for place, _, files in os.walk(self._folder / under):
            for file in files:
                try:
                    told = os.stat(Path(place, file))
                except FileNotFoundError:
                    continue
                name = Path(place, file).relative_to(self._folder).as_posix()
                found[name] = f"{told.st_size} {told.st_mtime_ns} {told.st_ino}"
        return found

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        self._replace(name, lambda file: file.write(content))

    def create(self, name: str, content: bytes) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:
            file.write(content)

    def remove(self, name: str) -> None:
        (self._folder / name).unlink()

    def put(self, file: Path, name: str) -> None:
        with open(file, "rb") as source:
            self._replace(name, lambda target: shutil.copyfileobj(source, target))

    def get(self, name: str, file: Path) -> None:
        shutil.copyfile(self._folder / name, file)

    def _replace(self, name: str, write: Callable[[BinaryIO], object]) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
        try:
            with open(temporary, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


class Bucket:
    """Objects below a path of a file system of fsspec's that makes an object visible when it is complete."""

    _creating = threading.Lock()  # the one in memory looks first, and makes then

    def __init__(self, files: AbstractFileSystem, path: str) -> None:
        self._files, self._path = files, path.rstrip("/")

    def list(self, under: str) -> dict[str, str]:
        place = self._at(under) if under else self._path
        found: dict[str, dict[str, Any]] = self._files.find(place, detail=True)
        return {
            path.lstrip("/").removeprefix(f"{self._path.lstrip('/')}/"): _version(told)
            for path, told in found.items()
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


def _version(told: dict[str, Any]) -> str:
    return " ".join(str(told[key]) for key in _VERSION if key in told)
