"""The loss of a trained run on the held-out windows, and how the run ended."""

import math
import time
from dataclasses import dataclass, field

import jax
import numpy as np

from scaling.data.batches import RunText
from scaling.llama.parameters import named_parameters
from scaling.llama.sharding import BATCH, PLAIN, Execution, axis_size
from scaling.train.config import RunConfig
from scaling.train.placement import split_rows
from scaling.train.step import TrainState, program_for

# Small calls stay in the cache: on a CPU they run twice as fast as calls of 8192 tokens.
EVAL_TOKENS_PER_CALL = 2048


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: ``done``, or ``diverged``, as ``health.has_diverged`` says.
        loss: mean over the held-out tokens, nats per token.
        loss_stderr: standard error of that mean over tokens.
        loss_stderr_documents: the same, clustered by document.
        eval_s: seconds spent evaluating.
        flops_per_s: training FLOP/s after the first dispatch, which may have compiled; NaN if it was the only one.
        parameters: the last parameters by name, in this process's memory; None if the run has diverged.
    """

    status: str
    loss: float
    loss_stderr: float
    loss_stderr_documents: float
    eval_s: float
    flops_per_s: float
    parameters: dict[str, np.ndarray] | None = field(default=None, compare=False, repr=False)


DIVERGED = Outcome("diverged", math.nan, math.nan, math.nan, 0.0, math.nan)


def eval_windows(config: RunConfig, execution: Execution = PLAIN) -> int:
    """Held-out windows in one compiled call."""
    tokens = max(EVAL_TOKENS_PER_CALL, config.recipe.batch_tokens // execution.microbatches)
    windows = max(1, min(tokens, config.data.eval_tokens) // config.model.seq_len)
    return windows + -windows % axis_size(execution.mesh, BATCH)


def evaluate_run(
    config: RunConfig, state: TrainState, text: RunText, flops_per_s: float, execution: Execution = PLAIN
) -> Outcome:
    """The outcome of a run whose last step is taken: its loss on the held-out windows.

    Args:
        config: the run.
        state: its last state.
        text: its tokens.
        flops_per_s: training speed, as in ``Outcome``.
        execution: how it is evaluated.
    """
    started = time.monotonic()
    program, count, size = program_for(config, execution), len(text.windows), eval_windows(config, execution)
    # The last call is filled up with the first window, so that one compilation serves all calls.
    padded = np.concatenate([text.windows, np.repeat(text.windows[:1], -count % size, axis=0)])
    calls = [split_rows(padded[i : i + size], execution.mesh) for i in range(0, len(padded), size)]
    parts = [program.evaluate(state.parameters, call) for call in calls]
    losses = np.concatenate([np.asarray(part, np.float64) for part in jax.device_get(parts)])[:count]
    mean = float(losses.mean())
    by_document = np.bincount(text.documents, weights=(losses - mean).sum(axis=1))
    return Outcome(
        status="done" if math.isfinite(mean) else "diverged",
        loss=mean,
        loss_stderr=float(losses.std(ddof=1) / math.sqrt(losses.size)),
        loss_stderr_documents=float(np.sqrt((by_document**2).sum()) / losses.size),
        eval_s=time.monotonic() - started,
        flops_per_s=flops_per_s,
        parameters=named_parameters(state.parameters) if math.isfinite(mean) else None,
    )
