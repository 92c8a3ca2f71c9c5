"""A request to stop: a flag that may be set at any moment, and is read between two dispatches."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# The exit status of a process that has stopped on request, its state saved: "try again later" (sysexits' EX_TEMPFAIL).
STOPPED_EXIT = 75

_asked = threading.Event()


class Stopped(BaseException):
    """Training was requested to stop and its state is saved; not an Exception, as nothing has gone wrong."""


def request_stop() -> None:
    """The run that trains now is saved after its dispatch, and ``Stopped`` raised."""
    _asked.set()


def stop_requested() -> bool:
    return _asked.is_set()


@contextmanager
def stopping_on_signals(at_once: Callable[[], None] | None = None) -> Iterator[None]:
    """Within this, SIGTERM and SIGINT ask to stop.

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
        _asked.clear()
