"""The part of a mirror under the sweep's own lock: plan, configs, forecast, tables and report."""

import re
from pathlib import Path
from typing import Any

from scaling.sweep.storage.remote import Remote
from scaling.sweep.storage.sync_record import SyncRecord, digest_of, write_here

PLAN = "plan.json"
_OWN = re.compile(r"\w[\w-]*\.(json|yaml|parquet|html)|forks/\d+/\w[\w-]*\.(json|yaml|parquet|html)")
_CONFIG = re.compile(r"runs/[0-9a-f]{12}/config\.json")


class SweepPart:
    """Files of the sweep and configs of its runs; where both sides have changed, the storage wins.

    Args:
        remote: the storage.
        folder: the mirror.
    """

    def __init__(self, remote: Remote, folder: Path) -> None:
        self._remote, self._folder = remote, folder

    def pull(self) -> None:
        """Fetches the files that are newer in the storage; leaves those that were made only here."""
        there, record = self._there(), SyncRecord(self._folder)
        new = [name for name in there if name not in record.agreed or record.agreed[name][0] != there[name]]
        contents = self._remote.read_all(new)
        for name, content in sorted(contents.items(), key=_plan_last):
            write_here(self._folder / name, content)
            record.agreed[name] = [there[name], digest_of(content)]
        for name in record.agreed.keys() - there.keys():
            (self._folder / name).unlink(missing_ok=True)
            del record.agreed[name]
        record.write()

    def push(self) -> None:
        """Stores the files that are newer here; the plan, which makes a folder a sweep's, is the last."""
        here, record = self._here(), SyncRecord(self._folder)
        contents = {name: path.read_bytes() for name, path in here.items()}
        digests = {name: digest_of(content) for name, content in contents.items()}
        new = {name: content for name, content in contents.items() if digests[name] != record.version_here(name)}
        self._remote.write_all({name: content for name, content in new.items() if name != PLAN})
        for name in record.agreed.keys() - here.keys():
            self._remote.remove(name)
        if PLAN in new:
            self._remote.write(PLAN, new[PLAN])
        if new or record.agreed.keys() - here.keys():
            record.agreed = {name: [version, digests.get(name, "")] for name, version in self._there().items()}
            record.write()

    def newer(self) -> bool:
        """Whether files here have changed since both sides were the same."""
        record = SyncRecord(self._folder)
        return any(digest_of(path.read_bytes()) != record.version_here(name) for name, path in self._here().items())

    def _there(self) -> dict[str, str]:
        return {name: version for name, version in self._remote.list().items() if _is_sweep_file(name)}

    def _here(self) -> dict[str, Path]:
        files = [*self._folder.glob("*"), *self._folder.glob("forks/*/*"), *self._folder.glob("runs/*/config.json")]
        names = {path.relative_to(self._folder).as_posix(): path for path in files if path.is_file()}
        return {name: path for name, path in names.items() if _is_sweep_file(name)}


def _is_sweep_file(name: str) -> bool:
    """Whether a name is one of a sweep's own files, the only ones written into the mirror."""
    return _OWN.fullmatch(name) is not None or _CONFIG.fullmatch(name) is not None


def _plan_last(entry: tuple[str, Any]) -> tuple[bool, str]:
    return entry[0] == PLAN, entry[0]
