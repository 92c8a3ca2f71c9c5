"""A trunk: a run at constant rate, trained once, from which runs of several horizons branch where their rate decays.

Under ``wsd`` runs of several lengths take the same steps until then (2405.18392), so each branch is, to the bit, the
run that it would have been by itself.
"""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp

from scaling.data.batches import RunText
from scaling.llama.sharding import PLAIN, Execution
from scaling.train.config import RunConfig
from scaling.train.loop import Progress, RunContext, advance, restore_state
from scaling.train.step import TrainState, init_state

Begin = Callable[[], TrainState]


def train_trunk(
    branches: Sequence[RunConfig],
    text: Callable[[RunConfig], RunText],
    checkpoints: Path,
    checkpoint_s: tuple[float, float],
    report: Callable[[RunConfig, Progress], None],
    leave: Callable[[RunConfig, Begin], None],
    execution: Execution = PLAIN,
) -> None:
    """Trains a trunk as far as its branches reach, from its newest checkpoint if there is one.

    Args:
        branches: of one trunk, those that are to be trained.
        text: a run's tokens.
        checkpoints: folder of the trunk's checkpoints; left behind for the caller to remove.
        checkpoint_s: seconds to the first checkpoint, and between later ones at least.
        report: called with every dispatch of the trunk and the branch it leads to.
        leave: trains a branch; its second argument makes a copy of the trunk's state where the branch leaves it. After
            a loss that was not finite the branch leaves it there.
        execution: how the trunk is trained.
    """
    ordered = sorted(branches, key=lambda branch: branch.branch_step)
    first = ordered[0]
    batches = text(first)  # those of every branch
    state = restore_state(checkpoints, lambda: init_state(first, execution.mesh))
    if int(state.step) > first.branch_step:  # a shorter horizon than those trained before
        state = init_state(first, execution.mesh)
    for branch in ordered:
        if int(state.step) < branch.branch_step:
            report_branch = functools.partial(report, branch)
            context = RunContext(branch, batches, checkpoints, checkpoint_s, report_branch, execution)
            state = advance(context, state, branch.branch_step).state
        leave(branch, functools.partial(_copy, state))


def _copy(state: TrainState) -> TrainState:
    """A copy of a state, as training donates the buffers of the state that it begins from."""
    copy: TrainState = jax.tree.map(jnp.copy, state)
    return copy
