"""Runs on mixtures as arrays: shares, sizes, lengths, and the loss on every domain."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

# Shares that are written with fewer digits are still those of one mixture.
_SAME_SHARE = 1e-4
# Of 2305.16264, equation 5: after some 15 further epochs text is worth little more.
REPEAT = 15.4


@dataclass(frozen=True, eq=False)
class MixturePoints:
    """Runs of models on mixtures of sources.

    Attributes:
        sources: names of what is mixed.
        domains: names of what the losses are on.
        shares: of every source in a run's training tokens; each row sums to 1.
        losses: nats per token.
        params: of the model.
        tokens: of training.
        flops: of training.
        unique: training tokens that each source has; NaN where unknown.
        run_ids: of the runs.
        seeds: a number that differs between replicates.
        repeat: constant R of the worth of repeated text, in epochs; see :func:`effective`.
    """

    sources: tuple[str, ...]
    domains: tuple[str, ...]
    shares: Float[np.ndarray, "runs sources"]
    losses: Float[np.ndarray, "runs domains"]
    params: Float[np.ndarray, " runs"]
    tokens: Float[np.ndarray, " runs"]
    flops: Float[np.ndarray, " runs"]
    unique: Float[np.ndarray, " sources"]
    run_ids: tuple[str, ...]
    seeds: Int[np.ndarray, " runs"]
    repeat: float = REPEAT

    def __len__(self) -> int:
        return len(self.params)

    @cached_property
    def mixtures(self) -> Int[np.ndarray, " runs"]:
        """The number of each run's mixture, counted in order of appearance."""
        return _numbered(np.round(self.shares / _SAME_SHARE))

    @cached_property
    def tried(self) -> Float[np.ndarray, "mixtures sources"]:
        """The distinct mixtures, in order of appearance."""
        _, first = np.unique(self.mixtures, return_index=True)
        return self.shares[first]

    @cached_property
    def cells(self) -> Int[np.ndarray, " runs"]:
        """The number of each run's cell: one for each size and length, in order of FLOPs."""
        cell = _numbered(np.round(np.log(np.stack([self.params, self.tokens], axis=1)) * 100))
        order = np.argsort([self.flops[cell == number].mean() for number in range(cell.max() + 1)], kind="stable")
        return np.argsort(order)[cell]

    @cached_property
    def log_flops(self) -> Float[np.ndarray, " runs"]:
        """Log FLOPs of each run's cell."""
        return np.array([np.log(self.flops[self.cells == cell].mean()) for cell in range(self.n_cells)])[self.cells]

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.cells.max()) + 1

    @property
    def proportional(self) -> Float[np.ndarray, " sources"] | None:
        """Shares in proportion to what each source has; None where that is unknown."""
        known = np.isfinite(self.unique).all() and (self.unique > 0).all()
        return self.unique / self.unique.sum() if known else None

    @property
    def reference(self) -> Float[np.ndarray, " sources"]:
        """The mixture that the others are told against: the mean of those tried, as it lies among them."""
        return self.tried.mean(axis=0)

    @cached_property
    def epochs(self) -> Float[np.ndarray, "runs sources"]:
        """Passes of each run over each source; NaN where the source's size is unknown."""
        return self.shares * self.tokens[:, None] / self.unique

    def take(self, keep: Bool[np.ndarray, " runs"] | Int[np.ndarray, " chosen"]) -> "MixturePoints":
        """Some of the runs: a mask, or their indices."""
        rows = np.flatnonzero(keep) if keep.dtype == bool else keep
        return replace(
            self,
            shares=self.shares[rows],
            losses=self.losses[rows],
            params=self.params[rows],
            tokens=self.tokens[rows],
            flops=self.flops[rows],
            run_ids=tuple(self.run_ids[row] for row in rows),
            seeds=self.seeds[rows],
        )


def effective(
    shares: Float[np.ndarray, "mixtures sources"],
    tokens: Float[np.ndarray, " #mixtures"],
    unique: Float[np.ndarray, " sources"],
    repeat: float,
) -> tuple[Float[np.ndarray, "mixtures sources"], Float[np.ndarray, " mixtures"]]:
    """What mixtures are worth as new text, where some repeat their sources (2305.16264, for each source).

    A source of U tokens that is seen e > 1 times is worth U (1 + R (1 - exp(-(e - 1) / R))) new tokens.

    Args:
        shares: of the sources.
        tokens: of training.
        unique: tokens that each source has; NaN where unknown, which is taken for enough.
        repeat: the constant R.

    Returns:
        The shares of what the sources are worth, and log tokens over all that they are worth: 0 where nothing repeats.
    """
    seen = shares * tokens[:, None]
    further = np.maximum(seen / unique - 1, 0.0)  # NaN stays, and is not above 0
    worth = np.where(further > 0, unique * (1 + repeat * -np.expm1(-further / repeat)), seen)
    total = worth.sum(axis=1)
    return worth / total[:, None], np.log(tokens / total)


def _numbered(rows: Float[np.ndarray, "runs columns"]) -> Int[np.ndarray, " runs"]:
    """The number of each row's value, in order of appearance."""
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first, kind="stable"), kind="stable")[inverse.reshape(-1)]
