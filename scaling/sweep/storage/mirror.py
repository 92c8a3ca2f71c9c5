"""The local mirror of a sweep's folder in shared storage: takes the locks of both and synchronises them."""

import functools
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scaling.errors import InputError
from scaling.files import write_text
from scaling.sweep.host.machine import cache_folder
from scaling.sweep.locks import leases
from scaling.sweep.locks.leases import LeaseLost, still_held
from scaling.sweep.locks.local import LocalLocks
from scaling.sweep.locks.locks import waited_for
from scaling.sweep.storage.origin import ORIGIN
from scaling.sweep.storage.remote import Remote, RemoteRecords
from scaling.sweep.storage.run_part import RunPart
from scaling.sweep.storage.sweep_part import SweepPart

# Between two looks at what others do, and two times that what is trained here is stored.
LOOK_S, STORE_S = 5.0, 5.0
_PLACES = ("runs", "trunks")
_AT_ONCE = 16


class Mirror:
    """A local copy of a folder in shared storage; its ``Locks`` hold among all hosts.

    Args:
        folder: the copy.
        remote: the storage.
    """

    def __init__(self, folder: Path, remote: Remote) -> None:
        self.folder, self._remote, self._here = folder, remote, LocalLocks()
        # The locks that anybody ever took, and which of those looked up since are free, as of a time.
        self._taken: set[str] | None = None
        self._free: dict[str, bool] = {}
        self._looked = -LOOK_S

    @contextmanager
    def locked(self, path: Path) -> Iterator[bool]:
        """Holds a lock here and its lease in the storage; yields False at once if another process has either.

        What the lock covers is then as new as the storage, and what changes is stored.

        Raises:
            InputError: the storage may not be written.
        """
        with self._here.locked(path) as mine:
            if not mine:
                yield False
                return
            with self._leased(path) as ours:
                yield ours

    @contextmanager
    def _leased(self, lock: Path) -> Iterator[bool]:
        """A context that holds the lease in the storage of a lock that this process holds locally."""
        part = self._part(lock)
        with ExitStack() as stack:
            try:
                mine = stack.enter_context(leases.leased(RemoteRecords(self._remote, self._name(lock))))
                if mine:
                    part.pull()
                    if self._name(lock).startswith("trunks"):
                        self.look()  # at its branches
            except PermissionError as error:
                raise InputError(f"{self._remote.url}: may not be written: {error.strerror or error}") from None
            except OSError:  # Remote has warned of it
                mine = False
            if not mine:
                yield False
                return
            stack.enter_context(_stored(part, self._remote))
            yield True

    def free(self, path: Path) -> bool:
        """Whether no process holds a lock, here or (some seconds ago) elsewhere; False if that is unknown."""
        return self._here.free(path) and self._lease_free(path)

    def _lease_free(self, lock: Path) -> bool:
        name = self._name(lock)
        try:
            if time.monotonic() - self._looked >= LOOK_S:
                self._looked, self._taken, self._free = time.monotonic(), None, {}
                records = self._remote.list("leases")
                self._taken = {record.removeprefix("leases/").rpartition("/")[0] for record in records}
            if self._taken is None:
                return False
            if name not in self._free:
                self._free[name] = name not in self._taken or leases.free(RemoteRecords(self._remote, name))
        except OSError:
            self._free[name] = False
        return self._free[name]

    def look(self) -> None:
        """Fetches the progress of runs that other hosts train.

        Raises:
            OSError: the storage cannot be reached.
        """
        by_place: dict[str, dict[str, str]] = {}
        for name, version in self._remote.list().items():
            parts = name.split("/", 2)
            if len(parts) == 3 and parts[0] in _PLACES and parts[1].isalnum():
                by_place.setdefault(f"{parts[0]}/{parts[1]}", {})[parts[2]] = version

        def fetch(place: str) -> None:
            part = RunPart(self._remote, self.folder, place)
            if part.unseen(by_place[place]):
                (self.folder / place).mkdir(parents=True, exist_ok=True)
                with self._here.locked(self.folder / place / "lock") as ours:
                    if ours:
                        part.look(by_place[place])

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(fetch, by_place))

    def fetch(self) -> None:
        """Fetches all that is newer in the storage.

        Raises:
            OSError: the storage cannot be reached.
        """
        SweepPart(self._remote, self.folder).pull()
        self.look()

    def store(self) -> None:
        """Stores all that is newer here: made outside of a lock, or left by a killed process.

        Raises:
            InputError: it may not be written.
            Stopped: this process was requested to stop.
        """
        for place in _PLACES:
            for folder in sorted((self.folder / place).glob("*")):
                if folder.is_dir() and RunPart(self._remote, self.folder, f"{place}/{folder.name}").newer():
                    with self.locked(folder / "lock"):
                        pass
        if SweepPart(self._remote, self.folder).newer():
            with waited_for(self, self.folder / "lock"):
                pass

    def _part(self, lock: Path) -> SweepPart | RunPart:
        if lock.parent == self.folder:
            return SweepPart(self._remote, self.folder)
        return RunPart(self._remote, self.folder, lock.parent.relative_to(self.folder).as_posix())

    def _name(self, lock: Path) -> str:
        return lock.relative_to(self.folder).as_posix()


@contextmanager
def _stored(part: SweepPart | RunPart, remote: Remote) -> Iterator[None]:
    """A context that stores the changes of a part, a run's every few seconds, and all at the end."""
    ended = threading.Event()

    def keep() -> None:
        while isinstance(part, RunPart) and not ended.wait(STORE_S):
            try:
                still_held()
                part.push()
            except LeaseLost:
                return
            except OSError:
                continue

    keeper = threading.Thread(target=keep, name="store", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()
        try:
            still_held(sure=True)
            part.push() if isinstance(part, SweepPart) else part.push(last=True)
        except LeaseLost:
            remote.warn("somebody else has taken over; what was made here meanwhile is not stored")
        except OSError as error:
            remote.warn(f"cannot be stored now: {error.strerror or error}; it is kept here, and stored by a later call")


@functools.cache
def mirror_at(folder: Path) -> Mirror:
    """Opens the mirror in a folder with an origin."""
    return Mirror(folder, Remote.of(json.loads((folder / ORIGIN).read_text())["url"]))


def mirror_for(url: str) -> Mirror:
    """Opens the mirror, in this machine's cache, of a folder in shared storage; makes it if missing.

    Raises:
        InputError: there is no such storage, or it needs what is not installed.
    """
    remote = Remote.of(url)
    folder = cache_folder().absolute() / "mirror" / hashlib.sha256(remote.url.encode()).hexdigest()[:16]
    if not (folder / ORIGIN).exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / ORIGIN, json.dumps({"url": remote.url}))
    return mirror_at(folder)


def fetched(url: str) -> Path:
    """Fetches one file in shared storage into this machine's cache; returns its path.

    Raises:
        InputError: there is no such storage or file, or it cannot be reached.
    """
    parent, _, name = url.rpartition("/")
    folder = cache_folder().absolute() / "mirror" / hashlib.sha256(url.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        Remote.of(parent).get(name, folder / name)
    except OSError as error:
        raise InputError(f"{url}: {error.strerror or 'no such file'}") from None
    return folder / name


@contextmanager
def shared(url: str) -> Iterator[Path]:
    """A context with the mirror of a folder in shared storage, fetched at its start and stored at its end.

    Raises:
        InputError: there is no such storage, or it cannot be reached.
    """
    mirror, ended = mirror_for(url), threading.Event()
    try:
        mirror.fetch()
    except OSError as error:
        raise InputError(f"{url}: cannot be reached: {error.strerror or error}") from None

    def keep() -> None:
        while not ended.wait(LOOK_S):
            try:
                mirror.look()
            except OSError:
                continue

    keeper = threading.Thread(target=keep, name="look", daemon=True)
    keeper.start()
    try:
        yield mirror.folder
    finally:
        ended.set()
        keeper.join()
        mirror.store()
