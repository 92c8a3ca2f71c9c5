"""Warnings about a fit and its target: what the runs do not determine, and what lies too far from them."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.diagnostics.checks import PADDING
from analysis.diagnostics.codes import Diagnostic
from analysis.laws import Inputs, Law
from analysis.runs.arrays import RunArrays, training_cost
from analysis.runs.stages import shows_size
from analysis.stats import robust_std

_TWICE = 2.0
_FEWEST = 5  # runs, for the law of the fewest parameters
_FAILED = 0.15  # log loss above the fit
_DATA_ALONE = ("tokens",)
_ROUNDING = 1e-6  # in log params
_ONE_LINE = 0.1  # root-mean-square distance in log params and log tokens


def check_design(points: RunArrays, parameters: int, needs: tuple[str, ...] = ()) -> Iterator[Diagnostic]:
    """Whether the runs suffice for a law of so many parameters, and tell size from data unless it needs data alone."""
    if points.cells < 2 * parameters:
        yield Diagnostic(
            "few-runs",
            f"{points.cells} different (params, tokens) for {parameters} parameters: expect little",
        )
    if needs == _DATA_ALONE:
        if np.ptp(points.inputs.n) > _ROUNDING:
            yield Diagnostic(
                "size-unseen",
                f"the {len(np.unique(points.inputs.n))} sizes do not show that a larger model has a lower loss (by "
                "three standard errors): the law reads the data alone, and its forecast is the same for every size",
            )
    else:
        yield from check_collinearity(points.inputs)


def of_several_sizes(points: RunArrays, law: Law[Inputs]) -> str | None:
    """Why a law of one size cannot be fitted to these runs, or None."""
    if law.needs != _DATA_ALONE or not shows_size(points):
        return None
    sizes = np.unique(points.inputs.n)
    return (
        f"{law.name} is a law of one size, and the runs have {len(sizes)} of which the larger do better: choose one "
        f"with `where`, such as params == {np.exp(sizes[-1]):.10g}, or fit finetuning-rectified"
    )


def check_collinearity(x: Inputs) -> Iterator[Diagnostic]:
    """Whether runs lie so close to one line in (log params, log tokens) that no fit can separate the two."""
    centred = np.stack([x.n - x.n.mean(), x.d - x.d.mean()])
    spread = np.linalg.svd(centred, compute_uv=False) / np.sqrt(len(x.n))
    if spread.min() < _ONE_LINE:
        yield Diagnostic(
            "collinear",
            _line(centred)
            + f" (off their common line by less than {_ONE_LINE:.0%}): the fit cannot tell what each of them buys; "
            "add runs off that line",
        )


def _line(centred: Float[np.ndarray, "2 rows"]) -> str:
    """The line that the runs lie on in (log params, log tokens), in words."""
    constant = np.ptp(centred, axis=1) < _ONE_LINE / 10
    if constant.any():
        alike = " and ".join(word for word, one in zip(("size", "length"), constant, strict=True) if one)
        return f"all runs are of one {alike}"
    if float(centred[0] @ centred[1]) < 0:
        return "all runs are of one FLOP budget, where params are what tokens are not"
    return "params and tokens move together"


def check_edge(params: Mapping[str, float], edge: tuple[str, ...], law: Law[Inputs]) -> Iterator[Diagnostic]:
    """Whether some parameters lie at the edge of the search, where nothing but its limits holds them."""
    if edge:
        at = " and ".join(f"{name} = {params[name]:.4g}" for name in edge)
        one = len(edge) == 1
        yield Diagnostic(
            "at-the-edge",
            f"{law.name}: {at} {'is' if one else 'are'} at the edge of the search: the runs do not determine "
            f"{'it' if one else 'them'}, and the other parameters are off with {'it' if one else 'them'}",
        )


def check_irreducible_loss(
    params: Mapping[str, float], law: Law[Inputs], samples: Float[np.ndarray, "resamples params"], lowest: float
) -> Iterator[Diagnostic]:
    """Whether the runs determine the irreducible loss E."""
    if "E" not in params:
        return
    if params["E"] < 1e-3 * lowest:
        yield Diagnostic("floor-unidentified", "the runs do not show the irreducible loss: E fits best at 0")
    elif len(samples):
        low, high = np.quantile(law.reported(samples)[:, law.names.index("E")], [0.05, 0.95])
        if high - low > 0.25 * lowest:
            yield Diagnostic(
                "floor-unidentified",
                f"the irreducible loss is hardly known: E = {params['E']:.3g}, "
                f"90 % of resamples {low:.3g} to {high:.3g}",
            )


def check_repeats(law: Law[Inputs], samples: Float[np.ndarray, "resamples params"]) -> Iterator[Diagnostic]:
    """Whether the runs determine the value of repeated tokens and of parameters in excess of the unique ones."""
    for i, name in enumerate(law.names if len(samples) else ()):
        if name in ("R_N", "R_D"):
            low, high = np.exp(np.quantile(samples[:, i], [0.05, 0.95]))
            if high > 4 * low:
                yield Diagnostic(
                    "repeated-data",
                    f"{name} is hardly known (90 % of resamples {low:.3g} to {high:.3g}): trust the law as far as the "
                    "fitted runs repeat their data, and not beyond",
                )


def check_residuals(excess: Float[np.ndarray, " rows"]) -> Iterator[Diagnostic]:
    """Whether some rows lie so far above their own fit (log loss) that training must have failed.

    The scatter of the other rows sets the scale: no loss is too high as such, because tiny runs reach any.
    """
    if failed := int((excess > max(_FAILED, 10 * robust_std(excess))).sum()):
        yield Diagnostic(
            "diverged-rows",
            f"{failed} runs lost far more than the fit expects (up to {np.exp(excess.max()) - 1:.0%} more): have they "
            "diverged? leave them out with --where, or keep the best runs with --best",
        )


def check_target(points: RunArrays, target: Inputs, tested: float) -> Iterator[Diagnostic]:
    """Whether a target lies further out than the forecasts that were tested among the fitted runs.

    Args:
        points: the fitted runs.
        target: one point.
        tested: the largest log(FLOPs / largest FLOPs fitted) of a rolling-origin fold among them.
    """
    reach = float(target.c[0] - points.inputs.c.max())
    span = float(np.ptp(points.inputs.c))
    if reach > tested + np.log(3.0):
        yield Diagnostic(
            "far-extrapolation",
            f"the target needs {np.exp(reach):.3g} times the FLOPs of the largest fitted run; the fitted runs span "
            f"{np.exp(span):.3g} times, and extrapolation among them could be tried over "
            + (f"{np.exp(tested):.3g} times" if tested else "nothing"),
        )
    if reach < -(span + np.log(10.0)):
        yield Diagnostic(
            "far-extrapolation",
            f"the target needs {np.exp(-reach - span):.3g} times fewer FLOPs than the smallest fitted run",
        )
    ratios = np.exp(points.inputs.d - points.inputs.n)
    ratio = float(np.exp(target.d[0] - target.n[0]))
    if points.stage is None and not ratios.min() / 2 <= ratio <= 2 * ratios.max():
        yield Diagnostic(
            "far-extrapolation",
            f"the target has {ratio:.3g} tokens per parameter, and the fitted runs {ratios.min():.3g} to "
            f"{ratios.max():.3g}: how laws bend beyond is not known",
        )
    expected = target.n + target.d + np.log(training_cost(points.inputs, target.n))
    if abs(target.c[0] - expected[0]) > np.log(_TWICE):
        yield Diagnostic(
            "mixed-conventions",
            f"the target's {np.exp(target.c[0]):.3g} FLOPs are counted otherwise than the runs': of their kind it "
            f"would need {np.exp(expected[0]):.3g}",
        )


def check_vocabulary(rows: pd.DataFrame, vocab: int) -> Iterator[Diagnostic]:
    """Whether a target's vocabulary differs from that of the fitted runs, where it is known."""
    known = rows["vocab"].dropna() if "vocab" in rows else pd.Series(dtype=float)
    if len(known) and not known.min() / PADDING <= vocab <= PADDING * known.max():
        yield Diagnostic(
            "tokenizer-mismatch",
            f"the target has a vocabulary of {vocab} and the fitted runs one of {known.max():.0f}: what is forecast is "
            "the loss per token of the runs' tokenizer, not of the target's own",
        )


def out_of_reach(fitted: Inputs, log_flops: float) -> str | None:
    """Why a target with these log FLOPs is too far from the runs for any forecast, or None.

    Too far is more than a thousand times beyond the runs and further than three times their span, or ten million times
    beyond: the longest forecast on record that came true reached 333 times.
    """
    if len(fitted.c) < _FEWEST:
        return None  # too few for any law: another error reports that
    reach = log_flops - float(fitted.c.max())
    span = float(np.ptp(fitted.c))
    most = min(max(3 * span, np.log(1e3)), np.log(1e7))
    if reach <= most:
        return None
    return (
        f"the target needs {np.exp(reach):.3g} times the FLOPs of the largest fitted run, and the fitted runs span "
        f"{np.exp(span):.3g} times: no forecast reaches that far; train larger runs, or aim lower (up to "
        f"{np.exp(fitted.c.max() + most):.2g} FLOPs)"
    )
