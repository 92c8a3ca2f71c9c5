"""The few runs that check a sweep's recipe: other learning rates at its smallest and its largest fitted size."""

from collections.abc import Sequence

from scaling.errors import InputError
from scaling.llama.counts import count_params, flops_per_token
from scaling.sweep.choices import Grid, Setting
from scaling.sweep.design import PlannedRun
from scaling.sweep.spec import FitBlock, SweepSpec

# Of the FLOPs of the sweep, its target included.
SHARE = 0.1
_RATES = tuple(Setting(value=times, relative=True) for times in (0.5, 1.0, 2.0))
_MOST_SEEDS = 4


def probe(spec: SweepSpec, plan: Sequence[PlannedRun]) -> SweepSpec:
    """A sweep with a grid: half, once and twice the recipe's rate at two sizes, each at its cheapest budget.

    As many paired seeds as fit into a tenth of the sweep's FLOPs, those of the larger size first: at most 4, at least
    one, and two at the smaller size, which tell how far losses scatter. Where one seed of the larger size is too
    dear, it is trained to a smaller budget.

    Args:
        spec: the sweep.
        plan: its runs.

    Raises:
        InputError: all fitted runs are of one size.
    """
    cells = sorted(
        ((_params(block, spec), _flops(block, spec), number, block) for number, block in enumerate(_single(spec))),
        key=lambda cell: cell[:3],
    )
    least, cheap, _, small = cells[0]
    most, dear, _, large = min(cells, key=lambda cell: (-cell[0], *cell[1:3]))
    if least == most:
        raise InputError(f"{spec.where('fit')}: all runs are of one size: a recipe is checked at two")
    afforded = SHARE * sum(run.config.flops for run in plan) / len(_RATES)
    if dear > (left := afforded - 2 * cheap) > cheap:
        dear = left
        large = large.model_copy(update={large.horizon[0]: None, "flops": (left,)})
    of_large = min(max(1, int((afforded - 2 * cheap) / dear)), _MOST_SEEDS)
    of_small = min(max(2, int((afforded - of_large * dear) / cheap)), _MOST_SEEDS)
    return spec.model_copy(
        update={
            "fit": (_with_seeds(small, of_small), _with_seeds(large, of_large)),
            "target": None,
            "grid": Grid(learning_rate=_RATES),
            "eval_tokens": plan[0].config.data.eval_tokens,
        }
    )


def _single(spec: SweepSpec) -> list[FitBlock]:
    """The sweep's fitted blocks, taken apart into one size and one budget each."""
    parts = []
    for block in spec.fit:
        horizon, values = block.horizon
        parts += [
            block.model_copy(update={"sizes": (size,), horizon: (value,)}) for size in block.sizes for value in values
        ]
    return parts


def _params(block: FitBlock, spec: SweepSpec) -> int:
    return count_params(spec.shape(block.sizes[0])).total


def _flops(block: FitBlock, spec: SweepSpec) -> float:
    model = spec.shape(block.sizes[0])
    horizon, (value,) = block.horizon
    if horizon == "flops":
        return value
    tokens = value if horizon == "tokens" else value * count_params(model).total
    return tokens * flops_per_token(model, model.seq_len)


def _with_seeds(block: FitBlock, count: int) -> FitBlock:
    """The block's own seeds first, so that its runs at the recipe's rate are the sweep's own."""
    more = (seed for seed in range(count + len(block.seeds)) if seed not in block.seeds)
    seeds = [*block.seeds, *more][:count]
    return block.model_copy(update={"seeds": tuple(seeds)})
