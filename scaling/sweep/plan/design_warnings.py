"""Warnings about the design of a sweep, before anything is trained."""

from collections.abc import Iterator, Sequence

import numpy as np

from scaling.data.corpus import HELD_OUT
from scaling.llama.counts import count_params
from scaling.sweep.plan.expand import PlannedRun
from scaling.train.config import RunConfig

_FARTHEST = 100.0
_COLLINEAR = 0.98
# Shorter branches than this share of a trunk lose by its recipe: none at a quarter, 1.8 % of the loss at an eighth.
_SHORTEST_BRANCH = 0.25


def design_warnings(plan: Sequence[PlannedRun], fewest_cells: int) -> Iterator[tuple[str, str]]:
    """Code and message of each warning."""
    targets = [run.config for run in plan if run.role == "target"]
    if targets:
        yield from _of_forecast([run.config for run in plan if run.role == "fit"], targets, fewest_cells)
    lengths = [run.config.steps / run.config.trunk for run in plan if run.config.trunk is not None]
    short = [length for length in lengths if length < 0.99 * _SHORTEST_BRANCH]  # steps are rounded
    if short:
        yield (
            "short-branch",
            f"{len(short)} branches are as short as 1/{1 / min(short):.0f} of a trunk with the recipe of its longest: "
            "their losses are higher than they need be; give horizons more than 4 times apart blocks of their own",
        )
    epochs = [_epochs(run.config) for run in plan if run.config.data.mixture is None]
    if repeated := sum(passes > 1.05 for passes in epochs):
        yield (
            "repeated-data",
            f"{repeated} of {len(plan)} runs repeat their data (up to about {max(epochs):.2g} epochs), "
            "which most laws count as fresh tokens",
        )


def _of_forecast(
    fitted: Sequence[RunConfig], targets: Sequence[RunConfig], fewest_cells: int
) -> Iterator[tuple[str, str]]:
    cells = sorted({(count_params(config.model).total, config.tokens) for config in fitted})
    if len(cells) < fewest_cells:
        yield (
            "few-runs",
            f"{len(cells)} different (params, tokens) to fit; a law of params and tokens wants {fewest_cells} or more",
        )
    if _collinear(cells):
        yield (
            "collinear",
            "params and tokens of the fitted runs move together, or one of them not at all: "
            "the fit cannot tell what each of them buys",
        )
    reach = max(config.flops for config in targets) / max(config.flops for config in fitted)
    if reach > _FARTHEST:
        yield "far-extrapolation", f"the target needs {reach:.3g} times the FLOPs of the largest fitted run"


def _collinear(cells: Sequence[tuple[int, int]]) -> bool:
    params, tokens = np.log(np.array(cells, dtype=np.float64)).T
    if np.ptp(params) == 0 or np.ptp(tokens) == 0:
        return True
    return abs(float(np.corrcoef(params, tokens)[0, 1])) > _COLLINEAR


def _epochs(config: RunConfig) -> float:
    """Approximate epochs of a run over the training text, as bytes with an end after each document."""
    corpus = config.data.fingerprint
    if "train_tokens" in corpus:
        return config.tokens / corpus["train_tokens"]
    return config.tokens / ((1 - HELD_OUT) * (corpus["bytes"] + corpus["documents"]))
