"""A terminal to run a command on: what it writes there, what the screen shows then, and keys to press."""

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
CTRL_C = "\x03"
# Makes the terminal the one whose Ctrl-C the command hears, even where the tests run in the background of a script.
_CONTROLLED = (
    "import fcntl, os, signal, sys, termios; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)
_TOKEN = re.compile(r"\033\[([?\d;]*)([A-Za-z])|([^\033])", re.DOTALL)
_UNSEEN = "mhl"  # colours, and whether the cursor is shown


class Terminal:
    """A command on a pseudo-terminal.

    Args:
        command: its arguments.
        columns, rows: of the terminal.
        stdout: a file for its standard output, which otherwise goes to the terminal as its standard error does.
        term: the value of TERM.
    """

    def __init__(
        self,
        command: Sequence[str],
        columns: int = 100,
        rows: int = 24,
        stdout: Path | None = None,
        term: str = "xterm",
    ) -> None:
        self._columns, self.output = columns, ""
        self._master, slave = os.openpty()
        resize(slave, columns, rows)
        with open(stdout or os.devnull, "wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CONTROLLED, *command],
                stdin=slave,
                stdout=slave if stdout is None else file,
                stderr=slave,
                start_new_session=True,
                cwd=ROOT,
                # Its size is the terminal's own, whatever these say of the one that the tests run in.
                env={name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
                | {"TERM": term},
            )
        os.close(slave)

    def wait_for(self, text: str, seconds: float = 120.0) -> None:
        """Reads until a text has been written."""
        deadline = time.monotonic() + seconds
        while text not in self.output:
            if not self._read(deadline):
                code = self._process.wait()
                raise AssertionError(f"{text!r} did not come before the end, {code}; there is:\n{self.output}")

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Gives the terminal another size, as when its window is dragged."""
        resize(self._master, columns, rows)

    def wait(self, seconds: float = 120.0) -> int:
        """Reads until the command has ended; its exit status."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass
        os.close(self._master)
        return self._process.wait(max(1.0, deadline - time.monotonic()))

    def _read(self, deadline: float) -> bool:
        if not select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))[0]:
            self._process.kill()
            self._process.wait()
            raise TimeoutError(f"nothing more comes; there is:\n{self.output}")
        try:
            read = os.read(self._master, 65536)
        except OSError:  # the last process has closed it
            return False
        self.output += read.decode(errors="replace")
        return bool(read)

    @property
    def screen(self) -> list[str]:
        """The lines that a person sees at the end, scrolled ones included."""
        return screen(self.output, self._columns)


def resize(descriptor: int, columns: int, rows: int) -> None:
    """Gives a terminal a size."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def screen(text: str, columns: int) -> list[str]:
    """The lines on a terminal after a text was written to it."""
    lines, row, column = [""], 0, 0
    for count, command, character in _TOKEN.findall(text):
        if command == "A":
            row = max(0, row - int(count or 1))
        elif command == "K":  # with 2: the whole line
            lines[row] = "" if count == "2" else lines[row][:column]
        elif command == "J":
            lines[row] = lines[row][:column]
            del lines[row + 1 :]
        elif command and command not in _UNSEEN:
            raise AssertionError(f"a sequence that this terminal does not know: {count}{command}")
        elif character == "\r":
            column = 0
        elif character == "\n" or column == columns:
            row, column = row + 1, 0 if character != "\n" else column
            lines += [""] * (row + 1 - len(lines))
        if not command and character >= " ":
            line = lines[row].ljust(column)
            lines[row] = line[:column] + character + line[column + 1 :]
            column += 1
    shown = [line.rstrip() for line in lines]
    while len(shown) > row + 1 and not shown[-1]:  # cleared below the cursor
        shown.pop()
    return shown
