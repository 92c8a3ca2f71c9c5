"""What a plan would take on this machine: a rough guide, from one timed matrix product."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling.llama.counts import count_params, training_bytes
from scaling.sweep.design import PlannedRun
from scaling.sweep.machine import cores

# Small models reach about this share of the speed of a large matrix product.
_SHARE = 0.3
_COMPILE_S = 4.0
_START_S = 8.0


def describe(plan: Sequence[PlannedRun], workers: int | None) -> dict[str, Any]:
    """The JSON object of ``scaling plan``: every run, totals, and seconds with ``workers`` processes."""
    count = workers or len(cores())
    speed = _SHARE * _matmul_flops_per_s() / len(cores())
    runs = [_run(run, speed) for run in plan]
    shapes = {(run.config.model, run.config.batch) for run in plan}
    phases = [[r["est_seconds"] for r in runs if r["role"] == role] for role in ("fit", "target")]
    # No phase ends before its longest run, nor before its work is shared out.
    training = sum(max(max(seconds, default=0.0), sum(seconds) / count) for seconds in phases)
    return {
        "runs": runs,
        "total_flops": sum(run["flops"] for run in runs),
        "target_flops": sum(run["flops"] for run in runs if run["role"] == "target"),
        "est_seconds": training + len(shapes) * _COMPILE_S / count + len(phases) * _START_S,
        "workers": count,
        "compilations": len(shapes),
        "warnings": [],
    }


def _run(run: PlannedRun, flops_per_s: float) -> dict[str, Any]:
    config, counts = run.config, count_params(run.config.model)
    return {
        "id": run.id,
        "role": run.role,
        "trunk": None,
        "params": counts.total,
        "params_nonembedding": counts.nonembedding,
        "tokens": config.tokens,
        "flops": config.flops,
        "steps": config.steps,
        "batch_tokens": config.recipe.batch_tokens,
        "learning_rate": config.recipe.rates.matrix,
        "seed": config.seed,
        "width": config.model.width,
        "depth": config.model.depth,
        "state_bytes": training_bytes(config.model).total,
        "est_seconds": config.flops / flops_per_s,
    }


def _matmul_flops_per_s() -> float:
    """Of all cores together, float32."""
    size = 256
    matrix = np.ones((size, size), np.float32)
    best = float("inf")
    for _ in range(30):
        started = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
