"""One training run in order: restore, then dispatches of steps, each logged and at times saved, then evaluation."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from scaling.data.batches import RunText
from scaling.llama.sharding import PLAIN, Execution
from scaling.train.checkpoints.index import any_checkpoint
from scaling.train.checkpoints.timer import CheckpointTimer
from scaling.train.config import RunConfig
from scaling.train.evaluate import DIVERGED, Outcome, evaluate_run
from scaling.train.health import has_diverged
from scaling.train.placement import decided, replicated, take_batches
from scaling.train.step import TrainState, hyper_of, init_state, program_for
from scaling.train.stop import Stopped, stop_requested

# A dispatch is about this much work: long enough to hide its overhead, short enough to report and stop between.
DISPATCH_FLOPS = 1e10
MAX_STEPS_PER_DISPATCH = 64
# What a process requests after a dispatch. Where there are several, all do the greatest of what they request.
_NOTHING, _SAVE, _STOP = 0, 1, 2


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
class RunContext:
    """A run with the data, folders and callbacks that its training uses.

    Attributes:
        config: the run.
        text: its tokens.
        checkpoints: folder of its checkpoints; left behind for the caller to remove.
        checkpoint_s: seconds to the first checkpoint, and between later ones at least.
        report: called with every dispatch in order, before a checkpoint of it is written.
        execution: how the steps are carried out; a run may go on in another way than it was begun.
    """

    config: RunConfig
    text: RunText
    checkpoints: Path
    checkpoint_s: tuple[float, float]
    report: Callable[[Progress], None]
    execution: Execution = PLAIN


class Advanced(NamedTuple):
    """The result of ``advance``.

    Attributes:
        state: after the last step taken.
        diverged: whether a loss says that the run has diverged.
        flops_per_s: as in ``Outcome``.
    """

    state: TrainState
    diverged: bool
    flops_per_s: float


class _Dispatch(NamedTuple):
    """A dispatch under way: the step it leads to, its losses (size,), and how many of them count."""

    step: int
    losses: jax.Array
    steps: int


class _LossLog:
    """The losses of dispatches, read and reported in order; ``diverged`` and the speed follow from them."""

    def __init__(self, context: RunContext) -> None:
        self._config, self._report = context.config, context.report
        self._started = time.monotonic()
        self._first_read: tuple[int, float] | None = None
        self.diverged = False

    def read(self, dispatch: _Dispatch) -> None:
        """Waits for a dispatch's losses, and reports their mean."""
        loss = float(np.mean(np.asarray(dispatch.losses)[: dispatch.steps], dtype=np.float64))
        now = time.monotonic()
        self._report(Progress(dispatch.step, loss, now - self._started))
        self._first_read = self._first_read or (dispatch.step, now)
        self.diverged = has_diverged(self._config, dispatch.step, loss)

    def flops_per_s(self, step: int) -> float:
        """Training FLOP/s from the first losses read until now, at ``step``; NaN if no step was taken since."""
        if self._first_read is None or step <= self._first_read[0]:
            return math.nan
        first, then = self._first_read
        return (step - first) * self._config.flops / self._config.steps / (time.monotonic() - then)


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
        config, text, checkpoints, checkpoint_s, report, execution: as in ``RunContext``.
        begin: makes the state to begin from; by default that of step 0.
    """
    context = RunContext(config, text, checkpoints, checkpoint_s, report, execution)
    state = restore_state(checkpoints, lambda: init_state(config, execution.mesh), begin)
    state, diverged, flops_per_s = advance(context, state, config.steps)
    return DIVERGED if diverged else evaluate_run(config, state, text, flops_per_s, execution)


def advance(context: RunContext, state: TrainState, until: int) -> Advanced:
    """Trains from a state, which is used up, until step ``until`` or until a loss says that the run has diverged.

    The order of side effects may not change:

    1. The processes agree on what to do after a dispatch before they start it: every process must make the same calls
       in the same order, or all wait for ever.
    2. A dispatch starts before the losses of the one before are read, so that the device never waits for this process.
    3. Losses are reported before a checkpoint of their step is written, so that a run that goes on from the checkpoint
       has every row before it.
    4. A state is saved only if its losses are sound: a run would go on from a diverged checkpoint for ever.
    5. ``Stopped`` is raised only when the state is saved.

    Raises:
        Stopped: this process was requested to stop, and the state is saved.
        OSError: a checkpoint cannot be written; the one before it is as it was.
    """
    config, mesh = context.config, context.execution.mesh
    program, size = program_for(config, context.execution), steps_per_dispatch(config)
    hyper = replicated(hyper_of(config), mesh)
    log, timer = _LossLog(context), CheckpointTimer(context.checkpoint_s)
    step = int(state.step)
    under_way: _Dispatch | None = None
    while step < until and not log.diverged:
        count = min(size, until - step)
        batches, requested = take_batches(context.text.batches, step, size, mesh), decided(_request(timer))
        state, losses = program.train(state, hyper, batches, replicated(jnp.int32(count), mesh))
        timer.begin()
        step += count
        if under_way is not None:
            log.read(under_way)
        under_way = _Dispatch(step, losses, count)
        if not log.diverged and step < until and (action := requested()):
            log.read(under_way)
            under_way = None
            if not log.diverged:
                with timer.saving():
                    save(state, context.checkpoints)
                if action == _STOP:
                    raise Stopped
    if under_way is not None and not log.diverged:
        log.read(under_way)
    return Advanced(state, log.diverged, log.flops_per_s(step))


def _request(timer: CheckpointTimer) -> int:
    """The request of this process after a dispatch; only rank 0 reads the timer."""
    if stop_requested():
        return _STOP
    return _SAVE if timer.due and jax.process_index() == 0 else _NOTHING


def restore_state(
    folder: Path, like: Callable[[], TrainState], begin: Callable[[], TrainState] | None = None
) -> TrainState:
    """The newest state in a folder of checkpoints; without any, that of ``begin`` (by default ``like``)."""
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
