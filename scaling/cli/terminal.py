"""A live display: a few lines that rich rewrites in place on a terminal, or in the output of a notebook's cell."""

import io
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

_NOTEBOOK_WIDTH = 110  # columns


class Display(Protocol):
    """What shows a state that changes."""

    def show(self, content: "RenderableType") -> None:
        """Shows something in place of what was shown before."""

    def leave(self, line: str) -> None:
        """Writes a line that stays, in place of what was shown."""


@contextmanager
def live_display(stderr: bool) -> Iterator[Display | None]:
    """Yields a display; None where nothing can be rewritten: in a pipe, a file, or on a dumb terminal.

    On a terminal, other text for standard output or standard error, such as a warning that is logged, is written above
    the display. What is shown last is gone at the end; lines that were left stay.

    Args:
        stderr: whether it goes to standard error; otherwise to standard output.
    """
    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", ""):
        from rich.console import Console

        display = _TerminalDisplay(Console(file=stream, force_terminal=True))
        with display.live:
            yield display
    elif _in_notebook():
        yield _NotebookDisplay()
    else:
        yield None


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    return type(get_ipython()).__name__ == "ZMQInteractiveShell"


class _TerminalDisplay:
    """A display at the end of a terminal.

    Args:
        console: on the terminal.
    """

    def __init__(self, console: "Console") -> None:
        from rich.live import Live

        self._console, self._fitted = console, _Fitted()
        self.live = Live(
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # not a pipe or a file: its text belongs there
            redirect_stderr=sys.stderr.isatty(),
            get_renderable=lambda: self._fitted,
        )

    def show(self, content: "RenderableType") -> None:
        self._clear_wrapped()
        self._fitted.content = content
        self.live.refresh()

    def leave(self, line: str) -> None:
        from rich.text import Text

        self._clear_wrapped()
        self._fitted.content = ""
        self._console.print(Text(line))

    def _clear_wrapped(self) -> None:
        """Clears the rows that lines wrapped onto when the terminal became narrower: rich counts one row a line."""
        from rich.control import Control
        from rich.segment import ControlType

        columns = self._console.size.width
        wrapped = sum(max(1, math.ceil(width / columns)) - 1 for width in self._fitted.widths)
        self._console.control(Control(*[(ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1)] * wrapped))


class _Fitted:
    """Content as a rich renderable, cut to the terminal: long lines at its edge, and too many lines counted."""

    def __init__(self) -> None:
        self.content: RenderableType = ""
        self.widths: list[int] = []  # of the lines drawn last, columns

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.segment import Segment
        from rich.text import Text

        lines = console.render_lines(self.content, options, pad=False)
        room = max(1, options.size.height - 1)
        if len(lines) > room:
            more = Text(f"... and {len(lines) - room + 1} more lines", no_wrap=True, overflow="crop")
            lines = [*lines[: room - 1], *console.render_lines(more, options, pad=False)]
        self.widths = [Segment.get_line_length(line) for line in lines]
        for line in lines:
            yield from line
            yield Segment.line()


class _NotebookDisplay:
    """A display in the output of a notebook's cell."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._left: list[str] = []

    def show(self, content: "RenderableType") -> None:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=_NOTEBOOK_WIDTH, color_system=None, force_jupyter=False)
        with console.capture() as captured:
            console.print(content)
        self._update([*self._left, *(line.rstrip() for line in captured.get().splitlines())])

    def leave(self, line: str) -> None:
        self._left.append(line)
        self._update(self._left)

    def _update(self, lines: list[str]) -> None:
        from IPython.display import Pretty, display

        text = Pretty("\n".join(lines))
        if self._handle is None:
            self._handle = display(text, display_id=True)
        else:
            self._handle.update(text)
