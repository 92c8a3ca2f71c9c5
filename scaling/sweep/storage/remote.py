"""Shared storage by its URL; failed calls are retried."""

import errno
import importlib.util
import logging
import random
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from fsspec import filesystem

from scaling.errors import InputError
from scaling.sweep.storage.objects import Bucket, Disk, Objects

T = TypeVar("T")
# The package that each scheme needs besides fsspec.
_NEEDS = {"gs": "gcsfs", "s3": "s3fs", "memory": None, "file": None}
_EXTRA = 'pip install "scaling-law-toolkit[cloud]"'
# Trying again changes nothing of these.
_FINAL = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
# Between attempts: together less than a worker's grace time.
_DELAYS_S = (0.5, 1.0, 2.0, 4.0)
_AT_ONCE = 16
_LOG = logging.getLogger(__name__)


class Remote:
    """Objects in shared storage, named relative to a URL.

    Its methods raise OSError where the storage cannot be reached after several attempts, and PermissionError,
    FileNotFoundError and the like at once.
    """

    def __init__(self, url: str, objects: Objects) -> None:
        self.url, self._objects, self._failing = url, objects, False

    @classmethod
    def of(cls, url: str) -> "Remote":
        """Opens the storage at a URL.

        Raises:
            InputError: it is no such URL, or what its scheme needs is not installed.
        """
        return cls(url.rstrip("/"), _objects(url.rstrip("/")))

    def list(self, under: str = "") -> dict[str, str]:
        """Versions by name of the objects below a folder, or of all; an object's version changes with its content."""
        return self._again(lambda: self._objects.list(under))

    def read(self, name: str) -> bytes:
        return self._again(lambda: self._objects.read(name))

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """Contents by name of the objects that exist."""

        def read(name: str) -> tuple[str, bytes | None]:
            try:
                return name, self.read(name)
            except FileNotFoundError:
                return name, None

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return {name: content for name, content in pool.map(read, names) if content is not None}

    def write(self, name: str, content: bytes) -> None:
        self._again(lambda: self._objects.write(name, content))

    def write_all(self, contents: dict[str, bytes]) -> None:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for done in [pool.submit(self.write, name, content) for name, content in contents.items()]:
                done.result()

    def create(self, name: str, content: bytes) -> bool:
        """Makes an object; False if one of this name has another content."""
        try:
            self._again(lambda: self._objects.create(name, content))
        except FileExistsError:
            return self.read(name) == content  # made by an attempt of ours whose answer was lost
        return True

    def remove(self, name: str) -> None:
        """Removes an object if it exists."""
        with suppress(FileNotFoundError):
            self._again(lambda: self._objects.remove(name))

    def put(self, file: Path, name: str) -> None:
        self._again(lambda: self._objects.put(file, name))

    def get(self, name: str, file: Path) -> None:
        self._again(lambda: self._objects.get(name, file))

    def warn(self, message: str) -> None:
        """Logs a warning with the URL."""
        _LOG.warning("%s: %s", self.url, message)

    def _again(self, call: Callable[[], T]) -> T:
        """Result of a call, retried for some seconds, with one warning for all failures in a row."""
        for delay in (*_DELAYS_S, None):
            try:
                result = call()
            except _FINAL:
                raise
            except Exception as error:  # of the network, in the words of one library or another
                if delay is None:
                    raise OSError(errno.EIO, _line(error), self.url) from error
                if not self._failing:
                    self._failing = True
                    self.warn(f"{_line(error)}; it is tried again")
            else:
                if self._failing:
                    self._failing = False
                    self.warn("can be reached again")
                return result
            time.sleep(delay * random.uniform(0.5, 1.5))
        raise AssertionError("the last attempt returns or raises")


@dataclass(frozen=True)
class RemoteRecords:
    """The records of one lease, ``locks.records.Records``, in shared storage: ``leases/<lock>/1``, ..."""

    remote: Remote
    lock: str

    @property
    def name(self) -> str:
        return f"{self.remote.url}/{self.lock}"

    def numbers(self) -> list[int]:
        names = self.remote.list(self._folder)
        last = (name.rpartition("/")[2] for name in names)
        return [int(number) for number in last if number.isascii() and number.isdecimal()]

    def read(self, number: int) -> bytes:
        try:
            return self.remote.read(f"{self._folder}/{number}")
        except FileNotFoundError:
            return b""

    def create(self, number: int, content: bytes) -> bool:
        return self.remote.create(f"{self._folder}/{number}", content)

    def renew(self, number: int, content: bytes) -> bool:
        if number not in self.numbers():
            return False
        self.remote.write(f"{self._folder}/{number}", content)
        return True

    def remove(self, number: int) -> None:
        self.remote.remove(f"{self._folder}/{number}")

    @property
    def _folder(self) -> str:
        return f"leases/{self.lock}"


def _objects(url: str) -> Objects:
    parts = urlsplit(url)
    if parts.scheme not in _NEEDS:
        raise InputError(f"{url}: shared storage is gs://, s3:// or file:///")
    if parts.query or parts.fragment or ".." in parts.path.split("/"):
        raise InputError(f"{url}: must be a plain path, without ?, # or ..")
    if parts.scheme == "file":
        if parts.netloc or not parts.path.strip("/"):
            raise InputError(f"{url}: must be file:// and an absolute path, such as file:///shared/sweep")
        return Disk(Path(unquote(parts.path)))
    if not parts.netloc:
        raise InputError(f"{url}: names no bucket")
    package = _NEEDS[parts.scheme]
    if package is not None and importlib.util.find_spec(package) is None:
        raise InputError(f"{url}: {parts.scheme}:// needs: {_EXTRA}")
    return Bucket(filesystem(parts.scheme, use_listings_cache=False), f"{parts.netloc}{parts.path}")


def _line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), repr(error))
