"""What sources that run out do to the choice: how often they are repeated, what takes their place, what it costs."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from analysis.mixing.optimum import Allowed
from analysis.mixing.surface import Surface

# Lengths of training beside the target's, as factors of it.
_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
_REPEATED = 1.01
Best = Callable[[Surface, Allowed], Float[np.ndarray, " sources"]]


@dataclass(frozen=True)
class Length:
    """The choice for a model of the target's size that is trained for another length.

    Attributes:
        tokens: of training.
        shares: of the mixture of the least objective.
        epochs: passes over each source; NaN where its size is unknown.
        cost: of text that runs out: by what share the objective is above that of the best mixture of endless sources.
    """

    tokens: float
    shares: Float[np.ndarray, " sources"]
    epochs: Float[np.ndarray, " sources"]
    cost: float


@dataclass(frozen=True)
class Scarcity:
    """What would be chosen if no source ran out, and what is at several lengths as they do.

    Attributes:
        endless: shares of the best mixture of sources that never repeat, at the target.
        lengths: the choice for shorter and longer training.
    """

    endless: Float[np.ndarray, " sources"]
    lengths: tuple[Length, ...]


def scarcity(
    surface: Surface,
    corners: Float[np.ndarray, "corners sources"],
    unique: Float[np.ndarray, " sources"],
    limits: Float[np.ndarray, " sources"],
    best: Best,
) -> Scarcity | None:
    """What sources that run out change; None where none does at any of the lengths, or their
    sizes are unknown.

    Args:
        surface: of the target.
        corners: mixtures in whose hull the choice lies.
        unique: tokens that each source has; NaN where unknown.
        limits: most passes over each source; infinite without a limit.
        best: chooses among the mixtures that are allowed.
    """
    if not np.isfinite(unique).any():
        return None
    every = np.ones(corners.shape[1])
    endless = replace(surface, contrast=surface.contrast.resized(np.full_like(unique, np.nan)))
    free = best(endless, Allowed(corners, every))
    lengths = []
    for factor in _FACTORS:
        tokens = float(np.exp(surface.d)) * factor
        most = np.where(np.isfinite(unique), np.minimum(limits * np.nan_to_num(unique) / tokens, 1.0), 1.0)
        allowed = Allowed(corners, most)
        if most.sum() < 1 or allowed.extreme(np.zeros(len(most))) is None:
            continue  # all text within its limits is too little
        here, without = (_longer(each, factor) for each in (surface, endless))
        shares = best(here, allowed)
        unlimited = best(without, Allowed(corners, every))
        cost = float(here.objective(shares[None])[0] / without.objective(unlimited[None])[0] - 1)
        lengths.append(Length(tokens, shares, shares * tokens / unique, max(cost, 0.0)))
    if not any((np.nan_to_num(length.epochs) > _REPEATED).any() for length in lengths):
        return None
    return Scarcity(free, tuple(lengths))


def _longer(surface: Surface, factor: float) -> Surface:
    """The losses for training of another length, relative to each other: the levels stay those of the target."""
    return replace(surface, d=surface.d + float(np.log(factor)), c=surface.c + float(np.log(factor)))
