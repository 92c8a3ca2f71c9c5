"""The display of ``scaling run``, as a person sees it."""

import json
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
from terminal import CTRL_C, Terminal, resize, screen

from scaling.cli import progress
from scaling.cli.live import Live
from scaling.sweep.folder.progress import GroupProgress, RunProgress, SweepProgress
from scaling.train.stop import STOPPED_EXIT

SWEEP = """\
name: tiny
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
fit: {sizes: [{width: 8, depth: 1}], flops: [1e8, 1.2e8, 1.5e8, 2e8, 2.5e8, 3e8, 4e8, 5e8]}
target: {size: {width: 8, depth: 1}, flops: 1e10}
"""
LONG = {"target.flops": "4e11", "corpus.epochs": "2"}

COMPILING = RunProgress("9c01de345678", 0.0, None, None, None)
TRAINING = RunProgress("3f2a91345678", 0.55, 3.1234, 12_100.0, 8.2)
GROUP = GroupProgress(12_900, 32, 1, 4, 2, (TRAINING, COMPILING))
HALF = SweepProgress(12, 5, 1, 1.2e10, 5e9, (GROUP,))
ENDED = SweepProgress(12, 11, 1, 1.2e10, 1.2e10, ())
# Shows what it is given, with a warning in between.
SHOWN = f"""\
import logging
from scaling.cli.progress import ProgressDisplay
from scaling.sweep.folder.progress import GroupProgress, RunProgress, SweepProgress
half, ended = {HALF!r}, {ENDED!r}
with ProgressDisplay("tiny") as display:
    display.show("fit", half)
    display.show("fit", half)
    logging.getLogger("scaling").warning("a worker has ended")
    display.show("fit", half)
"""
BLOCK = [
    "tiny fit: 5/12 runs (1 failed), 42% of 1.2e+10 FLOPs, 12.1k tokens/s",
    "12.9k parameters (width 32, depth 1), 2/4 runs:",
    "  3f2a91  55%, loss 3.123, 12.1k tokens/s, 8 s left",
    "  9c01de compiling",
]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def scaling_run(path: Path, *arguments: str, **overrides: str) -> list[str]:
    file = path / "tiny.yaml"
    file.write_text(SWEEP)
    given = [f"{key}={value}" for key, value in overrides.items()]
    return [sys.executable, "-m", "scaling", "run", str(file), *given, "--out", str(path / "out"), *arguments]


def test_the_lines_are_rewritten_and_a_warning_stands_above_them() -> None:
    terminal = Terminal(python(SHOWN + "    display.show('fit', ended)\n"))
    assert terminal.wait() == 0
    last = "tiny fit: 11/12 runs (1 failed), 100% of 1.2e+10 FLOPs, done in 0 s"
    assert terminal.screen == ["a worker has ended", last, ""]
    shown = terminal.output.index(last)
    before = terminal.output[:shown].removesuffix("\r\033[3A\033[J")
    assert screen(before, 100) == ["a worker has ended", *BLOCK]


def test_what_is_interrupted_leaves_its_last_line() -> None:
    terminal = Terminal(python(SHOWN))
    assert terminal.wait() == 0
    assert terminal.screen == ["a worker has ended", BLOCK[0], ""]


@pytest.fixture
def terminal() -> Iterator[tuple[int, TextIO]]:
    """Both ends of a pseudo-terminal: what is read from the first was written to the second."""
    master, slave = os.openpty()
    with open(slave, "w") as stream:
        yield master, stream
    os.close(master)


def written(master: int, last: str) -> str:
    """What comes, up to the last of it."""
    text = ""
    while not text.endswith(last):
        assert select.select([master], [], [], 30.0)[0], text
        text += os.read(master, 65536).decode()
    return text


@pytest.mark.parametrize(("columns", "rows"), [(20, 24), (80, 5), (2, 2), (100, 1)])
def test_no_line_wraps_and_no_more_are_shown_than_there_is_room_for(
    columns: int, rows: int, terminal: tuple[int, TextIO]
) -> None:
    master, stream = terminal
    resize(stream.fileno(), columns, rows)
    Live(stream).show([f"{number} {'x' * 200}" for number in range(30)])
    shown = max(1, rows - 1)
    last = f"... and {31 - shown} more lines"[: columns - 1]
    lines = written(master, last).split("\r\n")
    assert len(lines) == shown
    assert all(len(line) < columns for line in lines)


def test_a_terminal_that_has_shrunk_is_cleared_all_the_same(terminal: tuple[int, TextIO]) -> None:
    master, stream = terminal
    live = Live(stream)
    resize(stream.fileno(), 80, 24)
    live.show(["x" * 70, "y" * 30])
    written(master, "y" * 30)
    resize(stream.fileno(), 40, 24)
    live.show(["z"])
    assert written(master, "z") == "\r\033[2A\033[Jz"


def test_a_dumb_terminal_gets_plain_lines() -> None:
    terminal = Terminal(python(SHOWN + "    display.show('fit', ended)\n"), columns=400, term="dumb")
    assert terminal.wait() == 0
    assert "\033" not in terminal.output
    assert terminal.screen == [
        f"{BLOCK[0]} | {BLOCK[1]} {BLOCK[2].strip()}; {BLOCK[3].strip()}",
        "a worker has ended",
        "tiny fit: 11/12 runs (1 failed), 100% of 1.2e+10 FLOPs, done in 0 s",
        "",
    ]


def test_where_there_is_no_terminal_lines_are_plain_and_few(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.ProgressDisplay("tiny") as display:
        for _ in range(5):
            display.show("fit", HALF)
        display.show("fit", ENDED)
        display.show("fit", ENDED)
        display.show("target", SweepProgress(1, 0, 0, 1e9, 0.0, ()))
    out, err = capsys.readouterr()
    assert out == ""
    first, last, target = err.splitlines()
    assert first.startswith(BLOCK[0])
    assert last.startswith("tiny fit: 11/12 runs")
    assert target == "tiny target: 0/1 runs, 0% of 1e+09 FLOPs | waiting for workers to start"


def test_the_time_that_is_left_is_by_what_was_done_since_the_first_look(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([100.0, 160.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with progress.ProgressDisplay("tiny") as display:
        for done in (4e9, 6e9):
            display.show("fit", SweepProgress(12, 3, 0, 1.2e10, done, ()))
    assert [", 3 min 00 s left" in line for line in capsys.readouterr().err.splitlines()] == [False, True]


@pytest.mark.slow
def test_a_run_on_a_terminal_with_its_json_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALING_CACHE", str(tmp_path / "cache"))  # where nothing was compiled before
    terminal = Terminal(
        scaling_run(tmp_path, "--json", "--workers", "1", **{"target.flops": "3e10"}), stdout=tmp_path / "json"
    )
    assert terminal.wait(300) == 0
    assert {"folder", "forecast", "score"} <= json.loads((tmp_path / "json").read_text()).keys()
    for word in ("waiting for workers", "parameters (width 8, depth 1), 0/8 runs:", "compiling", "loss ", "tokens/s"):
        assert word in terminal.output
    fit, target, *rest = terminal.screen
    assert fit.startswith("tiny fit: 8/8 runs, 100% of ")
    assert target.startswith("tiny target: 1/1 runs, 100% of ")
    assert rest == [""]


@pytest.mark.slow
def test_ctrl_c_saves_and_the_display_gives_way(tmp_path: Path) -> None:
    terminal = Terminal(scaling_run(tmp_path, "--workers", "1", **LONG))
    terminal.wait_for("tiny target: 0/1 runs")
    terminal.wait_for("tokens/s, ", 300)
    terminal.press(CTRL_C)
    assert terminal.wait() == STOPPED_EXIT
    assert terminal.screen[-3].startswith("tiny target: 0/1 runs")
    assert terminal.screen[-2:] == ["stopped; everything trained is saved, and the same command goes on with it", ""]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (44.6, "45 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
        (71 * 3600, "71 h 00 min"),
        (1e9, "11,574 days"),
    ],
)
def test_seconds_as_people_say_them(seconds: float, text: str) -> None:
    assert progress.clock(seconds) == text
