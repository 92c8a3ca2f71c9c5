"""Records of a lease: numbered contents, each of which one process alone can create."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable


@runtime_checkable
class Records(Protocol):
    """The records of one lease. Methods raise OSError if they fail otherwise than described."""

    @property
    def name(self) -> str:
        """The name by which all processes know the lease."""

    def numbers(self) -> list[int]:
        """Numbers of the records that exist, in any order."""

    def read(self, number: int) -> bytes:
        """The content of a record, maybe half written; empty if there is none."""

    def create(self, number: int, content: bytes) -> bool:
        """Makes a record; False if there is one of this number."""

    def renew(self, number: int, content: bytes) -> bool:
        """Overwrites a record; False if there is none."""

    def remove(self, number: int) -> None:
        """Removes a record if it is there."""


@dataclass(frozen=True)
class FileRecords:
    """Records in files named after a path: ``lock.lease.1``, ``lock.lease.2``, ..."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def numbers(self) -> list[int]:
        prefix = f"{self.path.name}.lease."
        try:
            names = os.listdir(self.path.parent)
        except FileNotFoundError:
            return []
        numbers = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
        return [int(number) for number in numbers if number.isascii() and number.isdecimal()]

    def read(self, number: int) -> bytes:
        try:
            return self._file(number).read_bytes()
        except FileNotFoundError:
            return b""

    def create(self, number: int, content: bytes) -> bool:
        file = self._file(number)
        try:
            with open(file, "xb") as record:
                record.write(content)
        except FileExistsError:
            return False
        except OSError:
            file.unlink(missing_ok=True)
            raise
        return True

    def renew(self, number: int, content: bytes) -> bool:
        try:
            with open(self._file(number), "r+b", buffering=0) as record:
                record.write(content)
        except FileNotFoundError:
            return False
        return True

    def remove(self, number: int) -> None:
        self._file(number).unlink(missing_ok=True)

    def _file(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.lease.{number}")
