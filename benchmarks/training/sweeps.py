"""A whole sweep's fitted runs: trained by ``scaling run``, one by one by the same step, and as PyTorch would."""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.training.clock import ROOT, Clock, Variant, clocks
from benchmarks.training.sizes import log
from benchmarks.training.steps import Framework, plain
from scaling.llama.config import LlamaConfig
from scaling.planning import plan_sweep
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.host.machine import cores
from scaling.sweep.plan.expand import PlannedRun
from scaling.sweep.plan.shared_work import added_steps
from scaling.sweep.spec.sweep_file import load_sweep
from scaling.sweep.workers.supervisor import train_runs
from scaling.train.config import RunConfig

PYTORCH: tuple[Framework, ...] = ("eager", "compile")


def fitted(sweep: Path) -> list[RunConfig]:
    return [run.config for run in plan_sweep(load_sweep(sweep)) if run.role == "fit"]


@contextmanager
def _nothing_compiled() -> Iterator[Path]:
    """A context with a folder, and an empty cache of compiled programs for the processes started in it."""
    before = os.environ.get("SCALING_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SCALING_CACHE"] = f"{folder}/cache"
        try:
            yield Path(folder)
        finally:
            if before is None:
                del os.environ["SCALING_CACHE"]
            else:
                os.environ["SCALING_CACHE"] = before


def measure_sweep(sweep: Path) -> dict[str, Any]:
    """Times a sweep up to its forecast, with nothing compiled before.

    Returns:
        ``runs``, ``tokens`` and ``flops`` of the fitted runs, each from zero; ``spent_flops``, what was trained; and
        ``seconds`` from the command until the last of them had ended.
    """
    configs = fitted(sweep)
    added = added_steps(configs)
    with _nothing_compiled() as folder:
        command = [sys.executable, "-m", "scaling", "run", str(sweep), "--fit-only", "--out", str(folder / "sweep")]
        begun = time.time()
        subprocess.run(command, check=True, stdout=sys.stderr, cwd=ROOT)
        ended = max(file.stat().st_mtime for file in folder.glob("sweep/runs/*/status.json"))
    return {
        "runs": len(configs),
        "tokens": sum(config.tokens for config in configs),
        "flops": sum(config.flops for config in configs),
        "spent_flops": sum(config.flops // config.steps * added[config.id] for config in configs),
        "cores": len(cores()),
        "seconds": ended - begun,
    }


def measure_one_by_one(sweep: Path) -> dict[str, Any]:
    """Times a run of every size and budget, each in a worker of its own that compiles it anew.

    Returns:
        ``sampled`` runs, of ``runs``; ``seconds`` of all runs one after another, each cell's sample taken for all
        of its runs.
    """
    cells: defaultdict[tuple[int, int], list[RunConfig]] = defaultdict(list)
    for config in fitted(sweep):
        cells[config.params, config.tokens].append(replace(config, trunk=None))
    seconds = 0.0
    for (params, tokens), configs in cells.items():
        with _nothing_compiled() as folder:
            alone = SweepFolder(folder / "sweep")
            alone.prepare({}, "", [PlannedRun(configs[0], "fit")])
            begun = time.perf_counter()
            train_runs(alone, "fit", 1, lambda _: None)
            taken = time.perf_counter() - begun
        seconds += len(configs) * taken
        log(f"{params} parameters, {tokens} tokens: {taken:.1f} s, {len(configs)} of them")
    return {"sampled": len(cells), "runs": sum(map(len, cells.values())), "seconds": seconds}


def measure_pytorch(sweep: Path, seconds: float) -> dict[str, Any]:
    """Compiles and times every shape and batch, in a pinned process on each core at once.

    Returns:
        ``shapes``, how many, and by framework ``train_s``, the steps of all runs at these speeds, and ``compile_s``;
        shared out evenly between the processes. Starting, planning and evaluating are left out.
    """
    runs: dict[tuple[LlamaConfig, int], RunConfig] = {}
    steps: Counter[tuple[LlamaConfig, int]] = Counter()
    for config in fitted(sweep):
        shape = config.model, config.batch
        runs.setdefault(shape, plain(config))
        steps[shape] += config.steps
    found: dict[str, Any] = {"shapes": len(runs), "cores": len(cores())}
    for framework in PYTORCH:
        times = _timed(framework, list(runs.values()), seconds)
        found[framework] = {
            "train_s": sum(count * step_s for count, (_, step_s) in zip(steps.values(), times, strict=True))
            / len(cores()),
            "compile_s": sum(compile_s for compile_s, _ in times) / len(cores()),
        }
    return found


def _timed(framework: Framework, configs: Sequence[RunConfig], seconds: float) -> list[tuple[float, float]]:
    """Seconds to compile each run, and of its step."""
    times: dict[int, tuple[float, float]] = {}

    def share(timer: Clock, numbers: Iterable[int]) -> None:
        for number in numbers:
            times[number] = timer.prepare(configs[number]), timer.step_s(seconds)
            log(f"{framework}, {configs[number].params} parameters, batch {configs[number].batch}: {times[number]}")

    # Dealt out in turn, so that every process has shapes of every size.
    with clocks([Variant(framework, core=core) for core in cores()]) as timers, ThreadPoolExecutor(len(timers)) as pool:
        list(pool.map(share, timers, [range(first, len(configs), len(timers)) for first in range(len(timers))]))
    return [times[number] for number in range(len(configs))]
