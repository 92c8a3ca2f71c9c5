"""The part of a mirror under the lock of a run or a trunk: status, metrics and checkpoints."""

import re
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path

from scaling.sweep.storage.remote import Remote
from scaling.sweep.storage.sync_record import SyncRecord, digest_of, write_here
from scaling.train.checkpoints.index import forget
from scaling.train.checkpoints.parameters import PARAMETERS

_METRICS, _STATUS, _STEPS, _ATTEMPTS = "metrics.jsonl", "status.json", "checkpoints.jsonl", "attempts.json"
_CHECKPOINT = re.compile(r"checkpoints/(\d+)\.tar")


class RunPart:
    """The files of a run, or of a trunk, without the config.

    Where nothing in the storage has changed since both were the same, the files here are as new or newer: a process
    that was killed had more than it had stored.

    Args:
        remote: the storage.
        folder: the mirror.
        place: ``runs/<id>`` or ``trunks/<id>``.
    """

    def __init__(self, remote: Remote, folder: Path, place: str) -> None:
        self._remote, self._folder, self._place = remote, folder / place, place

    def look(self, there: dict[str, str]) -> None:
        """Fetches status and metrics of a run that other hosts train.

        Args:
            there: the run's objects, as ``Remote.list`` has them, by names within the run's folder.
        """
        record = SyncRecord(self._folder)
        if not self._unseen(there, record):
            return
        # Stored last, and so fetched first: what says that a run has ended comes with all of its metrics.
        status = self._fetch([_STATUS]) if _STATUS in there else {}
        for name, content in {**self._fetch([_METRICS]), **status}.items():
            write_here(self._folder / name, content)
            record.seen[name] = there.get(name, "")
        record.write()

    def unseen(self, there: dict[str, str]) -> bool:
        """Whether ``look`` would fetch anything."""
        return self._unseen(there, SyncRecord(self._folder))

    def _unseen(self, there: dict[str, str], record: SyncRecord) -> bool:
        known = {name: version for name, (version, _) in record.agreed.items()} | record.seen
        return any(name in there and there[name] != known.get(name) for name in (_METRICS, _STATUS))

    def newer(self) -> bool:
        """Whether something here is not stored yet."""
        record = SyncRecord(self._folder)
        for name in (_METRICS, _STATUS):
            path = self._folder / name
            if name not in record.seen and path.exists() and digest_of(path.read_bytes()) != record.version_here(name):
                return True
        return False

    def pull(self) -> None:
        """Fetches the files of the storage that are newer than those here."""
        there, record = self._there(), SyncRecord(self._folder)
        if there == {name: version for name, (version, _) in record.agreed.items()} and not record.seen:
            return
        steps = {name: int(match[1]) for name in there if (match := _CHECKPOINT.fullmatch(name))}
        record.forget()
        forget(self._folder / "checkpoints")
        for name in {_METRICS, _ATTEMPTS, _STATUS, PARAMETERS} - there.keys():
            (self._folder / name).unlink(missing_ok=True)
        contents = self._fetch(name for name in there if name not in steps)
        for name, content in contents.items():
            write_here(self._folder / name, content)
            record.agreed[name] = [there[name], digest_of(content)]
        for name, step in steps.items():
            record.agreed[name] = [there[name], self._unpack(name, step)]
        record.write()

    def push(self, last: bool = False) -> None:
        """Stores the files that have changed here.

        Args:
            last: all of it; otherwise the metrics only with a new checkpoint, and so that both fit.
        """
        record = SyncRecord(self._folder)
        # Read first: nothing else that is stored may be older.
        contents = self._contents(_ATTEMPTS, _STATUS)
        steps = {name: version for name, version in self._checkpoints().items() if version != record.version_here(name)}
        whole = last or bool(steps) or _ended(contents.get(_STATUS, b'"state": "running"'))
        digests: dict[str, str] = {}
        if whole:
            written = self._contents(_STEPS)
            contents = {**self._contents(_METRICS, PARAMETERS), **written, **contents}
            self._store(PARAMETERS, contents, record, digests)
            self._store(_METRICS, contents, record, digests)
            for name, version in steps.items():
                if self._pack(name):
                    digests[name] = version
            self._store(_STEPS, contents, record, digests)
        self._store(_ATTEMPTS, contents, record, digests)
        self._store(_STATUS, contents, record, digests)
        gone = self._gone(record) if whole else []
        for name in gone:
            self._remote.remove(f"{self._place}/{name}")
        if digests or gone:
            kept = {name: here for name, (_, here) in record.agreed.items()} | digests
            record.agreed = {name: [version, kept.get(name, "")] for name, version in self._there().items()}
            record.seen = {}
            record.write()

    def _store(self, name: str, contents: dict[str, bytes], record: SyncRecord, digests: dict[str, str]) -> None:
        """Stores a file if it has changed, and notes its digest."""
        if name in contents and digest_of(contents[name]) != record.version_here(name):
            self._remote.write(f"{self._place}/{name}", contents[name])
            digests[name] = digest_of(contents[name])

    def _gone(self, record: SyncRecord) -> list[str]:
        """Names of objects that are no longer here; checkpoints only if a newer one has replaced them."""
        here = {int(match[1]) for name in self._checkpoints() if (match := _CHECKPOINT.fullmatch(name))}
        needed = max(here, default=0) if (self._folder / _STEPS).exists() else None
        gone = []
        for name in record.agreed:
            match = _CHECKPOINT.fullmatch(name)
            if match is None:
                superfluous = not (self._folder / name).exists()
            else:
                superfluous = int(match[1]) not in here and (needed is None or int(match[1]) < needed)
            if superfluous:
                gone.append(name)
        return gone

    def _checkpoints(self) -> dict[str, str]:
        """Versions by object name of the checkpoints here, the oldest first."""
        found = {}
        for path in sorted((self._folder / "checkpoints").glob("[0-9]*"), key=lambda path: (len(path.name), path.name)):
            if path.name.isdecimal():
                try:
                    state = path.stat()
                except FileNotFoundError:
                    continue
                found[f"checkpoints/{path.name}.tar"] = f"{state.st_ino} {state.st_mtime_ns}"
        return found

    def _pack(self, name: str) -> bool:
        """Stores a checkpoint; False if it was removed meanwhile, as a newer one was written."""
        folder, packed = (self._folder / name).with_suffix(""), self._folder / ".sent.tar"
        try:
            with tarfile.open(packed, "w") as archive:
                archive.add(folder, arcname=".")
            if not folder.exists():
                return False
            self._remote.put(packed, f"{self._place}/{name}")
        except FileNotFoundError:
            return False
        finally:
            packed.unlink(missing_ok=True)
        return True

    def _unpack(self, name: str, step: int) -> str:
        """Fetches a checkpoint; returns its version here, empty if it cannot be read."""
        packed, unpacked = self._folder / ".got.tar", self._folder / ".got"
        folder = self._folder / "checkpoints" / str(step)
        shutil.rmtree(unpacked, ignore_errors=True)
        try:
            self._remote.get(f"{self._place}/{name}", packed)
            with tarfile.open(packed) as archive:
                archive.extractall(unpacked, filter="data")
            folder.parent.mkdir(exist_ok=True)
            unpacked.rename(folder)
        except (tarfile.TarError, EOFError) as error:
            self._remote.warn(f"{self._place}: the checkpoint of step {step} cannot be read: {error}; left out")
            return ""
        finally:
            packed.unlink(missing_ok=True)
            shutil.rmtree(unpacked, ignore_errors=True)
        return self._checkpoints()[name]

    def _contents(self, *names: str) -> dict[str, bytes]:
        contents = {}
        for name in names:
            try:
                contents[name] = (self._folder / name).read_bytes()
            except FileNotFoundError:
                continue
        return contents

    def _there(self) -> dict[str, str]:
        names = self._remote.list(self._place)
        within = {name.removeprefix(f"{self._place}/"): version for name, version in names.items()}
        return {name: version for name, version in within.items() if _is_run_file(name)}

    def _fetch(self, names: Iterable[str]) -> dict[str, bytes]:
        contents = self._remote.read_all(f"{self._place}/{name}" for name in names)
        return {name.removeprefix(f"{self._place}/"): content for name, content in contents.items()}


def _is_run_file(name: str) -> bool:
    return name in (_METRICS, _STATUS, _STEPS, _ATTEMPTS, PARAMETERS) or _CHECKPOINT.fullmatch(name) is not None


def _ended(status: bytes) -> bool:
    """Whether a run has ended by its status."""
    return b'"state": "running"' not in status
