"""Posterior of the log losses of runs and of a target: Gaussian, averaged over several candidate laws.

Under each law the log losses of run i and of the target are, less their means,

    y_i = j_i theta + e_i + noise_i        f = g theta        j, g = d log loss / d constants at the run, the target

The prior of the law's constants theta is wide: a factor e for each coefficient, 1 for each exponent. The law's model
error is e: fractional Brownian motion over log parameters and log tokens, 0 at the target and larger farther from it:

    cov(e_i, e_j) = form^2 / 2 (r_i^2H + r_j^2H - r_ij^2H)        r: distance, H = 3/4, form = 0.2 %

and beside it, for each run alone, a twentieth of how far its log loss lies above the least that its FLOPs reach, less
the same of the target: laws break down first where parameters and tokens are out of proportion (``candidates.py``).

So a run with e times fewer FLOPs than the target tells it to 0.2 % at best, however many seeds it has, and a second run
close by adds little. What is learned of f from runs is then Gaussian conditioning, whatever their losses will be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from analysis.forecasting.calibration import FORM
from analysis.laws import LAWS, Inputs

_ROUGHNESS = 0.75
# A run 10 % above the frontier then counts about as under the weightings of ``analysis.forecasting.candidates``.
_DISPROPORTION = 0.05
# A law and its constants.
CandidateLaw = tuple[str, Mapping[str, float]]


@dataclass(frozen=True)
class Posterior:
    """Gaussian distribution of the log losses of possible runs and of the target.

    Attributes:
        covariance: of the log losses without noise of the runs and, last, of the target, under each law.
        noise: standard deviation between seeds of each run's log loss.
    """

    covariance: Float[np.ndarray, "laws points points"]
    noise: Float[np.ndarray, " rows"]

    @classmethod
    def prior(cls, at: Inputs, laws: Sequence[CandidateLaw], noise: Float[np.ndarray, " rows"]) -> "Posterior":
        """The distribution before any run.

        Args:
            at: the runs and, last, the target.
            laws: candidates, equally likely.
            noise: of each run.
        """
        error = _model_error(at)
        terms = [(slopes(at, *law), _disproportion(at, law)) for law in laws]
        return cls(np.stack([j @ j.T + error + np.diag(off**2) for j, off in terms]), noise)

    @property
    def std(self) -> float:
        """Standard deviation of the target's log loss: root mean square over the laws."""
        return float(np.sqrt(self.covariance[:, -1, -1].mean()))

    def variance_reductions(self) -> Float[np.ndarray, " rows"]:
        """Decrease of the target's variance by one run of each row, on average over the laws."""
        variance = np.diagonal(self.covariance, axis1=1, axis2=2)[:, :-1] + self.noise**2
        gain: Float[np.ndarray, " rows"] = (self.covariance[:, :-1, -1] ** 2 / variance).mean(axis=0)
        return gain

    def with_run(self, row: int) -> "Posterior":
        """The posterior given one more run of a row, whatever its loss."""
        column = self.covariance[:, :, row]
        explained = column[:, :, None] * column[:, None, :] / (column[:, row] + self.noise[row] ** 2)[:, None, None]
        return Posterior(self.covariance - explained, self.noise)

    def given(self, seeds: Int[np.ndarray, " rows"]) -> "Posterior":
        """The posterior given a number of runs of each row."""
        rows = np.flatnonzero(seeds)
        across = self.covariance[:, rows]
        inner = across[:, :, rows] + np.diag(self.noise[rows] ** 2 / seeds[rows])
        explained = across.transpose(0, 2, 1) @ np.linalg.solve(inner, across)
        return Posterior(self.covariance - explained, self.noise)

    def subset(self, keep: Bool[np.ndarray, " rows"]) -> "Posterior":
        """The marginal of some of the rows, and the target."""
        rows = np.append(np.flatnonzero(keep), len(keep))
        return Posterior(self.covariance[:, rows][:, :, rows], self.noise[keep])


def useful_seeds(at: Inputs, noise: Float[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"]:
    """Seeds of each run, the target being last, beyond which more add little information.

    With so many, the noise of their mean is half of the model error of a law there.
    """
    return np.ceil(4 * noise**2 / np.diag(_model_error(at))[:-1]).astype(np.int64)


def default_law(at: Inputs) -> CandidateLaw:
    """Chinchilla's law with exponents of 0.35 and terms of a third of the loss each at the middle of some runs."""
    size, data = (float(np.exp(0.35 * x.mean())) for x in (at.n, at.d))
    return "chinchilla", {"E": 1.0, "A": size, "B": data, "alpha": 0.35, "beta": 0.35}


def _disproportion(at: Inputs, law: CandidateLaw) -> Float[np.ndarray, " points"]:
    """Model error of a law at each point alone: by its height above the frontier, less that of the last point.

    Points with more parameters than the best size of their FLOPs, and with fewer, lie on opposite sides of it.
    """
    name, params = law
    best = optimal_sizes(law, at.c)
    own, least = (
        np.log(LAWS[name].predict(dict(params), Inputs(n, d, at.c, d)))
        for n, d in ((n, at.c - np.log(6.0) - n) for n in (at.n, best))
    )
    above = np.sign(at.n - best) * np.maximum(own - least, 0.0)
    missed: Float[np.ndarray, " points"] = _DISPROPORTION * (above - above[-1])
    return missed


def optimal_sizes(law: CandidateLaw, c: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
    """Log parameters of least loss under a law at log FLOPs, 6 for each parameter and token."""
    name, params = law
    n = c[:, None] / 2 + np.linspace(-12.0, 8.0, 801)
    d = c[:, None] - np.log(6.0) - n
    flat = Inputs(n.ravel(), d.ravel(), np.repeat(c, n.shape[1]), d.ravel())
    loss = LAWS[name].predict(dict(params), flat).reshape(n.shape)
    return np.take_along_axis(n, np.argmin(loss, axis=1)[:, None], axis=1)[:, 0]


def slopes(at: Inputs, name: str, params: Mapping[str, float]) -> Float[np.ndarray, "rows constants"]:
    """Derivatives of the log loss by log E, log A, log B and the exponents, with the law written about the middle."""
    law = LAWS[name]
    n, d = float(at.n.mean()), float(at.d.mean())
    moved = dict(params)
    moved["A"] *= float(np.exp(-params["alpha"] * n))
    moved["B"] *= float(np.exp(-params.get("beta", params["alpha"]) * d))
    centred = Inputs(at.n - n, at.d - d, at.c - n - d, at.u - d)
    loss, partials = law.evaluate(law.internal(moved)[None], centred)
    return partials[0] / loss[0][:, None]


def _model_error(at: Inputs) -> Float[np.ndarray, "rows rows"]:
    """Covariance of the model error of a law at each run and, last, at the target, where it is 0.

    The distance of runs whose parameters and tokens both grow by a factor is the log of their FLOPs' factor.
    """
    place = np.sqrt(2) * np.stack([at.n, at.d], axis=1)
    distance = np.linalg.norm(place[:, None] - place[None], axis=-1) ** (2 * _ROUGHNESS)
    return FORM**2 / 2 * (distance[:, -1:] + distance[-1:] - distance)
