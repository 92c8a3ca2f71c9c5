"""Which further runs would decide a comparison."""

import numpy as np
from scipy.stats import t as student

from analysis.comparing.differences.difference import Difference
from analysis.comparing.differences.pairs import Pairs
from analysis.formatting import format_power
from analysis.laws import Inputs

_STEPS = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_MOST_SEEDS = 8


def expected_confidence(made: Difference, pairs: Pairs, target: float, flops: float, seeds: int) -> float:
    """Probability that the comparison would state for its likelier winner after further pairs of runs.

    As if they came out at the forecast: the interval then begins at their budget and has their noise.

    Args:
        made: the difference at the target as it is known now.
        pairs: of the fitted runs.
        target: log FLOPs of the target.
        flops: log FLOPs of the further pairs.
        seeds: how many.
    """
    reach = max(target - max(flops, float(pairs.compute.max()) if len(pairs) else flops), 0.0)
    noise = made.scatter**2 / seeds
    scale = np.sqrt(made.scatter**2 + noise + (made.drift * reach) ** 2)
    return float(student.cdf(abs(made.centre[0]) / max(scale, 1e-12), made.freedom + 1))


def deciding(made: Difference, pairs: Pairs, first: Inputs, second: Inputs, decided: float) -> str | None:
    """The cheapest further pairs that would decide, in words; None where the probability is enough already."""
    better = float(made.better[0])
    if max(better, 1 - better) >= decided:
        return None
    target = float((first.c[0] + second.c[0]) / 2)
    top = float(pairs.compute.max()) if len(pairs) else target - np.log(64.0)
    plans = []
    for step in _STEPS:
        flops = top + np.log(step)
        if flops > target:
            break
        for seeds in range(1, _MOST_SEEDS + 1):
            if expected_confidence(made, pairs, target, flops, seeds) >= decided:
                plans.append((seeds * np.exp(flops), step, seeds))
                break
    if not plans:
        return (
            f"no runs short of the target would decide: the forecast difference, {100 * made.centre[0]:+.2g} %, is "
            f"within what one run scatters by, {100 * made.scatter:.2g} %"
        )
    _, step, seeds = min(plans)
    runs = "one run" if seeds == 1 else f"{seeds} runs"
    return (
        f"{runs} of each at {format_power(float(np.exp(top) * step))} FLOPs would decide if they come out as forecast"
    )
