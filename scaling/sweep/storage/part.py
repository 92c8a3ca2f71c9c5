"""What one lock covers, here and in the storage: the sweep's own files, or those of a run or a trunk."""

import hashlib
import json
import re
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scaling.files import write_bytes, write_text
from scaling.sweep.storage.remote import Remote
from scaling.train.checkpoints.index import forget
from scaling.train.checkpoints.parameters import PARAMETERS

RECORD = ".stored.json"
PLAN = "plan.json"
_METRICS, _STATUS, _STEPS, _ATTEMPTS = "metrics.jsonl", "status.json", "checkpoints.jsonl", "attempts.json"
_OWN = re.compile(r"\w[\w-]*\.(json|yaml|parquet|html)|forks/\d+/\w[\w-]*\.(json|yaml|parquet|html)")
_CONFIG = re.compile(r"runs/[0-9a-f]{12}/config\.json")
_CHECKPOINT = re.compile(r"checkpoints/(\d+)\.tar")


class Record:
    """What was the same here and there when they were last compared; kept in a file of the mirror.

    Attributes:
        agreed: by name, what told the object's content there, and what tells ours.
        seen: by name, the former of what was only looked at since.
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
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_text(self._file, json.dumps({"agreed": self.agreed, "seen": self.seen}))

    def forget(self) -> None:
        """From now on nothing is the same, until it is written anew."""
        self._file.unlink(missing_ok=True)
        self.agreed, self.seen = {}, {}

    def told(self, name: str) -> str:
        """What tells ours of the content that was the same; empty if there was none."""
        return self.agreed[name][1] if name in self.agreed else ""


class OwnPart:
    """The sweep's own files, and its runs' configs. What has changed there since both were the same wins."""

    def __init__(self, remote: Remote, folder: Path) -> None:
        self._remote, self._folder = remote, folder

    def pull(self) -> None:
        """Makes the files here as new as those there; what was made here since, and not there, is left."""
        there, record = self._there(), Record(self._folder)
        new = [name for name in there if name not in record.agreed or record.agreed[name][0] != there[name]]
        contents = self._remote.read_all(new)
        for name, content in sorted(contents.items(), key=_plan_last):
            _write(self._folder / name, content)
            record.agreed[name] = [there[name], _digest(content)]
        for name in record.agreed.keys() - there.keys():
            (self._folder / name).unlink(missing_ok=True)
            del record.agreed[name]
        record.write()

    def push(self) -> None:
        """Makes the files there as new as those here; the plan, by which a sweep is known, is the last."""
        here, record = self._here(), Record(self._folder)
        contents = {name: path.read_bytes() for name, path in here.items()}
        digests = {name: _digest(content) for name, content in contents.items()}
        new = {name: content for name, content in contents.items() if digests[name] != record.told(name)}
        self._remote.write_all({name: content for name, content in new.items() if name != PLAN})
        for name in record.agreed.keys() - here.keys():
            self._remote.remove(name)
        if PLAN in new:
            self._remote.write(PLAN, new[PLAN])
        if new or record.agreed.keys() - here.keys():
            record.agreed = {name: [version, digests.get(name, "")] for name, version in self._there().items()}
            record.write()

    def newer(self) -> bool:
        """Whether files here were changed since both were the same."""
        record = Record(self._folder)
        return any(_digest(path.read_bytes()) != record.told(name) for name, path in self._here().items())

    def _there(self) -> dict[str, str]:
        return {name: version for name, version in self._remote.list().items() if _covers(name)}

    def _here(self) -> dict[str, Path]:
        files = [*self._folder.glob("*"), *self._folder.glob("forks/*/*"), *self._folder.glob("runs/*/config.json")]
        names = {path.relative_to(self._folder).as_posix(): path for path in files if path.is_file()}
        return {name: path for name, path in names.items() if _covers(name)}


class RunPart:
    """A run's files, or a trunk's, all but the config.

    Where nothing there has changed since both were the same, those here are as new or newer: a process that was killed
    had more than it had stored.

    Args:
        remote: the storage.
        folder: of the mirror.
        place: ``runs/<id>`` or ``trunks/<id>``.
    """

    def __init__(self, remote: Remote, folder: Path, place: str) -> None:
        self._remote, self._folder, self._place = remote, folder / place, place

    def look(self, there: dict[str, str]) -> None:
        """Fetches what shows how far a run is that others train.

        Args:
            there: the run's objects, as ``Remote.list`` has them, by names within the run's folder.
        """
        record = Record(self._folder)
        if not self._unseen(there, record):
            return
        # Stored last, and so fetched first: what says that a run has ended comes with all of its metrics.
        status = self._fetch([_STATUS]) if _STATUS in there else {}
        for name, content in {**self._fetch([_METRICS]), **status}.items():
            _write(self._folder / name, content)
            record.seen[name] = there.get(name, "")
        record.write()

    def unseen(self, there: dict[str, str]) -> bool:
        """Whether ``look`` would fetch anything."""
        return self._unseen(there, Record(self._folder))

    def _unseen(self, there: dict[str, str], record: Record) -> bool:
        known = {name: version for name, (version, _) in record.agreed.items()} | record.seen
        return any(name in there and there[name] != known.get(name) for name in (_METRICS, _STATUS))

    def newer(self) -> bool:
        """Whether there is something here that is not stored yet."""
        record = Record(self._folder)
        for name in (_METRICS, _STATUS):
            path = self._folder / name
            if name not in record.seen and path.exists() and _digest(path.read_bytes()) != record.told(name):
                return True
        return False

    def pull(self) -> None:
        """Makes the files here those of the storage, unless they are as new or newer."""
        there, record = self._there(), Record(self._folder)
        if there == {name: version for name, (version, _) in record.agreed.items()} and not record.seen:
            return
        steps = {name: int(match[1]) for name in there if (match := _CHECKPOINT.fullmatch(name))}
        record.forget()
        forget(self._folder / "checkpoints")
        for name in {_METRICS, _ATTEMPTS, _STATUS, PARAMETERS} - there.keys():
            (self._folder / name).unlink(missing_ok=True)
        contents = self._fetch(name for name in there if name not in steps)
        for name, content in contents.items():
            _write(self._folder / name, content)
            record.agreed[name] = [there[name], _digest(content)]
        for name, step in steps.items():
            record.agreed[name] = [there[name], self._unpack(name, step)]
        record.write()

    def push(self, last: bool = False) -> None:
        """Stores what has changed here.

        Args:
            last: all of it; otherwise the metrics only with a new checkpoint, and so that both fit.
        """
        record = Record(self._folder)
        # Read first: nothing else that is stored may be older.
        contents = self._contents(_ATTEMPTS, _STATUS)
        steps = {name: told for name, told in self._checkpoints().items() if told != record.told(name)}
        whole = last or bool(steps) or _ended(contents.get(_STATUS, b'"state": "running"'))
        digests: dict[str, str] = {}
        if whole:
            written = self._contents(_STEPS)
            contents = {**self._contents(_METRICS, PARAMETERS), **written, **contents}
            self._store(PARAMETERS, contents, record, digests)
            self._store(_METRICS, contents, record, digests)
            for name, told in steps.items():
                if self._pack(name):
                    digests[name] = told
            self._store(_STEPS, contents, record, digests)
        self._store(_ATTEMPTS, contents, record, digests)
        self._store(_STATUS, contents, record, digests)
        gone = self._gone(record) if whole else []
        for name in gone:
            self._remote.remove(f"{self._place}/{name}")
        if digests or gone:
            kept = {name: told for name, (_, told) in record.agreed.items()} | digests
            record.agreed = {name: [version, kept.get(name, "")] for name, version in self._there().items()}
            record.seen = {}
            record.write()

    def _store(self, name: str, contents: dict[str, bytes], record: Record, digests: dict[str, str]) -> None:
        """Stores a file if it has changed, and notes what tells its content."""
        if name in contents and _digest(contents[name]) != record.told(name):
            self._remote.write(f"{self._place}/{name}", contents[name])
            digests[name] = _digest(contents[name])

    def _gone(self, record: Record) -> list[str]:
        """What is there and no more here; of checkpoints, not those that nothing newer has taken the place of."""
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
        """Of the checkpoints here, the oldest first, what tells one from another of the same step, by object."""
        found = {}
        for path in sorted((self._folder / "checkpoints").glob("[0-9]*"), key=lambda path: (len(path.name), path.name)):
            if path.name.isdecimal():
                try:
                    told = path.stat()
                except FileNotFoundError:
                    continue
                found[f"checkpoints/{path.name}.tar"] = f"{told.st_ino} {told.st_mtime_ns}"
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
        """Fetches a checkpoint; what tells it from another of the same step, empty if it cannot be read."""
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
            self._remote.tell(f"{self._place}: the checkpoint of step {step} cannot be read: {error}; left out")
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
        return {name: version for name, version in within.items() if _covers_of_run(name)}

    def _fetch(self, names: Iterable[str]) -> dict[str, bytes]:
        contents = self._remote.read_all(f"{self._place}/{name}" for name in names)
        return {name.removeprefix(f"{self._place}/"): content for name, content in contents.items()}


def _covers(name: str) -> bool:
    """Whether a name is one of a sweep's own files; nothing else is ever written into the mirror."""
    return _OWN.fullmatch(name) is not None or _CONFIG.fullmatch(name) is not None


def _covers_of_run(name: str) -> bool:
    return name in (_METRICS, _STATUS, _STEPS, _ATTEMPTS, PARAMETERS) or _CHECKPOINT.fullmatch(name) is not None


def _plan_last(entry: tuple[str, Any]) -> tuple[bool, str]:
    return entry[0] == PLAN, entry[0]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _ended(status: bytes) -> bool:
    """Whether a status says that a run is no longer trained."""
    return b'"state": "running"' not in status


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
