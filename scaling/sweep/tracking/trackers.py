"""A tracker of experiments for a running sweep, fed by a process of its own, so that it cannot hold up training."""

import importlib.util
import logging
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scaling.errors import InputError
from scaling.sweep.folder.progress import SweepProgress

# The module that each needs; its extra has the tracker's name.
TRACKERS = {"tensorboard": "tensorboardX"}
# For the last look, when training has ended.
_GRACE_S = 10.0
_LOG = logging.getLogger(__name__)

Report = Callable[[str, SweepProgress], None]


def need_tracker(name: str) -> None:
    """Raises InputError where a tracker is not installed."""
    if importlib.util.find_spec(TRACKERS[name]) is None:
        raise InputError(f'`track` {name} needs: pip install "scaling-law-toolkit[{name}]"')


@contextmanager
def tracking(folder: Path, name: str | None, report: Report) -> Iterator[Report]:
    """A context in which a tracker is fed, from the first report of progress on.

    Args:
        folder: the sweep's.
        name: of the tracker; None for none.
        report: receives the progress.

    Yields:
        A function to report progress to instead.
    """
    if name is None:
        yield report
        return
    tracker: TrackerProcess | None = None

    def tracked(role: str, progress: SweepProgress) -> None:
        nonlocal tracker
        tracker = tracker or TrackerProcess(folder, name)
        report(role, progress)

    try:
        yield tracked
        tracker = tracker or TrackerProcess(folder, name)  # all runs were trained before
    finally:
        if tracker is not None:
            tracker.close()


class TrackerProcess:
    """The process that feeds a tracker; if it fails, it is given up with one warning, and training goes on.

    Args:
        folder: the sweep's.
        name: the tracker's.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._name, self._given_up = name, False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scaling.sweep.tracking.feeder", str(folder), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # a Ctrl-C is ours
        )
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        """Ends the process after a last look at the folder; waits for it, and gives it up after a time."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._give_up(f"it does not end within {_GRACE_S:g} s")
            self._process.kill()
        self._listening.join()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            last = deque(lines, maxlen=1)
        code = self._process.wait()
        if code != 0:
            self._give_up(last[0].strip() if last else f"exit {code}")

    def _give_up(self, reason: str) -> None:
        if not self._given_up:
            self._given_up = True
            _LOG.warning(
                "the tracker %s has failed and is given up; no run is the worse for it: %s", self._name, reason
            )
