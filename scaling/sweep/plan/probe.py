"""The few runs that check a sweep's recipe: other learning rates at its smallest and its largest fitted size."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from scaling.errors import InputError
from scaling.llama.counts import count_params, flops_per_token
from scaling.sweep.plan.expand import PlannedRun
from scaling.sweep.spec.hyperparameters import Grid, Setting
from scaling.sweep.spec.mixtures import PROPORTIONAL
from scaling.sweep.spec.sweep_spec import FitBlock, SweepSpec

# Of the FLOPs of the sweep, its target included.
SHARE = 0.1
_RATES = tuple(Setting(value=times, relative=True) for times in (0.5, 1.0, 2.0))
_MOST_SEEDS = 4


def probe(spec: SweepSpec, plan: Sequence[PlannedRun]) -> SweepSpec:
    """The probe of a sweep: a grid of half, once and twice the recipe's rate at its smallest and largest size.

    A tenth of the sweep's FLOPs pays for it. The smallest size is trained to its smallest budget. The largest is
    trained to the largest budget of which the tenth pays for two seeds, or else to its smallest budget, or less. What
    remains pays for paired seeds, those of the larger size first: at most 4, at least one, and at least two at the
    smaller size, which show how far losses scatter. Of a sweep with mixtures, all are on the proportional one.

    Args:
        spec: the sweep.
        plan: its runs.

    Raises:
        InputError: all fitted runs are of one size, or the sweep has a grid itself.
    """
    if spec.grid is not None:
        raise InputError(f"{spec.where('grid')}: a sweep with a grid tunes its recipe; there is none to check")
    cells = sorted(_cells(spec))
    small, largest = cells[0], [cell for cell in cells if cell.params == cells[-1].params]
    if small in largest:
        raise InputError(f"{spec.where('fit')}: all runs are of one size: a recipe is checked at two")
    afforded = SHARE * sum(run.config.flops for run in plan) / len(_RATES)
    left = afforded - 2 * small.flops
    large = max((cell for cell in largest if 2 * cell.flops <= left), default=largest[0])
    if large.flops > left > small.flops:
        cut = large.block.model_copy(update={large.block.horizon[0]: None, "flops": (left,)})
        large = large._replace(flops=left, block=cut)
    of_large = min(max(1, int(left / large.flops)), _MOST_SEEDS)
    of_small = min(max(2, int((afforded - of_large * large.flops) / small.flops)), _MOST_SEEDS)
    return spec.model_copy(
        update={
            "fit": (_with_seeds(small.block, of_small), _with_seeds(large.block, of_large)),
            "target": None,
            "grid": Grid(learning_rate=_RATES),
        }
    )


class _BudgetCell(NamedTuple):
    """A fitted size and budget, ordered by parameters, FLOPs and ``number``, which is unique."""

    params: int
    flops: float
    number: int
    block: FitBlock


def _cells(spec: SweepSpec) -> Iterator[_BudgetCell]:
    """The sweep's fitted blocks, split into one size and one budget each."""
    number = itertools.count()
    for block in spec.fit:
        horizon, values = block.horizon
        for size, value in itertools.product(block.sizes, values):
            model = spec.shape(size)
            params, each = count_params(model).total, flops_per_token(model, model.seq_len)
            flops = {"flops": value, "tokens": value * each, "tokens_per_param": value * params * each}[horizon]
            mixtures = None if block.mixtures is None else (PROPORTIONAL,)
            one = {"sizes": (size,), horizon: (value,), "trunk": False, "mixtures": mixtures}
            alone = block.model_copy(update=one)
            yield _BudgetCell(params, flops, next(number), alone)


def _with_seeds(block: FitBlock, count: int) -> FitBlock:
    """A block with enough seeds, its own first, so that its runs at the recipe's rate are the sweep's own."""
    more = (seed for seed in range(count + len(block.seeds)) if seed not in block.seeds)
    seeds = [*block.seeds, *more][:count]
    return block.model_copy(update={"seeds": tuple(seeds)})
