"""Leases: locks with one holder at a time for storage without locks, made of files alone.

A lease is a row of numbered records, each of which one process alone can create, and the newest of which counts. Its
holder renews it every few seconds. Whoever sees it unchanged for long enough takes over: creates the next number, and
removes those before. Time is taken by the observer's own monotonic clock and never compared with another's, so clocks
that differ or are set back change nothing. No number comes twice: a record that is released stays until there is a
newer one. A holder that was taken for dead (it was suspended, say) finds the newer record, and writes nothing more.
"""

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from scaling.sweep.locks.process_identity import has_ended, this_process
from scaling.sweep.locks.records import Records
from scaling.train.stop import Stopped

# A holder renews its record this often; unchanged for so long it has lapsed.
RENEW_S, LAPSE_S = 10.0, 60.0
# A record's length does not change, so that renewing it needs no room on a disk that has become full.
_BYTES = 1024
_LOG = logging.getLogger(__name__)


class LeaseLost(Stopped):
    """The lease lapsed and another process holds it; this one ends without writing anything more."""


class Lease:
    """A lease that this process holds, renewed by a thread until it is released or found lost."""

    def __init__(self, records: Records, number: int) -> None:
        self._records, self._number, self._renewals = records, number, 0
        self._holder = this_process()
        # By the clock that goes on while the machine sleeps, if there is one: when it was certainly held.
        self._confirmed = _now()
        self._lost, self._mutex, self._ended = False, threading.Lock(), threading.Event()

    @property
    def name(self) -> str:
        return self._records.name

    def content(self, released: bool = False) -> bytes:
        record = {**self._holder, "released": released, "renewals": self._renewals}
        return json.dumps(record).encode().ljust(_BYTES)

    def keep(self) -> None:
        """Starts the thread that renews the lease."""
        threading.Thread(target=self._keep, name=f"lease {self._records.name}", daemon=True).start()

    def _keep(self) -> None:
        while not self._ended.wait(RENEW_S) and self.renew():
            pass

    def renew(self) -> bool:
        """Renews the lease; returns whether it is still held."""
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
        """Whether no other process can hold the lease; ``sure`` checks the records even after a recent check."""
        if sure or _now() - self._confirmed > LAPSE_S / 2:
            self.renew()
        return not self._lost and _now() - self._confirmed <= LAPSE_S / 2

    def release(self) -> None:
        """Releases the lease."""
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
    """Whether no process holds a lease; releases one whose holder is dead."""
    newest = max(records.numbers(), default=0)
    if not newest or _parse(records.read(newest)).get("released") is True:
        return True
    lease = _acquire(records)
    if lease is not None:
        lease.release()
    return lease is not None


def still_held(sure: bool = False) -> None:
    """Checks that this process still holds its leases, before a write that only their holder may do.

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
    """How the holder of the newest record lost the lease: None if it still holds it, empty if it released it."""
    content = records.read(number)
    holder = _parse(content)
    who = f"process {holder.get('pid')} on {holder.get('host')}"
    if holder.get("released") is True:
        return ""
    if has_ended(holder):
        return f"{who} has ended"
    if _unchanged(records.name, number, content) >= LAPSE_S:
        return f"{who} has given no sign of life for {LAPSE_S:g} s"
    return None


@dataclass
class _Seen:
    """The newest record of a lease that this process has seen, since when, and for how long it was unchanged."""

    record: tuple[int, bytes]
    at: float
    still: float = 0.0


_seen: dict[str, _Seen] = {}
_looking = threading.Lock()


def _unchanged(name: str, number: int, content: bytes) -> float:
    """Seconds for which this process has seen a record unchanged.

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
    """The content of a record; empty if it is damaged."""
    try:
        holder = json.loads(content)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _now() -> float:
    clock = time.CLOCK_BOOTTIME if hasattr(time, "CLOCK_BOOTTIME") else time.CLOCK_MONOTONIC
    return time.clock_gettime(clock)
