"""The figure of an allocation: what other sizes lose for the same FLOPs, or need for the same loss."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, LogLocator, NullLocator

from analysis.allocation.estimate import SurfaceEstimate
from analysis.allocation.results import LawAllocation
from analysis.allocation.split import TOLERANCE, AllocationProblem
from analysis.formatting import format_quantity
from analysis.plots import ACTUAL, FORECAST, SIZES, figure, log_axis, power, si

_POINTS = 160
_DRAWN = 40
_LINE = SIZES(0.25)


def allocation_figure(estimate: SurfaceEstimate, made: LawAllocation) -> Figure:
    """The figure: loss over size for the same FLOPs, or FLOPs over size where a loss was asked for."""
    at = np.log([made.params]), np.log([made.tokens])
    estimate = estimate.scaled(made.loss / float(estimate.surface.loss(*at)[0]))  # to the loss that was found
    draw = same_flops if made.optimum is None else same_loss
    return figure(lambda axes: draw(estimate, made, axes))


def same_flops(estimate: SurfaceEstimate, made: LawAllocation, axes: Axes) -> Axes:
    """Loss over size for the same training FLOPs: the best size with its 90 % interval, and the near-optimal ones."""
    low, high = made.near_optimal["params"]
    n = np.linspace(np.log(low / 3), np.log(high * 3), _POINTS)
    total = float(np.log(made.total_flops))
    label: str | None = "draws, each with its least loss moved here"
    for surface in estimate.draws[:_DRAWN]:
        problem = AllocationProblem(surface)
        moved = problem.losses(total, n) * made.loss / problem.best_split(total).loss
        axes.plot(np.exp(n), moved, color="0.6", lw=0.4, alpha=0.5, zorder=1, label=label)
        label = None
    losses = AllocationProblem(estimate.surface).losses(total, n)
    axes.plot(np.exp(n), losses, color=_LINE, zorder=3, label=f"{made.flops:.3g} training FLOPs")
    label = f"within {100 * TOLERANCE:g} % of the least loss"
    axes.axvspan(low, high, color=_LINE, alpha=0.1, lw=0, zorder=0, label=label)
    _mark(axes, made, made.loss)
    axes.set_ylim(made.loss - 0.1 * (losses.max() - made.loss), float(losses.max()))
    axes.set_ylabel(f"loss ({made.unit})")
    return _sizes(axes, lambda sizes: made.total_flops / sizes / estimate.surface.cost(np.log(sizes)))


def same_loss(estimate: SurfaceEstimate, made: LawAllocation, axes: Axes) -> Axes:
    """FLOPs over size for the same loss, of training alone and with serving: the answer, and the cheapest to train."""
    assert made.optimum is not None
    problem = AllocationProblem(estimate.surface, made.inference_tokens)
    most = 3.0 * max(made.total_flops, made.optimum.flops * (1 + made.inference_flops / made.flops))
    sizes = np.array([made.params, made.optimum.params])
    n = np.linspace(np.log(sizes.min() / 4), np.log(sizes.max() * 4), _POINTS)
    tokens = _tokens_for(problem, n, made.loss)
    training = np.exp(n) * tokens * estimate.surface.cost(n)
    axes.plot(np.exp(n), training, "--" if made.inference_tokens else "-", color=_LINE, zorder=3, label="training")
    shown = training
    if made.inference_tokens:
        shown = training * (1 + made.inference_tokens / 3 / tokens)
        label = f"training and {format_quantity(made.inference_tokens)} tokens served"
        axes.plot(np.exp(n), shown, color=_LINE, zorder=3, label=label)
    _mark(axes, made, made.total_flops)
    label = f"cheapest to train: {format_quantity(made.optimum.params)} on {format_quantity(made.optimum.tokens)}"
    axes.plot(made.optimum.params, made.optimum.flops, "D", ms=5, color=ACTUAL, mec="none", zorder=5, label=label)
    axes.set_yscale("log")
    axes.set_ylim(0.7 * float(np.nanmin(training)), most)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(power))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel(f"FLOPs for a loss of {made.loss:.4g}")
    kept = np.isfinite(shown) & (shown < most)
    axes.set_xlim(np.exp(n[kept][0]), np.exp(n[kept][-1]))
    return _sizes(axes, lambda sizes: _tokens_for(problem, np.log(sizes), made.loss))


def _mark(axes: Axes, made: LawAllocation, height: float) -> None:
    """The answer, with its interval."""
    if made.interval is not None and "params" in made.interval:
        low, high = made.interval["params"]
        left, right = axes.get_xlim()
        ends = left if low is None else low, right if high is None else high
        axes.hlines(height, *ends, color=FORECAST, lw=1.6, zorder=4, label="90 % interval")
    label = f"{format_quantity(made.params)} parameters on {format_quantity(made.tokens)} tokens"
    axes.plot(made.params, height, "*", ms=10, color=FORECAST, mec="none", zorder=6, label=label)


def _tokens_for(problem: AllocationProblem, n: Float[np.ndarray, " sizes"], loss: float) -> Float[np.ndarray, " sizes"]:
    """The tokens on which each size (log parameters) reaches a loss; NaN for one that never does."""
    found = [problem.tokens_for_loss(float(size), loss) for size in n]
    return np.array([np.nan if split is None else float(np.exp(split.d)) for split in found])


def _sizes(axes: Axes, tokens: Callable[[Float[np.ndarray, " sizes"]], Float[np.ndarray, " sizes"]]) -> Axes:
    """Parameters below; above, at the same places, the tokens that go with them."""
    log_axis(axes, "parameters", si)
    axes.legend(loc="upper center")
    above = axes.twiny()
    above.set_xscale("log")
    above.set_xlim(axes.get_xlim())
    low, high = axes.get_xlim()
    places = [x for x in axes.get_xticks() if low <= x <= high]
    known = [(x, d) for x, d in zip(places, tokens(np.array(places)).tolist(), strict=True) if np.isfinite(d)]
    above.xaxis.set_major_locator(FixedLocator([x for x, _ in known]))
    above.xaxis.set_major_formatter(FixedFormatter([format_quantity(d) for _, d in known]))
    above.xaxis.set_minor_locator(NullLocator())
    above.set_xlabel("training tokens")
    above.grid(False)
    above.spines["top"].set_visible(False)
    return axes
