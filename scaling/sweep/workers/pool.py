"""Those who train the runs of a role: each that ends is followed by another as long as there are runs nobody trains."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from scaling.errors import InputError
from scaling.sweep.folder.sweep_folder import SweepFolder

# In a row, without anything taken up: of themselves, and killed from outside, which says little of the work.
_FRUITLESS, _KILLED = 3, 20


@dataclass(frozen=True)
class Fault:
    """Why a hand has ended before its time.

    Attributes:
        told: a line for the user.
        fatal: no other hand would fare better.
        killed: it was ended from outside.
    """

    told: str
    fatal: bool
    killed: bool = False


@runtime_checkable
class Hand(Protocol):
    """A worker, or a task or job elsewhere that starts workers."""

    @property
    def ended(self) -> bool:
        """Whether it has, of itself or not."""

    def fault(self) -> Fault | None:
        """Of one that has ended: why before its time; None if all went well or it was asked to."""

    def note(self, fault: Fault) -> None:
        """Tells here, and where its output goes, that it has ended so, and that another one goes on."""

    def terminate(self) -> None:
        """Asks it to save its state and end."""

    def wait(self) -> None:
        """Until it has ended, of itself or when its time to do so is over."""


def gravest(faults: Iterable[Fault | None]) -> Fault | None:
    """Of what those who trained as one have ended with: that which was not brought on by the end of another."""
    return max((fault for fault in faults if fault), key=lambda fault: (fault.fatal, fault.killed), default=None)


class Team:
    """Hands that train as one, and are a hand together: none goes on without the others.

    Args:
        members: the hands.
    """

    def __init__(self, members: Sequence[Hand]) -> None:
        self._members = members

    @property
    def ended(self) -> bool:
        return self.fault() is not None or all(member.ended for member in self._members)

    def fault(self) -> Fault | None:
        return gravest(member.fault() for member in self._members if member.ended)

    def note(self, fault: Fault) -> None:
        self._members[0].note(fault)

    def terminate(self) -> None:
        for member in self._members:
            member.terminate()

    def wait(self) -> None:
        for member in self._members:
            if not member.ended:
                member.terminate()
        for member in self._members:
            member.wait()


class Crew:
    """Hands on numbered seats, one after another on each.

    Args:
        size: how many seats there are.
        start: called with the numbers of seats that are to be taken; returns a hand for each.
    """

    def __init__(self, size: int, start: Callable[[Sequence[int]], Sequence[Hand]]) -> None:
        self.size, self._start = size, start
        # With what was done when each began.
        self._working: dict[int, tuple[Hand, object]] = {}
        self._fruitless = 0

    @property
    def idle(self) -> bool:
        """Whether none is at work."""
        return not self._working

    def tend(self, free: int, held: int, done: object) -> None:
        """Called twice a second: starts hands where there are runs that nobody trains.

        Args:
            free: how many jobs nobody has.
            held: how many jobs somebody has.
            done: what changes whenever a run is taken up or ends.

        Raises:
            InputError: nothing can be trained.
        """
        for seat, (hand, before) in list(self._working.items()):
            if hand.ended:
                del self._working[seat]
                hand.wait()
                self._judge(hand, fruitless=done == before)
        coming = max(0, len(self._working) - held)  # those that have not taken a run yet
        empty = [seat for seat in range(self.size) if seat not in self._working][: max(0, free - coming)]
        if empty:
            self._working |= {seat: (hand, done) for seat, hand in zip(empty, self._start(empty), strict=True)}

    def _judge(self, hand: Hand, fruitless: bool) -> None:
        fault = hand.fault()
        if fault is None:
            return
        self._fruitless = self._fruitless + 1 if fruitless else 0
        if fault.fatal or self._fruitless >= (_KILLED if fault.killed else _FRUITLESS):
            raise InputError(fault.told)
        hand.note(fault)

    def stop(self) -> None:
        """Has every hand save its state and end; returns when they have."""
        hands = [hand for hand, _ in self._working.values()]
        for hand in hands:
            hand.terminate()
        for hand in hands:
            hand.wait()
        self._working.clear()


@runtime_checkable
class Executor(Protocol):
    """Where hands work: this machine, a Ray cluster, Slurm."""

    def __call__(
        self, sweep: SweepFolder, role: str, workers: int | None, devices: int | None
    ) -> AbstractContextManager[Crew]:
        """A crew for the runs of a role, all of whose hands have ended when the context does.

        Args:
            sweep: the prepared folder.
            role: ``fit`` or ``target``.
            workers: how many processes train at once; None for as many as there are cores, or devices of an
                accelerator, or as the mesh needs.
            devices: of the mesh that trains as one; None if each device trains by itself.

        Raises:
            InputError: there is nowhere for them to work.
        """
