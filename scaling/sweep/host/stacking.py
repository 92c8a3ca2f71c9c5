"""The number of models that a device trains fastest at once, measured once and cached.

On an accelerator a small model's step is mostly waiting, and several stacked take hardly longer than one; on a CPU
they take about as long as one after another. The train step of a few standard widths is timed by itself and stacked,
each when a run asks for it that does about as much in a step; on a CPU one small shape has to do.
"""

import fcntl
import functools
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np

from scaling import __version__
from scaling.files import write_text
from scaling.llama.memory import training_bytes
from scaling.sweep.host.machine import cache_folder
from scaling.sweep.host.timing import standard_run
from scaling.train.config import RunConfig
from scaling.train.loop import steps_per_dispatch
from scaling.train.stacked import STACK_SIZES, stacked_program
from scaling.train.step import abstract_state, hyper_of, program_for

# Less is not worth compiling for; nor, on a CPU, worth giving up that a run repeats itself to the bit, which members
# of a stack need not: at widths of 16 and less, stacking gains a tenth there.
LEAST_GAIN, LEAST_GAIN_ON_CPU = 1.1, 1.3
# (width, depth, heads, context, sequences per step)
_SHAPES = ((32, 4, 2, 256, 8), (128, 4, 2, 256, 8), (256, 4, 4, 256, 8), (768, 4, 12, 256, 8))
_ON_CPU, _MEMBERS_ON_CPU = (32, 1, 2, 64, 4), 4
_ROUNDS = 8
# Of the device's memory; training_bytes is an estimate.
_ROOM = 0.7
# Raised when older measurements no longer hold for this version's train step.
_FORMAT = 2


def members_at_once(config: RunConfig, available: int) -> int:
    """Number of runs, equal to one but for numbers, to train together: as many as fit and are faster so.

    With SCALING_CALIBRATE=no nothing is measured, and runs are trained one after another.

    Args:
        config: one of them.
        available: how many there are.
    """
    if os.environ.get("SCALING_CALIBRATE", "").lower() in ("no", "n", "false", "f", "off", "0"):
        return 1
    least = LEAST_GAIN_ON_CPU if jax.default_backend() == "cpu" else LEAST_GAIN
    for members in reversed(STACK_SIZES):
        if 1 < members <= available and fits(config, members) and _gain(config, members) >= least:
            return members
    return 1


def fits(config: RunConfig, members: int) -> bool:
    """Whether some number of models like a run's fit this device's memory at once."""
    need = members * training_bytes(config.model, config.batch, config.dtype, optimizer=config.recipe.optimizer).total
    return need <= _ROOM * _memory_bytes()


def _memory_bytes() -> int:
    found = jax.devices()[0].memory_stats()
    if found and "bytes_limit" in found:
        return int(found["bytes_limit"])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // max(1, os.cpu_count() or 1)


def _gain(config: RunConfig, members: int) -> float:
    """Gain in speed by stacking, measured for the standard run nearest to a run."""
    if jax.default_backend() == "cpu":
        return known_gain(standard_run(*_ON_CPU), _MEMBERS_ON_CPU)
    runs = [replace(standard_run(*shape), dtype=config.dtype) for shape in _SHAPES]
    nearest = min(runs, key=lambda run: abs(math.log(_work(run) / _work(config))))
    return known_gain(nearest, members) if fits(nearest, members) else 0.0


def _work(config: RunConfig) -> float:
    """FLOPs of a step and layer, a measure of the work between two starts of a kernel."""
    return config.flops / config.steps / config.model.depth


def known_gain(run: RunConfig, members: int) -> float:
    """Gain as cached for this device, or else measured now; 0 while another process measures it."""
    key = f"{run.model.width} {run.dtype} {members}"
    try:
        with open(_path("lock"), "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return _cached().get(key, 0.0)
            gains = _cached()
            if key not in gains:
                gains[key] = measured_gain(run, members)
                write_text(_path("json"), json.dumps(gains, indent=1))
            return gains[key]
    except OSError:  # a cache that cannot be written: good for this process
        return _measured_here(run, members)


def _path(suffix: str) -> Path:
    device = jax.devices()[0]
    key = hashlib.sha256(f"{device.device_kind} {version('jax')} {__version__} {_FORMAT}".encode()).hexdigest()[:12]
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"stacking-{key}.{suffix}"


def _cached() -> dict[str, float]:
    try:
        gains: dict[str, float] = json.loads(_path("json").read_text())
    except (OSError, ValueError):
        return {}
    return gains


def measured_gain(run: RunConfig, members: int) -> float:
    """Gain: tokens per second of stacked models over those of one model after another; 0 where stacking fails."""
    size = steps_per_dispatch(run)
    windows = np.random.default_rng(0).integers(
        0, run.model.vocab, (members, size, run.batch, run.model.seq_len + 1), dtype=np.int32
    )
    program, stacked = program_for(run), stacked_program(run)
    # Any numbers take as long, and these need no program to make them.
    shapes = abstract_state(run.model, run.recipe.optimizer)
    state = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.01, leaf.dtype), shapes)
    hyper = jax.tree.map(np.asarray, hyper_of(run))
    states, hypers = (jax.tree.map(lambda leaf: np.stack([leaf] * members), tree) for tree in (state, hyper))
    counts = np.full(members, size, np.int32)

    def one() -> None:
        nonlocal state
        state, losses = program.train(state, hyper, windows[0], counts[0])
        losses.block_until_ready()

    def together() -> None:
        nonlocal states
        states, losses = stacked(states, hypers, windows, counts)
        losses.block_until_ready()

    try:
        timed = [(_seconds(one), _seconds(together)) for _ in range(_ROUNDS + 1)]
    except jax.errors.JaxRuntimeError as error:
        print(f"stacked models cannot be trained here: {error}", file=sys.stderr)
        return 0.0
    # The first compiled; of the others, the least disturbed.
    alone_s, together_s = (min(times) for times in zip(*timed[1:], strict=True))
    return members * alone_s / together_s


_measured_here = functools.cache(measured_gain)


def _seconds(call: Callable[[], None]) -> float:
    """Seconds by a clock; on a CPU its time for this process, so that other load does not decide about stacking."""
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    begun = clock()
    call()
    return clock() - begun
