"""A request to stop: a flag that may be set at any moment, and is read between two dispatches."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# The exit status of a process that has stopped on request, its state saved: "try again later" (sysexits' EX_TEMPFAIL).
STOPPED_EXIT = 75

_stop = threading.Event()


class Stopped(BaseException):
    """Training was requested to stop and its state is saved; not an Exception, as nothing has gone wrong."""


def request_stop() -> None:
    """Requests a stop: the training run is saved after its current dispatch, and ``Stopped`` raised."""
    _stop.set()


def stop_requested() -> bool:
    """Whether this process was requested to stop."""
    return _stop.is_set()


@contextmanager
def stopping_on_signals(at_once: Callable[[], None] | None = None) -> Iterator[None]:
    """A context in which SIGTERM and SIGINT request a stop.

    Args:
        at_once: called on the second signal, and then this process ends without more ado; None lets it pass.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop_requested() and at_once is not None:
            at_once()
            os._exit(128 + number)
        request_stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _stop.clear()
