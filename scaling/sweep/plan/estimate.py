"""Estimates of a plan's seconds, memory and US dollars on this machine, before anything is spent."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from scaling.data.corpus import CorpusSpec
from scaling.hardware import Device, device_of_kind
from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params
from scaling.llama.memory import training_bytes
from scaling.sweep.host.machine import accelerator, cores, visible_cores
from scaling.sweep.host.machine_speed import MachineSpeed
from scaling.sweep.plan.corpus_sources import count_sources
from scaling.sweep.plan.design_warnings import design_warnings
from scaling.sweep.plan.expand import PlannedRun
from scaling.sweep.plan.shared_work import added_steps
from scaling.sweep.spec.arrangement import ONE_DEVICE, Arrangement, refuse_workers
from scaling.train.config import RunConfig
from scaling.train.muon.direction import muon_flops

# Where nothing was measured: small models reach about this share of the speed of a large matrix product.
_SHARE = 0.3
_COMPILE_S = 4.0
_START_S = 8.0
_SHOWN = ("machine", "measured", "error")


def describe(
    plan: Sequence[PlannedRun],
    workers: int | None,
    calibration: MachineSpeed | None,
    fewest_cells: int,
    arrangement: Arrangement = ONE_DEVICE,
) -> dict[str, Any]:
    """The JSON object of ``scaling plan``: every run, groups, totals, seconds, US dollars and warnings.

    Args:
        plan: the runs.
        workers: processes that train at once; None for one per core, or one if there is an accelerator or a mesh.
        calibration: the speed of this machine's cores, or None if it was not measured.
        fewest_cells: different (params, tokens) that a fit needs; fewer are warned of.
        arrangement: how the runs are carried out.

    Returns:
        ``est_seconds`` is by the calibration on a CPU, or without one from a timed matrix product; from peak and usual
        MFU on an accelerator (scaling.hardware), None if its peak is not known. ``est_usd`` is those seconds at the
        accelerator's list price; None on a CPU, and where no price is published. A run's ``flops`` are those of its
        whole length; ``total_flops`` is what is spent, less by ``saved_flops`` as a trunk is trained once for all of
        its branches. ``share`` is what the fitted runs spend of the target's FLOPs. A group is what one compilation
        serves: the runs of one shape and batch. ``effective_workers`` are as many as add to the speed: a worker has a
        core of its own, if there are enough, but shares an accelerator. ``memory_bytes`` are those of a device.

    Raises:
        InputError: several workers with a mesh.
    """
    mesh, devices = arrangement.mesh, arrangement.parallelism.devices
    refuse_workers(workers, mesh is not None)
    kind = accelerator()
    device = None if kind is None else device_of_kind(kind)
    count = workers or (len(cores()) if kind is None and mesh is None else 1)
    rough = _flops_per_s(kind, device, devices) if kind or not calibration else None
    sources = count_sources(CorpusSpec.model_validate(plan[0].config.data.corpus))  # one corpus for all runs
    clock = _Clock(None if kind else calibration, rough, sources)
    added = added_steps([run.config for run in plan])
    runs = [_run(run, clock, added[run.id], arrangement) for run in plan]
    groups = _groups(plan, clock)
    fitted, target = (sum(run["added_flops"] for run in runs if run["role"] == role) for role in ("fit", "target"))
    effective = min(count, len(cores())) if kind is None else 1
    seconds = _seconds(runs, groups, clock, effective)
    return {
        "runs": runs,
        "groups": groups,
        "total_flops": fitted + target,
        "target_flops": target,
        "saved_flops": sum(run["flops"] for run in runs) - fitted - target,
        "share": fitted / target if target else None,
        "memory_bytes": max(run["memory_bytes"] for run in runs),
        "est_seconds": seconds,
        "est_usd": _usd(seconds, device, devices),
        "calibration": clock.summary,
        "device": kind or "cpu",
        "mesh": None if mesh is None else mesh.model_dump(),
        "workers": count,
        "effective_workers": effective,
        "compilations": len(groups),
        "warnings": [{"code": code, "message": message} for code, message in design_warnings(plan, fewest_cells)],
    }


@dataclass(frozen=True)
class _Clock:
    """Seconds that a worker needs for steps, compilation and its start.

    Attributes:
        calibration: what was measured, or
        flops_per_s: a rough guide; None if there is none.
        sources: of the corpus.
    """

    calibration: MachineSpeed | None
    flops_per_s: float | None
    sources: int

    def run_s(self, config: RunConfig, steps: int) -> float | None:
        """Seconds of some steps of a run."""
        if self.calibration is not None:
            return self.calibration.run_s(config, steps, self.sources)
        more = muon_flops(config.model) if config.recipe.optimizer == "muon" else 0
        flops = (config.flops / config.steps + more) * steps
        return None if self.flops_per_s is None else flops / self.flops_per_s

    def compile_s(self, model: LlamaConfig) -> float:
        return _COMPILE_S if self.calibration is None else self.calibration.compile_s(model)

    @property
    def start_s(self) -> float:
        return _START_S if self.calibration is None else self.calibration.start_s

    @property
    def summary(self) -> dict[str, Any] | None:
        """The machine, date and error of the measurement, by name; None if nothing was measured."""
        if self.calibration is None:
            return None
        return {name: value for name, value in asdict(self.calibration).items() if name in _SHOWN}


def _run(run: PlannedRun, clock: _Clock, added: int, arrangement: Arrangement) -> dict[str, Any]:
    config, counts = run.config, count_params(run.config.model)
    memory = training_bytes(
        config.model,
        arrangement.at_once(config.batch),
        config.dtype,
        arrangement.parallelism,
        arrangement.remat,
        microbatches=arrangement.microbatches,
        optimizer=config.recipe.optimizer,
    )
    return {
        "id": run.id,
        "role": run.role,
        "trunk": None if config.trunk is None else config.trunk_id,
        "params": counts.total,
        "params_nonembedding": counts.nonembedding,
        "tokens": config.tokens,
        "flops": config.flops,
        "added_flops": config.flops // config.steps * added,
        "steps": config.steps,
        "batch_tokens": config.recipe.batch_tokens,
        "learning_rate": config.recipe.rates.matrix,
        "warmup": config.recipe.schedule.warmup,
        "weight_decay": config.recipe.weight_decay,
        "seed": config.seed,
        "width": config.model.width,
        "depth": config.model.depth,
        "state_bytes": memory.state,
        "memory_bytes": memory.total,
        "est_seconds": clock.run_s(config, added),
    }


def _groups(plan: Sequence[PlannedRun], clock: _Clock) -> list[dict[str, Any]]:
    return [
        {
            "params": count_params(model).total,
            "width": model.width,
            "depth": model.depth,
            "batch_tokens": batch * model.seq_len,
            "runs": runs,
            "compile_s": clock.compile_s(model),
        }
        for (model, batch), runs in Counter((run.config.model, run.config.batch) for run in plan).items()
    ]


def _seconds(
    runs: Sequence[dict[str, Any]], groups: Sequence[dict[str, Any]], clock: _Clock, workers: int
) -> float | None:
    phases = [[run["est_seconds"] for run in runs if run["role"] == role] for role in ("fit", "target")]
    if any(seconds is None for phase in phases for seconds in phase):
        return None
    # No phase ends before its longest run, nor before its work is shared out.
    training = sum(max(max(seconds, default=0.0), sum(seconds) / workers) for seconds in phases)
    # Workers begin with different groups, and find one another's programs in the cache.
    compiling = sum(group["compile_s"] for group in groups) / min(workers, len(groups))
    return training + compiling + sum(bool(seconds) for seconds in phases) * clock.start_s


def _usd(seconds: float | None, device: Device | None, devices: int) -> float | None:
    if seconds is None or device is None or device.usd_per_hour is None:
        return None
    return seconds / 3600 * devices * device.usd_per_hour


def _flops_per_s(kind: str | None, device: Device | None, devices: int) -> float | None:
    """FLOP/s of one worker; None if the accelerator's peak is unknown."""
    if kind is None:
        return _SHARE * _matmul_flops_per_s() / len(visible_cores())
    return None if device is None else devices * device.utilization.mfu * device.peak_flops


def _matmul_flops_per_s() -> float:
    """FLOP/s of all cores together in a float32 matrix product."""
    size = 256
    matrix = np.ones((size, size), np.float32)
    best = float("inf")
    for _ in range(30):
        started = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
