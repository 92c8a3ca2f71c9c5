"""The loss of a trained run on the held-out windows, and how the run ended."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import jax
import numpy as np
from jaxtyping import Float, Int32

from scaling.data.batches import HeldOutWindows, RunText
from scaling.llama.parameters import named_parameters
from scaling.llama.sharding import BATCH, PLAIN, Execution, axis_size
from scaling.train.config import RunConfig
from scaling.train.placement import split_rows
from scaling.train.step import TrainState, program_for

# Small calls stay in the cache: on a CPU they run twice as fast as calls of 8192 tokens.
EVAL_TOKENS_PER_CALL = 2048


@dataclass(frozen=True)
class HeldOutLoss:
    """The loss on a held-out text.

    Attributes:
        mean: over its tokens, nats per token.
        stderr: standard error of that mean over tokens.
        stderr_documents: the same, clustered by document.
    """

    mean: float
    stderr: float
    stderr_documents: float


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
        evaluation_sets: losses on further held-out texts, by name; empty if the run has diverged in training.
    """

    status: str
    loss: float
    loss_stderr: float
    loss_stderr_documents: float
    eval_s: float
    flops_per_s: float
    parameters: dict[str, np.ndarray] | None = field(default=None, compare=False, repr=False)
    evaluation_sets: Mapping[str, HeldOutLoss] = field(default_factory=dict)


DIVERGED = Outcome("diverged", math.nan, math.nan, math.nan, 0.0, math.nan)


def eval_windows(config: RunConfig, execution: Execution = PLAIN) -> int:
    """Held-out windows in one compiled call."""
    tokens = max(EVAL_TOKENS_PER_CALL, config.recipe.batch_tokens // execution.microbatches)
    windows = max(1, min(tokens, config.data.eval_tokens) // config.model.seq_len)
    return windows + -windows % axis_size(execution.mesh, BATCH)


def evaluate_run(
    config: RunConfig, state: TrainState, text: RunText, flops_per_s: float, execution: Execution = PLAIN
) -> Outcome:
    """The outcome of a run whose last step is taken: its losses on the held-out windows.

    Args:
        config: the run.
        state: its last state.
        text: its tokens.
        flops_per_s: training speed, as in ``Outcome``.
        execution: how it is evaluated.
    """
    started = time.monotonic()
    evaluate, size = program_for(config, execution).evaluate, eval_windows(config, execution)
    sets = [HeldOutWindows(text.windows, text.documents), *text.evaluation_sets.values()]
    # All calls are of one shape and under way at once; each set is padded by itself, so that no set changes another's.
    parts = [
        [evaluate(state.parameters, split_rows(call, execution.mesh)) for call in _calls(held_out, size)]
        for held_out in sets
    ]
    own, *others = [
        _loss(np.concatenate(losses)[: len(held_out.windows)].astype(np.float64), held_out)
        for losses, held_out in zip(jax.device_get(parts), sets, strict=True)
    ]
    finite = math.isfinite(own.mean)
    return Outcome(
        status="done" if finite else "diverged",
        loss=own.mean,
        loss_stderr=own.stderr,
        loss_stderr_documents=own.stderr_documents,
        eval_s=time.monotonic() - started,
        flops_per_s=flops_per_s,
        parameters=named_parameters(state.parameters) if finite else None,
        evaluation_sets=dict(zip(text.evaluation_sets, others, strict=True)),
    )


def _calls(held_out: HeldOutWindows, size: int) -> list[Int32[np.ndarray, "size window"]]:
    """The windows in calls of one size; the last is filled up with the first window, so that all have one shape."""
    windows = held_out.windows
    padded = np.concatenate([windows, np.repeat(windows[:1], -len(windows) % size, axis=0)])
    return [padded[i : i + size] for i in range(0, len(padded), size)]


def _loss(losses: Float[np.ndarray, "n seq"], held_out: HeldOutWindows) -> HeldOutLoss:
    """The mean of the tokens' losses, with its standard errors."""
    mean = float(losses.mean())
    by_document = np.bincount(held_out.documents, weights=(losses - mean).sum(axis=1))
    return HeldOutLoss(
        mean=mean,
        stderr=float(losses.std(ddof=1) / math.sqrt(losses.size)),
        stderr_documents=float(np.sqrt((by_document**2).sum()) / losses.size),
    )
