"""What a choice of a mixture rests on that may not hold."""

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Bool, Float

from analysis.diagnostics.codes import Diagnostic
from analysis.formatting import listed
from analysis.mixing.choice import CHOSEN
from analysis.mixing.contrast.folds import scale_folds
from analysis.mixing.optimum import Allowed
from analysis.mixing.points import MixturePoints
from analysis.mixing.ranges import Ranges
from analysis.mixing.request import EPOCHS

_NEAR = float(np.log(10.0))  # a factor of FLOPs that no test is asked for


def doubts(
    points: MixturePoints,
    told: Ranges,
    candidates: Mapping[str, Float[np.ndarray, " sources"]],
    reach: float,
) -> Iterator[Diagnostic]:
    """Warnings about what a choice rests on.

    Args:
        points: the fitted runs.
        told: the ranges of the sources.
        candidates: the chosen mixture and others, by name.
        reach: log FLOPs of the target over those of the largest runs.
    """
    largest = points.log_flops.max()
    tested = max((float(largest - points.log_flops[fold.train].max()) for fold in scale_folds(points)), default=0.0)
    if reach > max(tested, _NEAR) + 1e-9:
        far = f"over {np.exp(tested):.3g} times" if tested > 0 else "over none"
        yield Diagnostic(
            "far-extrapolation",
            f"the target has {np.exp(reach):.3g} times the FLOPs of the largest runs, and what mixtures change was "
            f"tested {far}: how it grows beyond is a belief",
        )
    scales = len(np.unique(np.round(points.log_flops[_varied(points)], 1)))
    if scales < 2:
        yield Diagnostic(
            "one-scale",
            "mixtures were tried at one amount of compute only: that what they change stays the same up to the target "
            "is a belief; try some at a second one, four times or more apart",
        )
    for name, mixture in candidates.items():
        if name != CHOSEN and Allowed(points.tried, np.ones(len(mixture))).room(mixture, np.zeros(len(mixture))) == 0:
            yield Diagnostic(
                "outside-swarm",
                f"the {name} mixture lies outside of the convex hull of those that were tried: its losses are "
                "extrapolated",
            )
    if points.proportional is None:
        yield Diagnostic(
            "sizes-unknown",
            "how many tokens the sources have is not known: no limit on epochs is kept, and the mean of the tried "
            "mixtures stands for the proportional one; tell them by `unique`",
        )
    flat = [name for name, is_flat in zip(points.sources, told.flat, strict=True) if is_flat]
    if flat:
        pairs = [f"{points.sources[one]} and {points.sources[other]}" for one, other in told.alike]
        sums = f"; of {listed(pairs)} only the sum counts, as far as the runs show" if pairs else ""
        yield Diagnostic("flat", f"the share of {listed(flat)} hardly matters{sums}")
    repeated = [
        name
        for place, name in enumerate(points.sources)
        if np.isfinite(points.unique[place])
        and (points.shares[:, place] * points.tokens > EPOCHS * points.unique[place]).any()
    ]
    if repeated:
        yield Diagnostic(
            "repeated-source",
            f"some runs repeat {listed(repeated)} more than {EPOCHS:g} times: what is known of its share rests on the "
            "law of repeated text",
        )


def _varied(points: MixturePoints) -> Bool[np.ndarray, " runs"]:
    """Mask of the runs in cells with several mixtures."""
    several = [len(np.unique(points.mixtures[points.cells == cell])) > 2 for cell in range(points.n_cells)]
    return np.array(several)[points.cells]
