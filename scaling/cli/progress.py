"""The progress of a sweep on one line: rewritten in place on a terminal, a plain line now and then elsewhere."""

import shutil
import sys
import time

from scaling.sweep.execute import SweepProgress

PLAIN_EVERY_S = 20.0


class ProgressLine:
    """Shows how far the runs of one role are, and how long the rest will take."""

    def __init__(self) -> None:
        self._role = ""
        self._begun = (0.0, 0.0)
        self._shown = -PLAIN_EVERY_S
        self._ended = False
        self._live = sys.stderr.isatty()

    def show(self, role: str, progress: SweepProgress) -> None:
        """Shows the line if it is time to."""
        now = time.monotonic()
        if role != self._role:
            self._role, self._begun, self._shown = role, (now, progress.flops_done), -PLAIN_EVERY_S
            self._ended = False
        if self._ended:  # its workers are only closing
            return
        self._ended = ended = progress.runs_done == progress.runs
        if not (self._live or ended or now - self._shown >= PLAIN_EVERY_S):
            return
        self._shown = now
        line = _line(role, progress, now - self._begun[0], progress.flops_done - self._begun[1])
        if self._live:
            print(rewritten(line), end="\n" if ended else "", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)


def _line(role: str, progress: SweepProgress, seconds: float, flops: float) -> str:
    share = progress.flops_done / progress.flops
    parts = [f"{role}: {progress.runs_done}/{progress.runs} runs, {share:4.0%} of {progress.flops:.2g} FLOPs"]
    parts += [
        f"{run_id[:6]} {done:.0%}" + ("" if loss is None else f" loss {loss:.3f}")
        for run_id, done, loss in progress.running
    ]
    left = progress.flops - progress.flops_done
    if left <= 0:
        parts.append(f"done in {clock(seconds)}")
    elif flops > 0:
        parts.append(f"{clock(seconds * left / flops)} left")
    return " | ".join(parts)


def rewritten(line: str) -> str:
    """The line in place of the terminal's last one, cut so that it does not wrap."""
    return f"\r\033[K{line[: shutil.get_terminal_size().columns - 1]}"


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
