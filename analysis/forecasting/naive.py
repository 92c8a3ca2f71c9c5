"""Whether a naive forecast of the dearer fitted runs, from the cheaper ones, missed less than the laws did."""

from collections.abc import Iterator, Sequence

import numpy as np

from analysis.diagnostics.codes import Diagnostic
from analysis.forecasting.baselines import baselines
from analysis.forecasting.calibration import FoldError
from analysis.forecasting.folds import origins
from analysis.runs.arrays import RunArrays


def naive_better(runs: RunArrays, errors: Sequence[FoldError]) -> Iterator[Diagnostic]:
    """Warns of the best naive forecast where it missed less than the pooled laws, over the same folds.

    Args:
        runs: the fitted runs.
        errors: of the pooled laws in each rolling-origin fold.
    """
    laws = {round(error.share * len(runs)): error for error in errors}  # by how many runs were fitted
    squares: dict[str, list[float]] = {}
    shares: list[float] = []
    for origin in origins(runs):
        below = runs.budget <= origin
        if int(below.sum()) in laws:
            shares.append(float(below.mean()))
            for name, square in _squares(runs.subset(below), runs.subset(~below)).items():
                squares.setdefault(name, []).append(square)
    whole = {name: np.average(found, weights=shares) for name, found in squares.items() if len(found) == len(shares)}
    if not whole:
        return
    best = min(whole, key=lambda name: whole[name])
    own = np.average([error.square for error in errors], weights=[error.share for error in errors])
    if whole[best] < own:
        yield Diagnostic(
            "naive-better",
            f"among the fitted runs, the naive forecast by {best} missed the dearer runs by {np.sqrt(whole[best]):.1%} "
            f"and the laws by {np.sqrt(own):.1%}: it is the one to trust here",
        )


def _squares(fitted: RunArrays, held_out: RunArrays) -> dict[str, float]:
    """Mean square of each naive forecast's error of the log loss."""
    found: dict[str, list[float]] = {}
    for flops, log_loss in zip(np.exp(held_out.inputs.c), held_out.log_loss, strict=True):
        for name, loss in baselines(fitted, float(flops)).items():
            found.setdefault(name, []).append(float(np.log(loss) - log_loss) ** 2)
    return {name: float(np.mean(squares)) for name, squares in found.items()}
