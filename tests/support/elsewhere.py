"""``scaling run`` of a small sweep by any executor, and what tests do to its processes meanwhile."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from scaling.sweep.folder.progress import states
from scaling.sweep.folder.sweep_folder import SweepFolder

ROOT = Path(__file__).parents[2]
# Cut down to a minute.
QUICKSTART = (
    str(ROOT / "sweeps" / "quickstart.yaml"),
    "fit=[{sizes: [11k, 15k, 20k], flops: [6e9, 1e10]}, {sizes: [20k], flops: [3e10], seeds: 2}]",
    "target.flops=6e10",
    "target.seeds=1",
    "eval_tokens=16k",
)


_STARTED: list["subprocess.Popen[str]"] = []


def start(out: Path, *options: str, **environment: str) -> "subprocess.Popen[str]":
    return begin(*QUICKSTART, "--out", str(out), "--json", *options, **environment)


def begin(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """Starts ``scaling run``; it ends with the test."""
    process = subprocess.Popen(
        [sys.executable, "-m", "scaling", "run", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _STARTED.append(process)
    return process


def end_all() -> None:
    """What a test that has failed has left running."""
    while _STARTED:
        process = _STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()


def ended(process: "subprocess.Popen[str]", seconds: float = 600.0) -> "subprocess.CompletedProcess[str]":
    output, errors = process.communicate(timeout=seconds)
    print(errors, file=sys.stderr)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def run(out: Path, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return ended(start(out, *options, **environment))


def table(out: Path) -> pd.DataFrame:
    """Of the runs, without what depends on the moment."""
    return pd.read_parquet(out / "runs.parquet").drop(columns=["wall_s", "mfu"])


def workers(out: Path) -> list[int]:
    """Processes that train in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"scaling.sweep.workers.worker" in words and str(out).encode() in words:
            found.append(int(entry.name))
    return sorted(found)


def parent(number: int) -> int:
    """Of a process."""
    return int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])


def signal_one(out: Path, role: str, number: int, above: bool = False) -> int:
    """Sends a signal to a worker once a run of its role is begun, or to what has started it; returns which it was."""
    sweep = SweepFolder(out)

    def trained() -> bool:
        return any(
            row["role"] == role and row["state"] == "running" and row["progress"] > 0.02 for row in states(sweep)
        )

    wait_for(lambda: (out / "plan.json").exists() and trained() and workers(out), 240)
    hit = workers(out)[0]
    hit = parent(hit) if above else hit
    os.kill(hit, number)
    return hit


def nobody_trains(out: Path) -> bool:
    return not workers(out) and not any(row["state"] == "running" for row in states(SweepFolder(out)))


def wait_for(what: Callable[[], object], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it does not come about"
        time.sleep(0.05)
