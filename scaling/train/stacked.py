"""Runs of one shape trained at once: stacked along a first axis, and vmapped in one compiled step.

What they differ in (schedule, rates, weight decay, seed, length) is in their arrays. Each is trained as it would be
by itself, but for rounding. Sixteen seeds, and one dispatch of them::

    configs = [replace(config, seed=seed) for seed in range(16)]
    train, size = stacked_program(config), steps_per_dispatch(config)
    states, hypers = stack([init_state(c) for c in configs]), stack([hyper_of(c) for c in configs])
    batches = np.stack([text.of_run(c).batches.take(0, size) for c in configs])
    states, losses = train(states, hypers, batches, np.full(16, size, np.int32))  # losses: (16, size)
"""

import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from scaling.data.batches import RunText
from scaling.llama.config import LlamaConfig
from scaling.llama.sharding import Execution
from scaling.train.checkpoints.timer import CheckpointTimer
from scaling.train.config import RunConfig
from scaling.train.evaluate import DIVERGED, Outcome, evaluate_run
from scaling.train.health import has_diverged
from scaling.train.loop import Progress, restore_state, save, steps_per_dispatch
from scaling.train.optimizer import Hyper
from scaling.train.recipe import OptimizerName
from scaling.train.step import TrainState, hyper_of, init_state, make_step
from scaling.train.stop import Stopped, stop_requested

# Places in a stack: few, as each is compiled for.
STACK_SIZES = (1, 2, 4, 8, 16)

_Tree = TypeVar("_Tree")


def stack_key(config: RunConfig) -> tuple[Any, ...]:
    """A key that is equal for runs that can be stacked."""
    recipe = config.recipe
    betas = recipe.beta1, recipe.beta2
    return config.model, config.batch, config.dtype, recipe.schedule.kind, *betas, recipe.optimizer


def stacked_program(
    config: RunConfig,
) -> Callable[
    [TrainState, Hyper, Int[np.ndarray, "members count batch window"], Int[np.ndarray, " members"]],
    tuple[TrainState, Float[Array, "members count"]],
]:
    """The compiled steps of a stack of runs like a given one.

    Returns:
        (states, hypers, batches (M, K, batch, seq + 1), counts (M,)) -> (states, losses (M, K)): each member takes its
        ``counts`` <= K steps, and then keeps its state; its losses count up to there. The states' buffers are donated.
    """
    model, _, *others = stack_key(config)
    return _program(model, *others)


@functools.cache
def _program(model: LlamaConfig, dtype: str, kind: str, beta1: float, beta2: float, optimizer: OptimizerName) -> Any:
    step = jax.vmap(make_step(model, dtype, kind, beta1, beta2, Execution(stacked=True), optimizer))

    @functools.partial(jax.jit, donate_argnums=0)
    def train(
        states: TrainState,
        hypers: Hyper,
        batches: Int[Array, "members count batch window"],
        counts: Int[Array, " members"],
    ) -> tuple[TrainState, Float[Array, "members count"]]:
        def body(i: Array, carry: tuple[TrainState, Array]) -> tuple[TrainState, Array]:
            before, history = carry
            after, losses = step(before, hypers, jax.lax.dynamic_index_in_dim(batches, i, axis=1, keepdims=False))

            def masked(new: Array, old: Array) -> Array:
                return jnp.where((i < counts).reshape(-1, *[1] * (new.ndim - 1)), new, old)

            return jax.tree.map(masked, after, before), history.at[:, i].set(losses)

        return jax.lax.fori_loop(0, counts.max(), body, (states, jnp.zeros(batches.shape[:2])))

    return train


@jax.jit
def stack(members: Sequence[_Tree]) -> _Tree:
    """Stacks trees of arrays along a new first axis of members."""
    stacked: _Tree = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    return stacked


@jax.jit
def pick(stacked: _Tree, places: Int[Array, "*places"]) -> _Tree:
    """One member of a stack by its place, or a stack of several by theirs."""
    picked: _Tree = jax.tree.map(lambda leaf: leaf[places], stacked)
    return picked


class Share:
    """A member's equal share of a count that several runs cause together, such as seconds.

    Args:
        counter: reads the count up to now, which never falls.
        members: number of runs that share it.
    """

    def __init__(self, counter: Callable[[], float], members: int) -> None:
        self._counter, self._members = counter, members
        self._read, self._total = counter(), 0.0

    def __call__(self) -> float:
        """A member's share of the count since this was made."""
        now = self._counter()
        self._total += (now - self._read) / max(self._members, 1)
        self._read = now
        return self._total

    def leave(self) -> None:
        """Removes one member from now on."""
        self()
        self._members -= 1


@dataclass(frozen=True)
class StackedRun:
    """One run of a stack.

    Attributes:
        config: the run.
        text: its tokens.
        checkpoints: folder of its checkpoints, of the form of any run's; left behind for the caller to remove.
        report: as in ``RunContext``; its seconds are the run's share of the time.
        end: called once, with how it ended; its FLOP/s are by its share of the time as well.
    """

    config: RunConfig
    text: RunText
    checkpoints: Path
    report: Callable[[Progress], None]
    end: Callable[[Outcome], None]


def train_stacked(members: Sequence[StackedRun], checkpoint_s: tuple[float, float]) -> None:
    """Trains runs together, each to its last step, from its newest checkpoint if there is one, and evaluates it.

    A run that diverges ends, and the others go on. Where enough have ended, the rest moves to a smaller
    stack. As in ``loop.advance``, losses are read when the next dispatch is under way.

    Args:
        members: the runs, of one ``stack_key``; at most as many as the longest stack has places.
        checkpoint_s: seconds to the first checkpoints, and between later ones at least.
    """
    running, timer = _Stack(members), CheckpointTimer(checkpoint_s)
    under_way: _Dispatch | None = None
    while running.going:
        ahead = running.dispatch() if running.unfinished or under_way is None else None
        timer.begin()
        if under_way is not None:
            running.report(under_way)
        under_way = ahead
        if under_way is not None and running.unfinished and (timer.due or stop_requested()):
            running.report(under_way)
            under_way = None
            with timer.saving():
                running.save()
            if stop_requested():
                raise Stopped


class _Run:
    """An unfinished run of the stack.

    Attributes:
        step: that it will have reached after the dispatch under way.
        timed: its step and seconds when its first losses were read.
    """

    def __init__(self, member: StackedRun, step: int) -> None:
        self.member, self.step = member, step
        self.timed: tuple[int, float] | None = None

    @property
    def left(self) -> int:
        return self.member.config.steps - self.step


# The losses of a dispatch, and for each run in it its place, the step it leads to, and how many it takes.
_Dispatch = tuple[Float[Array, "places count"], list[tuple[_Run, int, int, int]]]


class _Stack:
    """The unfinished runs of a stack, and the place of each."""

    def __init__(self, members: Sequence[StackedRun]) -> None:
        first = members[0].config
        if any(stack_key(member.config) != stack_key(first) for member in members) or len(members) > STACK_SIZES[-1]:
            raise ValueError(
                f"at most {STACK_SIZES[-1]} runs can be stacked, of one shape, batch, dtype, schedule and optimizer"
            )
        self._train, self._size = stacked_program(first), steps_per_dispatch(first)
        self._flops = first.flops / first.steps
        self._clock = Share(time.monotonic, len(members))
        states = [restore_state(member.checkpoints, functools.partial(init_state, member.config)) for member in members]
        self._places: dict[_Run, int] = {
            _Run(member, int(state.step)): place
            for place, (member, state) in enumerate(zip(members, states, strict=True))
        }
        places = _filled_up(range(len(members)))
        self._states = stack([states[place] for place in places])
        self._hypers = stack([hyper_of(members[place].config) for place in places])
        self._count = len(places)

    @property
    def going(self) -> bool:
        """Whether any member has not ended."""
        return bool(self._places)

    @property
    def unfinished(self) -> bool:
        """Whether any member has steps to take."""
        return any(run.left for run in self._places)

    def dispatch(self) -> "_Dispatch":
        """Starts the next steps of all members."""
        shape = next(iter(self._places)).member.config
        batches = np.zeros((self._count, self._size, shape.batch, shape.model.seq_len + 1), np.int32)
        counts = np.zeros(self._count, np.int32)
        taken = []
        for run, place in self._places.items():
            counts[place] = count = min(self._size, run.left)
            if count:
                batches[place] = run.member.text.batches.take(run.step, self._size)
            run.step += count
            taken.append((run, place, run.step, count))
        self._states, losses = self._train(self._states, self._hypers, batches, counts)
        return losses, taken

    def report(self, dispatch: "_Dispatch") -> None:
        """Reports a dispatch's losses, and ends the runs that it brought to their last step or that diverged."""
        losses = np.asarray(dispatch[0], np.float64)
        for run, place, step, count in dispatch[1]:
            if run not in self._places:  # it had diverged before
                continue
            loss = float(losses[place, :count].mean()) if count else math.nan
            if count:
                now = self._clock()
                run.timed = run.timed or (step, now)
                run.member.report(Progress(step, loss, now))
            if count and has_diverged(run.member.config, step, loss):
                self._end(run, DIVERGED)
            elif step == run.member.config.steps:
                self._end(run, self._outcome(run))
        self._compact()

    def save(self) -> None:
        """Adds each run's state to its checkpoints."""
        for run, place in self._places.items():
            save(pick(self._states, np.int32(place)), run.member.checkpoints)

    def _outcome(self, run: _Run) -> Outcome:
        speed = math.nan
        if run.timed is not None and run.step > run.timed[0]:
            speed = (run.step - run.timed[0]) * self._flops / (self._clock() - run.timed[1])
        # Its state is still that of its last step, whatever the others have done since.
        state = pick(self._states, np.int32(self._places[run]))
        return evaluate_run(run.member.config, state, run.member.text, speed)

    def _end(self, run: _Run, outcome: Outcome) -> None:
        run.member.end(outcome)
        del self._places[run]
        self._clock.leave()

    def _compact(self) -> None:
        """Moves the runs that are left to the smallest stack that holds them."""
        if not self._places:
            return
        places = _filled_up(list(self._places.values()))
        if len(places) < self._count:
            at = np.array(places, np.int32)
            self._states, self._hypers = pick(self._states, at), pick(self._hypers, at)
            self._places, self._count = {run: place for place, run in enumerate(self._places)}, len(places)


def _filled_up(places: Sequence[int]) -> list[int]:
    """Places, the last one repeated up to the next size of a stack."""
    size = next(size for size in STACK_SIZES if size >= len(places))
    return [*places, *[places[-1]] * (size - len(places))]
