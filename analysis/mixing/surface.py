"""The losses of any mixture at one target: levels and contrasts together, with draws of their errors."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from analysis.mixing.contrast.pool import Contrast, distances
from analysis.mixing.levels.level import Level

_FREEDOM = 5  # of the size of the form's errors
_FEW = 64  # draws that suffice for a variance


@dataclass(frozen=True)
class Surface:
    """The losses of mixtures at a target.

    Attributes:
        contrast: between mixtures.
        levels: of each domain.
        n: log params of the target.
        d: log tokens.
        c: log FLOPs.
        weights: of each domain in the objective; together 1.
        seeds: runs of the target whose mean is told.
    """

    contrast: Contrast
    levels: tuple[Level, ...]
    n: float
    d: float
    c: float
    weights: Float[np.ndarray, " domains"]
    seeds: int

    @property
    def reach(self) -> float:
        """Log FLOPs of the target over those of the largest runs."""
        return float(self.c - self.contrast.points.log_flops.max())

    @property
    def _level(self) -> Float[np.ndarray, " domains"]:
        return np.array([level.log_loss for level in self.levels])

    def losses(self, shares: Float[np.ndarray, "mixtures sources"]) -> Float[np.ndarray, "mixtures domains"]:
        """The forecast loss of each mixture on each domain, nats per token."""
        return np.exp(self._level[:, None] + self.contrast.centre(shares, self.n, self.d, self.c)).T

    def objective(self, shares: Float[np.ndarray, "mixtures sources"]) -> Float[np.ndarray, " mixtures"]:
        """The weighted mean of the losses, nats per token."""
        return self.losses(shares) @ self.weights

    def sample(self, shares: Float[np.ndarray, "mixtures sources"], repeats: int = 5) -> "Sample":
        """Draws of the losses of some mixtures, all errors included.

        Args:
            shares: of a few mixtures, whose errors are drawn together.
            repeats: draws of the form's error for each of the laws' draws.
        """
        law = self.contrast.draws(shares, self.n, self.d, self.c)
        centre = self.contrast.centre(shares, self.n, self.d, self.c)
        # The laws' draws say how the contrast varies, and the pool where its middle is.
        law = np.repeat(law - law.mean(axis=0) + centre, repeats, axis=0)
        random = np.random.default_rng(1)
        contrast = law + self._form(shares, len(law), random)
        noise = np.nan_to_num(self.contrast.noise) / np.sqrt(self.seeds)
        contrast = contrast + noise[:, None] * random.normal(size=contrast.shape)
        sd = np.array([level.sd for level in self.levels])
        # What moves the level of one domain moves that of the others.
        common = norm.ppf(random.permutation((np.arange(len(law)) + 0.5) / len(law)))
        level = self._level + sd * common[:, None]
        return Sample(np.exp(level[:, :, None] + contrast), np.exp(self._level[:, None] + contrast), self.weights)

    def _form(
        self, shares: Float[np.ndarray, "mixtures sources"], draws: int, random: np.random.Generator
    ) -> Float[np.ndarray, "draws domains mixtures"]:
        """Errors of the form: of two mixtures the more alike, the nearer these are; none at the reference."""
        error = self.contrast.error
        every = np.concatenate([self.contrast.points.reference[None], shares])
        alike = np.exp(-0.5 * (distances(every, every) / error.distance) ** 2)
        root = np.linalg.cholesky(alike + 1e-9 * np.eye(len(every)))
        between = np.linalg.cholesky(error.correlation + 1e-9 * np.eye(len(error.correlation)))
        standard = np.einsum("de,bem,nm->bdn", between, random.normal(size=(draws, len(between), len(every))), root)
        # How large a domain's errors are is known from few folds: heavier tails than a normal's, for all mixtures.
        standard *= np.sqrt(_FREEDOM / random.chisquare(_FREEDOM, size=standard.shape[:2]))[..., None]
        # A mixture's error is told against the reference, which has one of its own: half of the variance each.
        relative = (standard[..., 1:] - standard[..., :1]) / np.sqrt(2)
        return np.asarray(error.sd(self.contrast.reach(self.c))[:, None] * relative)

    def doubt(
        self, best: Float[np.ndarray, " sources"], shares: Float[np.ndarray, "mixtures sources"]
    ) -> tuple[Float[np.ndarray, " mixtures"], Float[np.ndarray, " mixtures"]]:
        """How much higher the log objective of each mixture is than that of one, and the difference's error.

        As :meth:`sample`, for many mixtures, each against the one, with the form's error by its formula.
        """
        every = np.concatenate([best[None], shares])
        losses = self.losses(every)
        parts = losses * self.weights / (losses @ self.weights)[:, None]
        middle = np.log(losses @ self.weights)
        draws = self.contrast.draws(every, self.n, self.d, self.c, _FEW)
        moved = np.einsum("bdn,nd->bn", draws - draws.mean(axis=0), parts)
        by_law = (moved[:, 1:] - moved[:, :1]).var(axis=0)
        error = self.contrast.error
        sd = parts[0] * error.sd(self.contrast.reach(self.c))
        apart = distances(best[None], shares)[0]
        by_form = (sd @ error.correlation @ sd) * (1 - np.exp(-0.5 * (apart / error.distance) ** 2))
        return middle[1:] - middle[0], np.sqrt(by_law + by_form)


@dataclass(frozen=True)
class Sample:
    """Draws of the losses of some mixtures.

    Attributes:
        losses: nats per token.
        alike: the same with the levels as forecast, for differences between mixtures, in which they cancel.
        weights: of each domain in the objective.
    """

    losses: Float[np.ndarray, "draws domains mixtures"]
    alike: Float[np.ndarray, "draws domains mixtures"]
    weights: Float[np.ndarray, " domains"]

    @property
    def objective(self) -> Float[np.ndarray, "draws mixtures"]:
        """Draws of the weighted mean of the losses."""
        return np.einsum("bdn,d->bn", self.losses, self.weights)

    @property
    def compared(self) -> Float[np.ndarray, "draws mixtures"]:
        """Draws of the objective with the levels as forecast."""
        return np.einsum("bdn,d->bn", self.alike, self.weights)


def weights_of(objective: Mapping[str, float] | None, domains: tuple[str, ...]) -> Float[np.ndarray, " domains"]:
    """The weight of each domain, together 1: all alike where no objective is given."""
    if objective is None:
        return np.full(len(domains), 1 / len(domains))
    weights = np.array([objective.get(name, 0.0) for name in domains])
    return np.asarray(weights / weights.sum())
