"""The progress of a sweep: a live display on a terminal, a plain line now and then elsewhere."""

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from scaling.cli.terminal import Display, live_display
from scaling.quantity import format_duration, format_quantity
from scaling.sweep.folder.progress import GroupProgress, RunProgress, SweepProgress

if TYPE_CHECKING:
    from rich.console import RenderableType

PLAIN_EVERY_S = 20.0
_NO_WORKERS = "waiting for workers to start"
_BAR = 20  # columns


class ProgressDisplay:
    """Shows on stderr the progress of the runs, one role after the other, and the expected time that is left.

    Args:
        sweep: the sweep's name.
    """

    def __init__(self, sweep: str) -> None:
        self._sweep, self._role = sweep, ""
        self._begun = (0.0, 0.0)
        self._shown = 0.0
        self._ended = False
        self._display: Display | None = None
        self._last = ""
        self._opened = ExitStack()

    def __enter__(self) -> "ProgressDisplay":
        self._display = self._opened.enter_context(live_display(stderr=True))
        return self

    def __exit__(self, *_: object) -> None:
        """The summary of what was interrupted stays."""
        if self._display is not None and self._role and not self._ended:
            self._display.leave(self._last)
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
        if self._display is not None:
            if self._ended:
                self._display.leave(self._last)
            else:
                self._display.show(_live(self._last, progress))
        elif self._ended or now - self._shown >= PLAIN_EVERY_S:
            self._shown = now
            line = self._last if self._ended else f"{self._last} | {_line(progress)}"
            print(line, file=sys.stderr, flush=True)


def _summary(role: str, progress: SweepProgress, seconds: float, flops: float) -> str:
    """One line about all runs of a role.

    Args:
        role: fit or target.
        progress: of its runs.
        seconds: since the first look.
        flops: trained since the first look.
    """
    failed = f" ({progress.runs_failed} failed)" if progress.runs_failed else ""
    share = progress.flops_done / progress.flops
    parts = [f"{role}: {progress.runs_done}/{progress.runs} runs{failed}", f"{share:.0%} of {progress.flops:.2g} FLOPs"]
    if progress.tokens_per_s:
        parts.append(f"{format_quantity(progress.tokens_per_s)} tokens/s")
    left = progress.flops - progress.flops_done
    if left <= 0:
        parts.append(f"done in {format_duration(round(seconds))}")
    elif flops > 0:
        parts.append(f"{format_duration(round(seconds * left / flops))} left")
    return ", ".join(parts)


def _live(summary: str, progress: SweepProgress) -> "RenderableType":
    """The summary, a line for each size, and a row with a bar for each run that trains."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = [Text(summary, style="bold", no_wrap=True, overflow="ellipsis")]
    for group in progress.groups:
        parts.append(Text(_group(group), no_wrap=True, overflow="ellipsis"))
        rows = Table.grid(padding=(0, 1))
        for _ in range(3):
            rows.add_column(no_wrap=True)
        for run in group.running:
            name, *rest = _run(run)
            rows.add_row(name, bar(run.share), Text(", ".join(rest)))
        parts.append(Padding(rows, (0, 0, 0, 2)))
    if not progress.groups:
        parts.append(Text(_NO_WORKERS))
    return Group(*parts)


def bar(share: float) -> "RenderableType":
    """A progress bar.

    Args:
        share: done, 0 to 1.
    """
    from rich.progress_bar import ProgressBar

    return ProgressBar(total=1.0, completed=share, width=_BAR)


def _line(progress: SweepProgress) -> str:
    """The groups and what trains, in one line."""
    groups = (f"{_group(group)} {'; '.join(map(_words, group.running))}" for group in progress.groups)
    return " | ".join(groups) or _NO_WORKERS


def _group(group: GroupProgress) -> str:
    shape = f"{format_quantity(group.params)} parameters (width {group.width}, depth {group.depth})"
    return f"{shape}, {group.runs_done}/{group.runs} runs:"


def _run(run: RunProgress) -> list[str]:
    """The start of a run's id, then what is known of it."""
    if run.loss is None:
        return [run.id[:6], "compiling"]
    parts = [run.id[:6], f"{run.share:4.0%}", f"loss {run.loss:.3f}"]
    if run.tokens_per_s is not None:
        parts.append(f"{format_quantity(run.tokens_per_s)} tokens/s")
    if run.left_s is not None:
        parts.append(f"{format_duration(round(run.left_s))} left")
    return parts


def _words(run: RunProgress) -> str:
    name, *rest = _run(run)
    return f"{name} {', '.join(rest)}"
