"""The loss over parameters and tokens that an allocation searches: of one law, or of several pooled."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from analysis.forecasting.member import Member
from analysis.forecasting.pooling import interquartile_mean
from analysis.laws import Inputs

# 2305.16264: R*, the repeats of the data, and of the parameters that the unique data suffice for, that still pay.
REPEATS, EXCESS = 15.387756, 5.309743


@dataclass(frozen=True)
class ExponentScaling:
    """A change of the exponents of parameters and tokens that keeps the loss and its slopes at the centre of the runs.

    Runs determine the loss and its slopes at their centre best. The coefficients and the irreducible loss follow: an
    exponent that is larger by a standard error goes with a larger E, as it does among resampled fits.

    Attributes:
        centre: (log parameters, log tokens) of the runs.
        factors: of the exponent of parameters, and of that of tokens.
    """

    centre: tuple[float, float]
    factors: tuple[float, float]


@dataclass(frozen=True)
class LossSurface:
    """Loss in nats per token over log parameters and log tokens.

    Attributes:
        members: the fitted laws, with their weights.
        sizes: log parameters, increasing, at which the cost is known.
        costs: training FLOPs per parameter and token at these sizes.
        unique_tokens: training tokens available before they repeat.
        exponent_scaling: a change of the exponents, or None.
        level: a factor of the loss.
    """

    members: tuple[Member, ...]
    sizes: Float[np.ndarray, " sizes"]
    costs: Float[np.ndarray, " sizes"]
    unique_tokens: float = np.inf
    exponent_scaling: ExponentScaling | None = None
    level: float = 1.0

    @property
    def weights(self) -> dict[str, float]:
        """Share of each law in the total weight."""
        total = sum(member.weight for member in self.members)
        names = dict.fromkeys(member.law.name for member in self.members)
        return {name: sum(m.weight for m in self.members if m.law.name == name) / total for name in names}

    def cost(self, n: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
        """Training FLOPs per parameter and token at log parameters."""
        return np.interp(n, self.sizes, self.costs)

    def loss(self, n: Float[np.ndarray, " points"], d: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
        """Nats per token at log parameters and log tokens."""
        return self.level * self._unlevelled(n, d)

    def _unlevelled(
        self, n: Float[np.ndarray, " points"], d: Float[np.ndarray, " points"]
    ) -> Float[np.ndarray, " points"]:
        u = np.full_like(d, np.log(self.unique_tokens))
        if self.exponent_scaling is None:
            return self._pooled(n, d, u)
        (n0, d0), (by_n, by_d) = self.exponent_scaling.centre, self.exponent_scaling.factors
        n, d, u = n0 + by_n * (n - n0), d0 + by_d * (d - d0), d0 + by_d * (u - d0)
        size, data = np.full_like(n, n0), np.full_like(d, d0)
        at = (np.concatenate(parts) for parts in ((n, n, size, size), (d, data, d, data), (u, u, u, u)))
        both, by_size, by_data, start = np.split(self._pooled(*at), 4)
        # The change by each factor is the mean over applying it first and second: not every law is additive.
        size_part, data_part = both - by_data + by_size - start, both - by_size + by_data - start
        return start + size_part / (2 * by_n) + data_part / (2 * by_d)

    def _pooled(
        self,
        n: Float[np.ndarray, " points"],
        d: Float[np.ndarray, " points"],
        u: Float[np.ndarray, " points"],
    ) -> Float[np.ndarray, " points"]:
        cost = np.log(self.cost(n))
        found = [member.log_loss(_inputs(member, n, d, u, cost)) for member in self.members]
        if len(found) == 1:
            return np.exp(found[0])
        shares = np.array([member.weight for member in self.members])
        return np.exp(interquartile_mean(np.stack(found), shares / shares.sum()))


def _inputs(
    member: Member,
    n: Float[np.ndarray, " points"],
    d: Float[np.ndarray, " points"],
    u: Float[np.ndarray, " points"],
    cost: Float[np.ndarray, " points"],
) -> Inputs:
    """Inputs of a law for log parameters n on log tokens d, u of them unique, at log cost per parameter and token."""
    if "unique_tokens" in member.law.needs:
        return Inputs(n, d, n + d + cost, np.minimum(d, u))
    if np.isfinite(u).all():
        # Effective tokens and parameters (2305.16264).
        n, d = _saturated(n, _sufficing(member, u), EXCESS), _saturated(d, u, REPEATS)
    return Inputs(n, d, n + d + cost, d)


def _sufficing(member: Member, u: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
    """Parameters for which the unique tokens are the best training set: alpha A / N^alpha = beta B / U^beta."""
    p = dict(zip(member.law.names, np.maximum(member.law.reported(member.theta), 1e-12).tolist(), strict=True))
    beta = p.get("beta", p["alpha"])
    sufficing: Float[np.ndarray, " points"] = (np.log(p["alpha"] * p["A"] / (beta * p["B"])) + beta * u) / p["alpha"]
    return sufficing


def _saturated(
    x: Float[np.ndarray, " points"], unique: Float[np.ndarray, " points"], most: float
) -> Float[np.ndarray, " points"]:
    """log of unique (1 + most (1 - exp(-repeats / most))), repeats = x / unique - 1."""
    repeats = np.maximum(np.expm1(np.minimum(x - unique, 700.0)), 0.0)
    return np.minimum(x, unique) + np.log1p(most * -np.expm1(-repeats / most))
