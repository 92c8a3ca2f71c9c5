"""``scaling status``: runs in every state, and how it watches them."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from terminal import CTRL_C, Terminal

from scaling.cli import main
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.corpus_text import load_text
from scaling.sweep.plan.expand import expand
from scaling.sweep.spec.sweep_file import parse_sweep

SWEEP = """\
name: tiny
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
eval_tokens: 4k
fit: {sizes: [{width: 8, depth: 1}], flops: [2e8, 3e8, 4e8]}
target: {size: {width: 8, depth: 1}, flops: 1e9}
"""


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    spec = parse_sweep(SWEEP, "tiny.yaml")
    folder = SweepFolder(tmp_path / "out")
    folder.prepare(spec.canonical(), SWEEP, expand(spec, load_text(spec.corpus)))
    return folder


def done(sweep: SweepFolder, run_id: str, loss: float = 2.0) -> None:
    sweep.run(run_id).write_status(
        {"state": "done", "step": 8, "steps": 8, "loss": loss, "wall_s": 3.0, "compile_s": 1.0}
    )


def watch(sweep: SweepFolder) -> list[str]:
    return [sys.executable, "-m", "scaling", "status", str(sweep.path), "--watch"]


def test_every_state_is_shown(sweep: SweepFolder, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third, last = sweep.runs()
    done(sweep, first)
    sweep.run(second).write_status({"state": "running", "step": 2, "steps": 8, "loss": 3.0})
    sweep.run(third).write_status({"state": "failed", "step": 4, "steps": 8, "loss": 2.5, "reason": "the disk is full"})
    with pytest.raises(SystemExit) as ended:
        main(["status", str(sweep.path)])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    states = {line.split()[0]: line.split()[2] for line in lines[1:5]}
    assert states == {first: "done", second: "interrupted", third: "failed", last: "planned"}
    assert lines[5] == f"{third}  has failed: the disk is full"
    assert lines[6] == "1 of 4 runs ended; 3 s of training, 1 s of it compiling"


def test_it_only_looks(sweep: SweepFolder) -> None:
    def everything() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in sweep.path.rglob("*")}

    before = everything()
    with pytest.raises(SystemExit) as ended:
        main(["status", str(sweep.path), "--json"])
    assert ended.value.code == 0
    assert everything() == before


def test_on_a_terminal_what_trains_is_kept_up_to_date(sweep: SweepFolder) -> None:
    first, *others = sweep.runs()
    for run_id in others:
        done(sweep, run_id)
    running = {"state": "running", "step": 4, "steps": 8, "loss": 3.0, "tokens_per_s": 1000.0}
    sweep.run(first).write_status(running)
    with sweep.run(first).locked():
        terminal = Terminal(watch(sweep))
        terminal.wait_for("3 of 4 runs ended, 1 running, 1k tokens/s")
        terminal.wait_for("50%")
        sweep.run(first).write_status({**running, "step": 6})
        terminal.wait_for("75%")
        done(sweep, first)
    assert terminal.wait() == 0
    assert terminal.screen[-2] == "4 of 4 runs ended; 12 s of training, 4 s of it compiling"
    assert not any("running" in line for line in terminal.screen), "what it showed before is gone"


def test_ctrl_c_ends_the_watching_and_nothing_else(sweep: SweepFolder) -> None:
    terminal = Terminal(watch(sweep))
    terminal.wait_for("no run is being trained")
    terminal.press(CTRL_C)
    assert terminal.wait() == 130
    assert "Traceback" not in terminal.output
    assert all(sweep.run(run_id).status()["state"] == "planned" for run_id in sweep.runs())


def test_elsewhere_it_is_a_line_when_a_run_has_ended(sweep: SweepFolder) -> None:
    first, *others = sweep.runs()
    environment = os.environ | {"TERM": "xterm", "FORCE_COLOR": "1"}
    with subprocess.Popen(watch(sweep), stdout=subprocess.PIPE, text=True, env=environment) as watching:
        assert watching.stdout is not None
        deadline = threading.Timer(120, watching.kill)  # rather than wait for ever for a line that does not come
        deadline.start()
        assert watching.stdout.readline() == "0 of 4 runs ended, 4 planned\n"
        done(sweep, first)
        assert watching.stdout.readline() == "1 of 4 runs ended, 3 planned\n"
        for run_id in others:
            done(sweep, run_id)
        rest = watching.stdout.read()
        deadline.cancel()
    assert watching.returncode == 0
    assert rest.splitlines()[-1].startswith("4 of 4 runs ended")
    assert "\033" not in rest


@pytest.mark.parametrize("content", [None, b"", b"\xff\x00", b"{", b"[]", b'{"runs": 3}'])
def test_a_folder_that_is_no_sweeps_is_a_line(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "plan.json").write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        main(["status", str(tmp_path), "--watch"])
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
