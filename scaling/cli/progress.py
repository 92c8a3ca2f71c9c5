"""The progress of a sweep: a few lines rewritten in place on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

from scaling.cli.live import Live, rewritable
from scaling.quantity import format_quantity
from scaling.sweep.folder.progress import GroupProgress, RunProgress, SweepProgress

PLAIN_EVERY_S = 20.0
_NOBODY = "waiting for workers to start"


class ProgressDisplay:
    """Shows on stderr how far the runs of one role after the other are, and how long the rest will take.

    Args:
        sweep: its name.
    """

    def __init__(self, sweep: str) -> None:
        self._sweep, self._role = sweep, ""
        self._begun = (0.0, 0.0)
        self._shown = 0.0
        self._ended = False
        self._live: Live | None = None
        self._last = ""
        self._opened = ExitStack()

    def __enter__(self) -> "ProgressDisplay":
        if rewritable(sys.stderr):
            self._live = self._opened.enter_context(Live(sys.stderr))
        return self

    def __exit__(self, *_: object) -> None:
        """What was interrupted stays as it was last seen."""
        if self._live is not None and self._role and not self._ended:
            self._live.leave(self._last)
        self._opened.close()

    def show(self, role: str, progress: SweepProgress) -> None:
        """Shows the progress if it is time to."""
        now = time.monotonic()
        if role != self._role:
            self._role, self._begun, self._shown = role, (now, progress.flops_done), now - PLAIN_EVERY_S
            self._ended = False
        if self._ended:  # its workers are only closing
            return
        self._ended = progress.runs_done + progress.runs_failed == progress.runs
        seconds, flops = now - self._begun[0], progress.flops_done - self._begun[1]
        self._last = f"{self._sweep} {_summary(role, progress, seconds, flops)}"
        if self._live is not None:
            if self._ended:
                self._live.leave(self._last)
            else:
                self._live.show([self._last, *_lines(progress)])
        elif self._ended or now - self._shown >= PLAIN_EVERY_S:
            self._shown = now
            line = self._last if self._ended else f"{self._last} | {_line(progress)}"
            print(line, file=sys.stderr, flush=True)


def _summary(role: str, progress: SweepProgress, seconds: float, flops: float) -> str:
    """Of all runs, so many seconds and FLOPs after the first look."""
    failed = f" ({progress.runs_failed} failed)" if progress.runs_failed else ""
    share = progress.flops_done / progress.flops
    parts = [f"{role}: {progress.runs_done}/{progress.runs} runs{failed}", f"{share:.0%} of {progress.flops:.2g} FLOPs"]
    if progress.tokens_per_s:
        parts.append(f"{format_quantity(progress.tokens_per_s)} tokens/s")
    left = progress.flops - progress.flops_done
    if left <= 0:
        parts.append(f"done in {clock(seconds)}")
    elif flops > 0:
        parts.append(f"{clock(seconds * left / flops)} left")
    return ", ".join(parts)


def _lines(progress: SweepProgress) -> Iterator[str]:
    for group in progress.groups:
        yield _group(group)
        yield from (f"  {_run(run)}" for run in group.running)
    if not progress.groups:
        yield _NOBODY


def _line(progress: SweepProgress) -> str:
    groups = (f"{_group(group)} {'; '.join(map(_run, group.running))}" for group in progress.groups)
    return " | ".join(groups) or _NOBODY


def _group(group: GroupProgress) -> str:
    shape = f"{format_quantity(group.params)} parameters (width {group.width}, depth {group.depth})"
    return f"{shape}, {group.runs_done}/{group.runs} runs:"


def _run(run: RunProgress) -> str:
    if run.loss is None:
        return f"{run.id[:6]} compiling"
    parts = [f"{run.id[:6]} {run.share:4.0%}", f"loss {run.loss:.3f}"]
    if run.tokens_per_s is not None:
        parts.append(f"{format_quantity(run.tokens_per_s)} tokens/s")
    if run.left_s is not None:
        parts.append(f"{clock(run.left_s)} left")
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """Seconds as people say them: ``45 s``, ``3 min 20 s``, ``2 h 05 min``, ``12 days``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole >= 72 * 3600:
        return f"{whole / 86400:,.0f} days"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
