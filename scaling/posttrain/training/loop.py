"""The loop that every stage shares: steps, each reported and at times saved, until the last or a request to stop."""

import math
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax

from scaling.posttrain.stage import StageRun
from scaling.train.checkpoints.index import any_checkpoint
from scaling.train.checkpoints.timer import CheckpointTimer
from scaling.train.placement import decided
from scaling.train.stop import Stopped, stop_requested


@runtime_checkable
class Stepped(Protocol):
    """A state: a pytree of arrays that knows its step."""

    @property
    def step(self) -> Any: ...


State = TypeVar("State", bound=Stepped)
_NOTHING, _SAVE, _STOP = 0, 1, 2


def restored(run: StageRun, begin: Callable[[], State]) -> State:
    """The newest state in the run's checkpoints; without any, that of ``begin``."""
    state = begin()
    if not decided(any_checkpoint(run.checkpoints))():
        return state
    from scaling.train.checkpoints.checkpoint import Checkpoints  # late: Orbax takes a second to import

    found = Checkpoints(run.checkpoints).restore(state)
    return state if found is None else found


def run_steps(
    run: StageRun, state: State, take: Callable[[State, int], tuple[State, dict[str, float]]], until: int
) -> tuple[State, bool]:
    """Takes steps from a state until step ``until``, or until a loss is not finite.

    Every step is a function of the state and its number, so a run that goes on from a checkpoint repeats the same. Each
    is reported before a checkpoint of it is written, and only a state whose loss is sound is saved.

    Args:
        run: the run.
        state: used up.
        take: takes the step of that number, counted from 0; returns what is reported of it, its ``loss`` included.
        until: the last step.

    Returns:
        The last state, and whether the run has diverged.

    Raises:
        Stopped: this process was requested to stop, and the state is saved.
    """
    timer = CheckpointTimer(run.checkpoint_s)
    step = int(state.step)
    while step < until:
        request = decided(_request(timer))
        state, measured = take(state, step)
        timer.begin()
        step += 1
        run.report({"step": step, **measured})
        if not math.isfinite(measured["loss"]):
            return state, True
        if step < until and (action := request()):
            from scaling.train.checkpoints.checkpoint import Checkpoints

            with timer.saving():
                Checkpoints(run.checkpoints).save(state)
            if action == _STOP:
                raise Stopped
    return state, False


def _request(timer: CheckpointTimer) -> int:
    """The request of this process after a step; only rank 0 reads the timer."""
    if stop_requested():
        return _STOP
    return _SAVE if timer.due and jax.process_index() == 0 else _NOTHING
