"""Speed of a fit: CPU seconds, compared with scipy's L-BFGS-B on the same objective in the same run.

    OPENBLAS_NUM_THREADS=1 SCALING_PUBLISHED=folder python -m benchmarks.fit [TABLE]

Without TABLE it takes Epoch's 240 points (2404.10102) from the folder of published tables, or, without such a folder,
runs of the same number and reach drawn from their law. CPU seconds are of all threads; each figure is the best of
three, after one call to warm up. The baseline does a part of each job and is scaled up to all of it.
With more threads, OpenBLAS has them wait busily on the baseline's small products, which would count against it.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from analysis.fitting.fit import estimate, resample_weights
from analysis.fitting.huber_newton import best_of_starts, starts_of
from analysis.laws import LAWS
from analysis.laws.law import DELTA
from analysis.runs.arrays import RunArrays
from analysis.runs.table import read_table

LAW = LAWS["chinchilla"]
BOOTSTRAPS = 4000
STARTS_TRIED, BOOTSTRAPS_TRIED = 90, 40  # by the baseline


def main() -> None:
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        raise SystemExit("set OPENBLAS_NUM_THREADS=1: threads that wait would count against the baseline")
    with tempfile.TemporaryDirectory() as folder:
        path, where = _table(Path(folder))
        points = RunArrays.of(read_table(path, where=where).fit)
        print(f"{len(points)} runs of {path.name}; load of the machine {os.getloadavg()[0]:.1f}\n")
        print("| | CPU s | objective | L-BFGS-B, analytic gradient | and numerical gradient |")
        print("| --- | --- | --- | --- | --- |")
        _in_process(points)
        wall, cpu = _cold(path, where)
        print(f"| `scaling fit {path.name} --law auto --bootstrap 1000`, cold | {cpu:.1f}, wall {wall:.1f} | | | |")


def _in_process(points: RunArrays) -> None:
    """One fit, 4,500 starts and 4,000 bootstraps, by the engine and by the baseline."""
    rows = len(points)
    own, hoffmann = starts_of(LAW, points.inputs, points.log_loss, np.ones(rows)), hoffmanns_starts()
    best = estimate(LAW, points.inputs, points.log_loss, points.cluster).theta
    rng = np.random.default_rng(0)
    some = hoffmann[rng.permutation(len(hoffmann))[:STARTS_TRIED]]
    ones = np.ones((1, rows))
    weights = resample_weights(points.cluster, BOOTSTRAPS_TRIED, seed=1)
    jobs: tuple[tuple[str, Callable[[], float], np.ndarray, np.ndarray, float], ...] = (
        (
            f"one fit, from {len(own)} starts",
            lambda: estimate(LAW, points.inputs, points.log_loss, points.cluster).objective,
            own,
            ones,
            1.0,
        ),
        (
            f"{len(hoffmann):,} starts",
            lambda: float(best_of_starts(LAW, points.inputs, points.log_loss, ones[0], hoffmann).stats.objective[0]),
            some,
            ones,
            len(hoffmann) / len(some),
        ),
        (
            f"{BOOTSTRAPS:,} clustered bootstraps, with the fit",
            lambda: estimate(LAW, points.inputs, points.log_loss, points.cluster, BOOTSTRAPS).objective,
            np.broadcast_to(best, (BOOTSTRAPS_TRIED, 5)),
            weights,
            BOOTSTRAPS / BOOTSTRAPS_TRIED,
        ),
    )
    for name, job, starts, weighed, scale in jobs:
        job()
        seconds, objective = min(_timed(job) for _ in range(3))
        cells = [name, f"{seconds:.3f}", f"{objective:.13f}"]
        for analytic in (True, False):
            theirs, lowest = _timed(lambda s=starts, w=weighed, a=analytic: baseline(points, s, w, a))
            reached = f", objective {lowest:.10f}" if len(weighed) == 1 else ""
            cells.append(f"{theirs * scale:.1f} ({theirs * scale / seconds:.0f} times{reached})")
        print("| " + " | ".join(cells) + " |", flush=True)


def baseline(points: RunArrays, starts: np.ndarray, weights: np.ndarray, analytic: bool) -> float:
    """scipy's L-BFGS-B with its default tolerances from each start; the lowest objective.

    Args:
        points: the runs.
        starts: log E, log A, log B, alpha, beta; [starts, 5].
        weights: how much each row counts, of each start or of all; [starts or 1, rows].
        analytic: whether it is given the gradient, or takes differences.
    """
    n, d = points.inputs.n, points.inputs.d

    def shares(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Log loss as 2203.15556 has it, by log-sum-exp, and the share of each term in the loss."""
        e, a, b, alpha, beta = theta
        size, data = a - alpha * n, b - beta * d
        largest = np.maximum(np.maximum(size, data), e)
        terms = np.exp(e - largest), np.exp(size - largest), np.exp(data - largest)
        total = terms[0] + terms[1] + terms[2]
        return largest + np.log(total), terms[0] / total, terms[1] / total, terms[2] / total

    def huber(residual: np.ndarray, weight: np.ndarray) -> float:
        size = np.abs(residual)
        return float(weight @ np.where(size <= DELTA, residual**2 / 2, DELTA * (size - DELTA / 2)))

    def value(theta: np.ndarray, weight: np.ndarray) -> float:
        return huber(shares(theta)[0] - points.log_loss, weight)

    def value_and_gradient(theta: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
        log_loss, floor, size, data = shares(theta)
        residual = log_loss - points.log_loss
        pull = weight * np.clip(residual, -DELTA, DELTA)
        by_size, by_data = pull * size, pull * data
        gradient = [pull @ floor, by_size.sum(), by_data.sum(), -n @ by_size, -d @ by_data]
        return huber(residual, weight), np.array(gradient)

    function = value_and_gradient if analytic else value
    found = [
        minimize(function, start, args=(weights[i % len(weights)],), jac=analytic, method="L-BFGS-B").fun
        for i, start in enumerate(starts)
    ]
    return float(min(found))


def hoffmanns_starts() -> np.ndarray:
    """The grid of 2203.15556, appendix D.2: log E, log A, log B, alpha, beta."""
    halves = np.arange(0, 2.01, 0.5)
    return np.array(list(product(halves - 1, range(0, 26, 5), range(0, 26, 5), halves, halves)))


def _timed(job: Callable[[], float]) -> tuple[float, float]:
    start = time.process_time()
    result = job()
    return time.process_time() - start, result


def _cold(path: Path, where: str | None) -> tuple[float, float]:
    """Wall and CPU seconds of the command in a process of its own, the best of three."""
    words = ["-m", "scaling", "fit", str(path), "--law", "auto", "--bootstrap", "1000", "--json"]
    command = [sys.executable, *words, *(["--where", where] if where else [])]
    # With as many threads as it takes by itself.
    surroundings = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    taken = []
    for _ in range(3):
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, env=surroundings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append((wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime))
    return min(taken)


def _table(folder: Path) -> tuple[Path, str | None]:
    """The requested table, Epoch's, or one made in its shape; and the filter of its rows."""
    if len(sys.argv) > 1:
        return Path(sys.argv[1]), None
    if published := os.environ.get("SCALING_PUBLISHED"):
        return Path(published) / "epoch_chinchilla.csv", "excluded_by_epoch == 0"
    rng = np.random.default_rng(0)
    flops = np.repeat(np.geomspace(6e18, 3e21, 9), 27)[:240]
    params = np.sqrt(flops / 120) * np.exp(rng.uniform(-1.5, 1.5, len(flops)))
    tokens = flops / 6 / params
    loss = (1.8172 + 482.01 / params**0.3478 + 2085.43 / tokens**0.3658) * np.exp(0.005 * rng.standard_t(3, len(flops)))
    pd.DataFrame({"params": params, "tokens": tokens, "loss": loss}).to_csv(folder / "synthetic.csv", index=False)
    return folder / "synthetic.csv", None


if __name__ == "__main__":
    main()
