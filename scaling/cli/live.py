"""Some lines at the end of a terminal that are rewritten in place, and what is said beside them."""

import logging
import math
import os
import threading
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

# Where a terminal does not know its size.
_USUAL = 80, 24


@runtime_checkable
class Stream(Protocol):
    """What is written to: sys.stderr, or what a test has put there."""

    def isatty(self) -> bool: ...

    def fileno(self) -> int: ...

    def write(self, text: str, /) -> int: ...

    def flush(self) -> None: ...


def rewritable(stream: Stream) -> bool:
    """Whether a stream is a terminal that understands ANSI's control sequences."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "")


class Live(logging.Handler):
    """Lines that replace those shown before; while it is in use, log records are written above them.

    Lines are cut to the terminal's width, and those that it has no room for are counted.

    Args:
        stream: a terminal.
    """

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._stream = stream
        self._lines: list[str] = []
        self._drawing = threading.RLock()  # a log record may come from another thread, or in the midst of drawing

    def __enter__(self) -> "Live":
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)

    def show(self, lines: Sequence[str]) -> None:
        """Shows these lines in place of the last."""
        with self._drawing:
            above = self._above()
            self._lines = self._fitted(lines)
            self._write(above + "\n".join(self._lines))

    def leave(self, text: str) -> None:
        """Writes something that stays, in place of the lines."""
        with self._drawing:
            above = self._above()
            self._lines = []
            self._write(f"{above}{text}\n")

    def emit_plain(self, record: logging.LogRecord) -> None:
        with self._drawing:
            lines = self._lines
            self.leave(self.format(record))
            self.show(lines)

    def _above(self) -> str:
        """Takes the cursor back to where the lines begin, and clears them; they wrap where the terminal has shrunk."""
        if not self._lines:
            return ""
        columns, _ = self._size()
        rows = sum(max(1, math.ceil(len(line) / columns)) for line in self._lines)
        return "\r" + (f"\033[{rows - 1}A" if rows > 1 else "") + "\033[J"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def _fitted(self, lines: Sequence[str]) -> list[str]:
        columns, rows = self._size()
        room = max(1, rows - 1)
        if len(lines) > room:
            lines = [*lines[: room - 1], f"... and {len(lines) - room + 1} more lines"]
        return [line[: max(1, columns - 1)] for line in lines]

    def _size(self) -> tuple[int, int]:
        """Columns and rows; of the stream itself, as standard output may be elsewhere."""
        columns, rows = os.get_terminal_size(self._stream.fileno())
        return columns or _USUAL[0], rows or _USUAL[1]
