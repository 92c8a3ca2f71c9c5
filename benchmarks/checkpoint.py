"""What do verified checkpoints cost? Trains the fitted runs of a sweep of small models with and without them.

    python benchmarks/checkpoint.py [SWEEP.yaml] [KEY=VALUE]...     sweeps/quickstart.yaml, one seed: about 6 minutes

Every shape is trained by a fresh worker process, as ``scaling run`` does, on one core: with checkpoints at the default
interval and without any, in turn, each first as often as the other. Prints the seconds of both and their ratio.
Needs a machine that does nothing else.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scaling.planning import plan_sweep
from scaling.sweep.folder.jobs import Shape, shape_of
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.host.machine import cores, worker_environment
from scaling.sweep.plan.expand import PlannedRun
from scaling.sweep.spec.sweep_file import load_sweep

ROOT = Path(__file__).parents[1]
DEFAULT = ("sweeps/quickstart.yaml", *(f"fit.{group}.seeds=1" for group in range(6)))
# The interval is no option of the command line: this is the only place that sets it.
WORK = """\
import sys
from scaling.sweep.workers import run_recorder, worker
if sys.argv[1] == "without":
    running.CHECKPOINT_S = worker.CHECKPOINT_S = (float("inf"), float("inf"))
sys.exit(worker.main(sys.argv[2], "fit", sys.argv[3]))
"""


def seconds(runs: list[PlannedRun], which: str, core: int) -> tuple[float, int]:
    """Seconds of a worker process that trains some runs of one shape, and the number of checkpoints it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        sweep = SweepFolder(Path(folder))
        sweep.prepare({}, "", runs)
        begun = time.perf_counter()
        command = [sys.executable, "-c", WORK, which, folder, str(core)]
        process = subprocess.Popen(command, env=worker_environment(pinned=True), cwd=ROOT)
        saved = set()
        while process.poll() is None:
            saved |= {(path.parents[1].name, path.name) for path in sweep.path.glob("runs/*/checkpoints/[0-9]*")}
            time.sleep(0.02)
        taken = time.perf_counter() - begun
        if process.returncode != 0:
            raise SystemExit(f"a worker has ended with {process.returncode}")
    return taken, len(saved)


def main(sweep: str, overrides: tuple[str, ...]) -> None:
    shapes: dict[Shape, list[PlannedRun]] = {}
    for run in plan_sweep(load_sweep(sweep, overrides)):
        if run.role == "fit":
            shapes.setdefault(shape_of(run.config), []).append(run)
    core = cores()[0]
    total = {"with": 0.0, "without": 0.0}
    count = 0
    for number, runs in enumerate(shapes.values()):
        seconds(runs[:1], "without", core)  # compiles
        taken = {}
        for which in ("with", "without") if number % 2 else ("without", "with"):
            taken[which], saved = seconds(runs, which, core)
            count += saved
            total[which] += taken[which]
        print(
            f"{runs[0].config.params:>8} parameters, {len(runs):2d} runs: {taken['without']:6.1f} s, with checkpoints "
            f"{taken['with']:6.1f} s ({taken['with'] / taken['without'] - 1:+.1%})",
            flush=True,
        )
    ratio = total["with"] / total["without"]
    print(f"{total['without']:.1f} s, with {count} checkpoints {total['with']:.1f} s: {ratio - 1:+.2%}")


if __name__ == "__main__":
    given = tuple(sys.argv[1:]) or DEFAULT
    main(given[0], given[1:])
