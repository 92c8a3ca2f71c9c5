"""Timing of the train step at a few standard shapes: ``python -m scaling.sweep.host.timing INDEX COUNT CORE``.

``machine_speed.measure`` starts as many such processes as there would be workers, so that they share memory and caches
as workers do. Each writes a line of JSON for each of its shapes.

Times are of the processor, not of the clock: what else the machine is busy with does not count.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import jax
import jax.numpy as jnp
import numpy as np

from scaling.llama.config import LlamaConfig
from scaling.sweep.host.machine_speed import Timing
from scaling.train.config import DataConfig, RunConfig
from scaling.train.loop import steps_per_dispatch
from scaling.train.recipe import RECIPES, Overrides
from scaling.train.step import hyper_of, init_state, program_for

_MEASURED_S = 0.5
_FEWEST = 3
# (width, depth, heads, context, sequences per step); chosen so that no two kinds of work grow together in all of them.
_SHAPES = (
    (16, 1, 2, 32, 1),
    (128, 2, 2, 64, 16),
    (64, 6, 4, 128, 1),
    (20, 2, 2, 64, 4),
    (52, 2, 2, 64, 4),
    (48, 1, 4, 256, 4),
    (256, 4, 4, 128, 2),
    (32, 2, 2, 64, 2),
)
_NO_TEXT = DataConfig(corpus={}, fingerprint={}, tokenizer={}, eval_tokens=1)


def standard_runs() -> list[RunConfig]:
    """A run of each standard shape."""
    return [standard_run(*shape) for shape in _SHAPES]


def standard_run(width: int, depth: int, heads: int, seq_len: int, batch: int) -> RunConfig:
    """A run of a byte-level Llama, of no text in particular; ``batch`` in sequences."""
    model = LlamaConfig(
        vocab=256,
        width=width,
        depth=depth,
        heads=heads,
        kv_heads=heads,
        ffn=8 * width // 24 * 8,
        seq_len=seq_len,
        tie_embeddings=True,
        qk_norm=True,
    )
    steps, chosen = 1000, Overrides(schedule="wsd", decay=0.2, batch_tokens=batch * seq_len)
    return RunConfig(model, _NO_TEXT, RECIPES["transfer"](model, steps * batch * seq_len, chosen), steps, seed=0)


def time_run(config: RunConfig, start_s: float) -> Timing:
    """Compiles a run's programs and trains it for half a second."""
    random, model, size = np.random.default_rng(0), config.model, steps_per_dispatch(config)
    windows = random.integers(0, model.vocab, (size, config.batch, model.seq_len + 1), dtype=np.int32)
    count = jnp.asarray(size, jnp.int32)
    begun = time.process_time()
    program, hyper, state = program_for(config), hyper_of(config), init_state(config)
    state, losses = program.train(state, hyper, windows, count)
    jax.block_until_ready((losses, program.evaluate(state.parameters, windows[0])))
    compiled = time.process_time()
    seconds: list[float] = []
    while len(seconds) < _FEWEST or sum(seconds) < _MEASURED_S:
        before = time.process_time()
        state, losses = program.train(state, hyper, windows, count)
        jax.block_until_ready(losses)
        seconds.append(time.process_time() - before)
    return Timing(
        model=model,
        batch=config.batch,
        step_s=float(np.median(seconds)) / size,
        compile_s=compiled - begun,
        start_s=start_s,
    )


def share(runs: Sequence[RunConfig], index: int, count: int) -> Iterator[RunConfig]:
    """The standard runs of one of ``count`` processes, one at least."""
    yield from runs[index % len(runs) :: count]


def main(index: str, count: str, core: str) -> None:
    """Pins itself to a core and times its share of the shapes."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})
    start_s = time.process_time()  # since the process began: nearly all of it imports
    for config in share(standard_runs(), int(index), int(count)):
        print(json.dumps(asdict(time_run(config, start_s))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
