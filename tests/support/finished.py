"""A tiny sweep trained to its end, once in a session: its workers share the folder, and copy what they change."""

import fcntl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import elsewhere

SWEEP = """\
name: tiny
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
eval_tokens: 4k
fit:
  - {sizes: [{width: 8, depth: 1}, {width: 12, depth: 1}, {width: 20, depth: 1}], flops: [1e8, 3e8, 1e9]}
target: {size: {width: 20, depth: 1}, flops: 1e10, seeds: 2}
"""


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """The folder, made by whichever process of the session comes first; the others wait for it."""
    with folder.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = folder / "complete"
        if not complete.exists():
            folder.mkdir(exist_ok=True)
            make(folder)
            complete.touch()
    return folder


def train_quickstart(folder: Path) -> None:
    """The sweep of ``elsewhere``, by two local workers."""
    done = elsewhere.run(folder / "out", "--workers", "2")
    assert done.returncode == 0, done.stderr


def train(folder: Path) -> None:
    """``scaling run`` of the tiny sweep: its file, its output, and its folder ``out``."""
    (folder / "tiny.yaml").write_text(SWEEP)
    command = [sys.executable, "-m", "scaling", "run", str(folder / "tiny.yaml"), "--out", str(folder / "out")]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder / "stdout.json").write_text(done.stdout)
