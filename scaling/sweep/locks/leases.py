"""Leases: one holder at a time where a file system has no locks, as long as its processes can make and read files.

A lease is a row of numbered records, each of which one process alone can create, and the newest of which counts. Its
holder renews it every few seconds. Whoever sees it unchanged for long enough takes over: creates the next number, and
removes those before. Time is taken by the observer's own monotonic clock and never compared with another's, so clocks
that differ or are set back change nothing. No number comes twice: a record that is released stays until there is a
newer one. A holder that was taken for dead (it was suspended, say) finds the newer record, and writes nothing more.
"""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from scaling.train.stop import Stopped

# A holder renews its record this often; unchanged for so long it has lapsed.
RENEW_S, LAPSE_S = 10.0, 60.0
# A record's length does not change, so that renewing it needs no room on a disk that has become full.
_BYTES = 1024
_BOOT, _SPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
_LOG = logging.getLogger(__name__)


class LeaseLost(Stopped):
    """This process was taken for dead, and another has what it held: it ends without writing anything more."""


@runtime_checkable
class Records(Protocol):
    """Where the records of one lease are. Its methods raise OSError where they fail otherwise than described."""

    @property
    def name(self) -> str:
        """By which all processes know it."""

    def numbers(self) -> list[int]:
        """Of the records that are there."""

    def read(self, number: int) -> bytes:
        """A record, maybe half written; empty if it is not there."""

    def create(self, number: int, content: bytes) -> bool:
        """Makes a record; False if there is one of this number."""

    def renew(self, number: int, content: bytes) -> bool:
        """Writes a record anew; False if it is not there."""

    def remove(self, number: int) -> None:
        """Removes a record if it is there."""


@dataclass(frozen=True)
class FileRecords:
    """Records in files beside a path: ``lock.lease.1``, ``lock.lease.2``, ..."""

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


class Lease:
    """A lease that this process holds, renewed by a thread until it is released or found lost."""

    def __init__(self, records: Records, number: int) -> None:
        self._records, self._number, self._renewals = records, number, 0
        self._holder = _this_process()
        # By the clock that goes on while the machine sleeps, if there is one: when it was certainly held.
        self._confirmed = _now()
        self._lost, self._mutex, self._ended = False, threading.Lock(), threading.Event()

    @property
    def name(self) -> str:
        return self._records.name

    def content(self, released: bool = False) -> bytes:
        told = {**self._holder, "released": released, "renewals": self._renewals}
        return json.dumps(told).encode().ljust(_BYTES)

    def keep(self) -> None:
        """Begins to renew it."""
        threading.Thread(target=self._keep, name=f"lease {self._records.name}", daemon=True).start()

    def _keep(self) -> None:
        while not self._ended.wait(RENEW_S) and self.renew():
            pass

    def renew(self) -> bool:
        """Shows that its holder lives; returns whether it has not been lost."""
        with self._mutex:
            if not self._lost and not self._ended.is_set():
                before = _now()
                self._renewals += 1
                with suppress(OSError):  # then it is not confirmed, and lapses if that lasts
                    there = self._records.renew(self._number, self.content())
                    self._lost = not there or max(self._records.numbers(), default=0) > self._number
                    self._confirmed = before
            return not self._lost

    def held(self, sure: bool) -> bool:
        """Whether nobody else can have it; ``sure`` looks even if a look was taken lately."""
        if sure or _now() - self._confirmed > LAPSE_S / 2:
            self.renew()
        return not self._lost and _now() - self._confirmed <= LAPSE_S / 2

    def release(self) -> None:
        """Lets it go."""
        self._ended.set()
        with self._mutex, suppress(OSError):  # then it lapses
            if not self._lost:
                self._records.renew(self._number, self.content(released=True))


_held: set[Lease] = set()


@contextmanager
def leased(records: Records) -> Iterator[bool]:
    """Holds a lease; yields False at once if another process has it."""
    lease = _acquire(records)
    if lease is None:
        yield False
        return
    lease.keep()
    _held.add(lease)
    try:
        yield True
    finally:
        _held.discard(lease)
        lease.release()


def free(records: Records) -> bool:
    """Whether nobody has a lease; one whose holder is dead is released for it."""
    newest = max(records.numbers(), default=0)
    if not newest or _parse(records.read(newest)).get("released") is True:
        return True
    lease = _acquire(records)
    if lease is not None:
        lease.release()
    return lease is not None


def still_held(sure: bool = False) -> None:
    """Before this process writes what only the holder of its leases may.

    Args:
        sure: looks at every lease; otherwise only if the last look is too long ago.

    Raises:
        LeaseLost: one of them has been taken over.
    """
    for lease in list(_held):
        if not lease.held(sure):
            _LOG.warning("%s: this process was taken for dead; it writes nothing more of what it held", lease.name)
            raise LeaseLost


def _acquire(records: Records) -> Lease | None:
    newest = max(records.numbers(), default=0)
    fate = _fate(records, newest) if newest else ""
    if fate is None:
        return None
    lease, mine = Lease(records, newest + 1), newest + 1
    if not records.create(mine, lease.content()):
        return None
    numbers = records.numbers()
    if max(numbers, default=0) > mine:  # while we were slow others had this number, and went on
        records.remove(mine)
        return None
    for number in numbers:
        if number < mine:
            records.remove(number)
    if fate:
        _LOG.warning("%s: %s; the lease is taken over", records.name, fate)
    return lease


def _fate(records: Records, number: int) -> str | None:
    """What became of the holder of the newest record: None if it has it still, empty if it has released it."""
    content = records.read(number)
    holder = _parse(content)
    who = f"process {holder.get('pid')} on {holder.get('host')}"
    if holder.get("released") is True:
        return ""
    if _dead(holder):
        return f"{who} has ended"
    if _unchanged(records.name, number, content) >= LAPSE_S:
        return f"{who} has given no sign of life for {LAPSE_S:g} s"
    return None


@dataclass
class _Seen:
    """What this process has seen of a lease: its newest record, since when, and how long it has been the same."""

    record: tuple[int, bytes]
    at: float
    still: float = 0.0


_seen: dict[str, _Seen] = {}
_looking = threading.Lock()


def _unchanged(name: str, number: int, content: bytes) -> float:
    """Seconds for which a record has been the same, as far as this process has seen.

    Between two looks no more than one interval of renewal is counted: where the disk hangs for long, for the holder and
    for us, that alone lets nothing lapse.
    """
    with _looking:
        now, before = time.monotonic(), _seen.get(name)
        if before is None or before.record != (number, content):
            before = _seen[name] = _Seen((number, content), now)
        before.still += min(now - before.at, RENEW_S)
        before.at = now
        return before.still


def _parse(content: bytes) -> dict[str, Any]:
    """A record's content; empty if it is damaged."""
    try:
        holder = json.loads(content)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _this_process() -> dict[str, Any]:
    """By what others on this machine can tell that this process has ended: nothing, where there is no /proc."""
    here: dict[str, Any] = {"host": socket.gethostname()[:255], "pid": os.getpid()}
    with suppress(OSError):
        here |= {"boot": _BOOT.read_text().strip(), "space": os.readlink(_SPACE), "started": _started(os.getpid())}
    return here


def _dead(holder: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine, and is no more."""
    here, pid = _this_process(), holder.get("pid")
    if "boot" not in here or any(holder.get(key) != here[key] for key in ("host", "boot", "space")):
        return False
    if not isinstance(pid, int) or not 0 < pid < 2**31:
        return False
    try:
        os.kill(pid, 0)
        return _started(pid) != holder.get("started")
    except ProcessLookupError:
        return True
    except OSError:  # another user's
        return False


def _started(pid: int) -> str | None:
    """When a process started, in ticks since the machine did; None if it has ended and only waits to be reaped."""
    state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return None if state in ("Z", "X") else rest[18]


def _now() -> float:
    clock = time.CLOCK_BOOTTIME if hasattr(time, "CLOCK_BOOTTIME") else time.CLOCK_MONOTONIC
    return time.clock_gettime(clock)
