"""The progress of work on data on stderr: a live bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType


@contextmanager
def shown_on_stderr() -> Iterator[Callable[[str, float], None]]:
    """Yields what shows a line and the share that is done; that of the end, a share of 1, is always shown."""
    from scaling.cli.sweeps.progress import PLAIN_EVERY_S
    from scaling.cli.terminal import live_display

    shown = -PLAIN_EVERY_S
    with live_display(stderr=True) as display:

        def show(line: str, share: float) -> None:
            nonlocal shown
            if display is not None:
                display.show(_bar(line, share))
            elif share >= 1 or time.monotonic() - shown >= PLAIN_EVERY_S:
                shown = time.monotonic()
                print(line, file=sys.stderr, flush=True)

        yield show


def _bar(line: str, share: float) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    from scaling.cli.sweeps.progress import bar

    row = Table.grid(padding=(0, 1))
    row.add_row(bar(share), Text(line, no_wrap=True))
    return row
