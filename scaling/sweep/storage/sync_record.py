"""The record of a mirror's objects that were equal in the storage at the last comparison."""

import hashlib
import json
from pathlib import Path

from scaling.files import write_bytes, write_text

RECORD = ".stored.json"


class SyncRecord:
    """Versions of the objects that were equal on both sides, stored in a file of the mirror.

    Attributes:
        agreed: by name, the version in the storage and the version here.
        seen: by name, the version in the storage of objects that were only looked at since.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / RECORD
        try:
            known = json.loads(self._file.read_bytes())
        except (FileNotFoundError, ValueError):
            known = {"agreed": {}, "seen": {}}
        self.agreed: dict[str, list[str]] = known["agreed"]
        self.seen: dict[str, str] = known["seen"]

    def write(self) -> None:
        """Writes the record atomically."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_text(self._file, json.dumps({"agreed": self.agreed, "seen": self.seen}))

    def forget(self) -> None:
        """Removes all versions until the record is written again."""
        self._file.unlink(missing_ok=True)
        self.agreed, self.seen = {}, {}

    def version_here(self, name: str) -> str:
        """Local version of the content that was equal; empty if there was none."""
        return self.agreed[name][1] if name in self.agreed else ""


def digest_of(content: bytes) -> str:
    """Version of a local file: its digest."""
    return hashlib.sha256(content).hexdigest()


def write_here(path: Path, content: bytes) -> None:
    """Writes a fetched file atomically, and makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
