"""The display of ``scaling run``, as a person sees it."""

import json
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest
from terminal import CTRL_C, ROOT, Terminal, screen

from scaling.cli.sweeps import progress
from scaling.sweep.folder.progress import GroupProgress, RunProgress, SweepProgress
from scaling.train.stop import STOPPED_EXIT

SWEEP = """\
name: tiny
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
eval_tokens: 4k
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
from scaling.cli.sweeps.progress import ProgressDisplay
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
BARS = [
    BLOCK[0],
    BLOCK[1],
    f"  3f2a91 {'━' * 20}  55%, loss 3.123, 12.1k tokens/s, 8 s left",
    f"  9c01de {'━' * 20} compiling",
]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def scaling_run(path: Path, *arguments: str, **overrides: str) -> list[str]:
    file = path / "tiny.yaml"
    file.write_text(SWEEP)
    given = [f"{key}={value}" for key, value in overrides.items()]
    return [sys.executable, "-m", "scaling", "run", str(file), *given, "--out", str(path / "out"), *arguments]


def test_the_lines_are_rewritten_and_a_warning_stands_above_them() -> None:
    terminal = Terminal(python(SHOWN + "    print('shown')\n    display.show('fit', ended)\n"))
    assert terminal.wait() == 0
    last = "tiny fit: 11/12 runs (1 failed), 100% of 1.2e+10 FLOPs, done in "
    *above, left, end = terminal.screen
    assert (above, end) == (["a worker has ended", "shown"], "")
    assert left.startswith(last)
    before = terminal.output[: terminal.output.index("shown")].rpartition("compiling")[0] + "compiling"
    assert [line.replace("╸", "━").replace("╺", "━") for line in screen(before, 100)] == ["a worker has ended", *BARS]


def test_what_is_interrupted_leaves_its_last_line() -> None:
    terminal = Terminal(python(SHOWN))
    assert terminal.wait() == 0
    assert terminal.screen == ["a worker has ended", BLOCK[0], ""]


# Shows lines that take more room than there is.
LONG_LINES = """\
import sys
from rich.text import Text
from scaling.cli.terminal import live_display
with live_display(stderr=True) as display:
    display.show(Text("\\n".join(f"{number} " + "x" * 200 for number in range(30)), no_wrap=True, overflow="ellipsis"))
    print("SHOWN", flush=True)
"""


@pytest.mark.parametrize(("columns", "rows"), [(20, 24), (80, 5), (2, 2), (100, 1)])
def test_no_line_wraps_and_no_more_are_shown_than_there_is_room_for(columns: int, rows: int, tmp_path: Path) -> None:
    terminal = Terminal(python(LONG_LINES), columns, rows, stdout=tmp_path / "stdout")
    assert terminal.wait() == 0
    shown = max(1, rows - 1)
    drawn = screen(terminal.output.partition("\033[2K")[0], columns)
    drawn = [line for line in drawn if line]
    assert len(drawn) == shown
    assert all(len(line) <= columns for line in drawn)
    assert drawn[-1] == f"... and {31 - shown} more lines"[:columns]
    assert not any(terminal.screen), "nothing of it stays"
    assert (tmp_path / "stdout").read_text() == "SHOWN\n", "what belongs to a file goes there"


NARROWED = """\
import sys
from rich.text import Text
from scaling.cli.terminal import live_display
with live_display(stderr=True) as display:
    display.show(Text("x" * 70 + "\\n" + "y" * 30))
    sys.stdin.readline()
    display.show(Text("z"))
    sys.stdin.readline()
"""


def test_a_terminal_that_has_shrunk_is_cleared_all_the_same() -> None:
    terminal = Terminal(python(NARROWED), columns=80)
    terminal.wait_for("y" * 30)
    terminal.resize(40, 24)
    seen = len(terminal.output)
    terminal.press("\n")
    terminal.wait_for("z")
    redrawn = terminal.output[seen:]
    # The first line takes two rows now, so that the three rows are left upwards and each is cleared.
    assert redrawn.count("\033[1A") == 2
    assert redrawn.count("\033[2K") == 3
    terminal.press("\n")
    assert terminal.wait() == 0


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


def test_in_a_notebook_one_output_is_kept_up_to_date() -> None:
    cell = nbformat.v4.new_code_cell(SHOWN + "    shown = display\n")
    notebook = nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_code_cell("1 + 1")])
    notebook.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
    nbclient.NotebookClient(notebook, timeout=300).execute(cwd=str(ROOT))
    shown = [output for output in cell.outputs if output.output_type == "display_data"]
    assert [output.data["text/plain"] for output in shown] == [BLOCK[0]]
    warned = [output.text for output in cell.outputs if output.output_type == "stream"]
    assert warned == ["a worker has ended\n"]
