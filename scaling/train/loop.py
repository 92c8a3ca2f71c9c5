"""One training run, told in order: restore, train in dispatches, log, checkpoint, evaluate."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from scaling.data.batches import RunText
from scaling.llama.parameters import named_parameters
from scaling.llama.sharding import BATCH, PLAIN, Execution, axis_size
from scaling.train.checkpoints.index import any_checkpoint
from scaling.train.config import RunConfig
from scaling.train.health import has_diverged
from scaling.train.placement import decided, replicated, split_rows, take_batches
from scaling.train.step import TrainState, hyper_of, init_state, program_for
from scaling.train.stop import Stopped, stop_requested

# A dispatch is about this much work: long enough to hide its overhead, short enough to report and stop between.
DISPATCH_FLOPS = 1e10
MAX_STEPS_PER_DISPATCH = 64
# Small calls stay in the cache: on a CPU they run twice as fast as calls of 8192 tokens.
EVAL_TOKENS_PER_CALL = 2048
# Where saving is slow, at least this many times as long passes until the next.
SAVE_SHARE = 30
_SAVE, _STOP = 1, 2


@dataclass(frozen=True)
class Progress:
    """One dispatch done.

    Attributes:
        step: steps taken so far.
        loss: mean training loss of the dispatch's steps, nats per token.
        seconds: since this process began or resumed the run.
    """

    step: int
    loss: float
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: ``done``, or ``diverged``, as ``health.lost`` has it.
        loss: mean over the held-out tokens, nats per token.
        loss_stderr: standard error of that mean over tokens.
        loss_stderr_documents: the same, clustered by document.
        eval_s: seconds spent evaluating.
        flops_per_s: training FLOP/s after the first dispatch, which may have compiled; NaN if it was the only one.
        parameters: the last ones, by name, in this process's memory; None of a run that has diverged.
    """

    status: str
    loss: float
    loss_stderr: float
    loss_stderr_documents: float
    eval_s: float
    flops_per_s: float
    parameters: dict[str, np.ndarray] | None = field(default=None, compare=False, repr=False)


DIVERGED = Outcome("diverged", math.nan, math.nan, math.nan, 0.0, math.nan)


class CheckpointTimer:
    """When a checkpoint is due: after the first seconds, then as often as asked, or less where saving is slow."""

    def __init__(self, checkpoint_s: tuple[float, float]) -> None:
        self._first_s, self._every_s = checkpoint_s
        self._due = math.inf if self._first_s else -math.inf

    def begin(self) -> None:
        """The first dispatch is under way: the seconds before, which may have gone into compiling, do not count."""
        if self._due == math.inf:
            self._due = time.monotonic() + self._first_s

    @property
    def due(self) -> bool:
        return time.monotonic() >= self._due

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Around what saves."""
        before = time.monotonic()
        yield
        saved = time.monotonic()
        self._due = saved + max(self._every_s, SAVE_SHARE * (saved - before))


class Stretch(NamedTuple):
    """Some steps of a run, done.

    Attributes:
        state: after them.
        sound: whether none of its losses says that it has diverged.
        flops_per_s: as in ``Outcome``.
    """

    state: TrainState
    sound: bool
    flops_per_s: float


def steps_per_dispatch(config: RunConfig) -> int:
    """Steps in one compiled call: a function of the config alone, so that a resumed run repeats the same calls."""
    per_step = config.flops / config.steps
    return int(min(max(1, DISPATCH_FLOPS // per_step), MAX_STEPS_PER_DISPATCH))


def train_run(
    config: RunConfig,
    text: RunText,
    checkpoints: Path,
    checkpoint_s: tuple[float, float],
    report: Callable[[Progress], None],
    begin: Callable[[], TrainState] | None = None,
    execution: Execution = PLAIN,
) -> Outcome:
    """Trains a run to its last step, from its newest checkpoint if there is one, and evaluates it.

    Args:
        config: the run.
        text: its tokens.
        checkpoints: folder of its checkpoints; left behind for the caller to remove.
        checkpoint_s: seconds to the first checkpoint, and between later ones at least.
        report: called with every dispatch in order, before a checkpoint of it is written.
        begin: makes the state to begin from; by default that of step 0.
        execution: how it is carried out; a run may go on another way than it was begun.
    """
    state = restore_state(checkpoints, lambda: init_state(config, execution.mesh), begin)
    state, sound, speed = advance(config, state, config.steps, text, checkpoints, checkpoint_s, report, execution)
    if not sound:
        return DIVERGED
    return evaluate_run(config, state, text, speed, execution)


def advance(
    config: RunConfig,
    state: TrainState,
    until: int,
    text: RunText,
    checkpoints: Path,
    checkpoint_s: tuple[float, float],
    report: Callable[[Progress], None],
    execution: Execution = PLAIN,
) -> Stretch:
    """Trains from a state, which is used up, until so many steps were taken or a loss says that it has diverged.

    A dispatch's losses are read when the next one is under way, so that the device never waits for this process.

    Raises:
        Stopped: this process was asked to stop, and the state is saved.
        OSError: a checkpoint cannot be written; the one before it is as it was.
    """
    mesh = execution.mesh
    program, hyper, size = (
        program_for(config, execution),
        replicated(hyper_of(config), mesh),
        steps_per_dispatch(config),
    )
    started, pace = time.monotonic(), CheckpointTimer(checkpoint_s)
    step = int(state.step)
    timed: tuple[int, float] | None = None
    sound = True

    def tell(step: int, losses: jax.Array, count: int) -> None:
        nonlocal timed, sound
        loss = float(np.mean(np.asarray(losses)[:count], dtype=np.float64))
        now = time.monotonic()
        report(Progress(step, loss, now - started))
        timed = timed or (step, now)
        sound = not has_diverged(config, step, loss)

    under_way: tuple[int, jax.Array, int] | None = None
    while step < until and sound:
        count = min(size, until - step)
        batches, wanted = take_batches(text.batches, step, size, mesh), decided(_wish(pace))
        state, losses = program.train(state, hyper, batches, replicated(jnp.int32(count), mesh))
        pace.begin()
        step += count
        if under_way is not None:
            tell(*under_way)
        under_way = step, losses, count
        if sound and step < until and (wish := wanted()):
            tell(*under_way)
            under_way = None
            if sound:
                with pace.saving():
                    save(state, checkpoints)
                if wish == _STOP:
                    raise Stopped
    if under_way is not None and sound:
        tell(*under_way)
    speed = math.nan
    if timed is not None and step > timed[0]:
        speed = (step - timed[0]) * config.flops / config.steps / (time.monotonic() - timed[1])
    return Stretch(state, sound, speed)


def _wish(pace: CheckpointTimer) -> int:
    """What this process would do after a dispatch; of those of several processes the greatest is done."""
    return _STOP if stop_requested() else _SAVE if pace.due and jax.process_index() == 0 else 0


def restore_state(
    folder: Path, like: Callable[[], TrainState], begin: Callable[[], TrainState] | None = None
) -> TrainState:
    """The newest state in a folder of checkpoints, or where there is none what ``begin`` makes, else ``like``."""
    begin = begin or like
    if not decided(any_checkpoint(folder))():
        return begin()
    # Imported late: Orbax takes a second to import, and most runs never need it.
    from scaling.train.checkpoints.checkpoint import Checkpoints

    state = Checkpoints(folder).restore(like())
    return begin() if state is None else state


def save(state: TrainState, folder: Path) -> None:
    """Adds a state to a folder of checkpoints."""
    from scaling.train.checkpoints.checkpoint import Checkpoints

    Checkpoints(folder).save(state)


def eval_windows(config: RunConfig, execution: Execution = PLAIN) -> int:
    """Held-out windows in one compiled call."""
    tokens = max(EVAL_TOKENS_PER_CALL, config.recipe.batch_tokens // execution.microbatches)
    windows = max(1, min(tokens, config.data.eval_tokens) // config.model.seq_len)
    return windows + -windows % axis_size(execution.mesh, BATCH)


def evaluate_run(
    config: RunConfig, state: TrainState, text: RunText, flops_per_s: float, execution: Execution = PLAIN
) -> Outcome:
    """How a run ended that was trained at such a speed: its loss on the held-out windows."""
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
