"""When a run's next checkpoint is due."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Where saving is slow, at least this many times as long passes until the next.
SAVE_SHARE = 30


class CheckpointTimer:
    """A timer of checkpoints: one is due after the first seconds, then at intervals, longer ones where saving is slow.

    Args:
        checkpoint_s: seconds to the first checkpoint, and between later ones at least.
    """

    def __init__(self, checkpoint_s: tuple[float, float]) -> None:
        self._first_s, self._every_s = checkpoint_s
        self._due = math.inf if self._first_s else -math.inf

    def begin(self) -> None:
        """Starts the timer when the first dispatch is under way: the seconds before may have gone into compiling."""
        if self._due == math.inf:
            self._due = time.monotonic() + self._first_s

    @property
    def due(self) -> bool:
        """Whether a checkpoint is due."""
        return time.monotonic() >= self._due

    @contextmanager
    def saving(self) -> Iterator[None]:
        """A context in which a checkpoint is saved; the time it takes sets when the next is due."""
        before = time.monotonic()
        yield
        saved = time.monotonic()
        self._due = saved + max(self._every_s, SAVE_SHARE * (saved - before))
