"""Functional forms, pure: each returns the loss and its derivative by every parameter, in a few lines.

To add a law, write its function and one entry of ``LAWS``. Positive coefficients are fitted as logarithms: a
function gets log E, log A, ... and returns derivatives by these, so every parameter ranges over the whole
line.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int

Parameters = tuple[Float[np.ndarray, "batch 1"], ...]
Losses = Float[np.ndarray, "batch rows"]
Partials = tuple[Float[np.ndarray, "batch #rows"], ...]


@dataclass(frozen=True)
class Inputs:
    """What a law sees of the runs, as logarithms.

    Attributes:
        n: log parameters.
        d: log training tokens.
        c: log training FLOPs.
        u: log unique training tokens; d where nothing repeats.
    """

    n: Float[np.ndarray, " rows"]
    d: Float[np.ndarray, " rows"]
    c: Float[np.ndarray, " rows"]
    u: Float[np.ndarray, " rows"]

    def take(self, keep: Bool[np.ndarray, " rows"] | Int[np.ndarray, " kept"]) -> "Inputs":
        """The rows to keep."""
        return Inputs(self.n[keep], self.d[keep], self.c[keep], self.u[keep])


X = TypeVar("X")


@dataclass(frozen=True)
class Law(Generic[X]):
    """A law of what training yields: loss = f(parameters; inputs), where X is what it sees of the runs.

    Attributes:
        name: as the command line knows it.
        formula: for people.
        source: the paper.
        needs: the columns of a table that it reads.
        names: the parameters, as reported.
        logs: which of them are positive coefficients, fitted as logarithms; at the starts the loss is linear in these.
        starts: values for each of the others (the exponents); the search starts from their grid.
        domains: (lowest, highest) value of some parameters, as reported; the others range over the whole line.
        function: (parameters [batch, 1] each, inputs) -> (loss [*batch, rows], derivative by each
            parameter).
    """

    name: str
    formula: str
    source: str
    needs: tuple[str, ...]
    names: tuple[str, ...]
    logs: frozenset[str]
    starts: dict[str, tuple[float, ...]]
    domains: dict[str, tuple[float, float]]
    function: Callable[[Parameters, X], tuple[Losses, Partials]]

    @property
    def bounds(self) -> tuple[Float[np.ndarray, " params"], Float[np.ndarray, " params"]]:
        """(lowest, highest) value of each parameter, as the function takes it."""
        pairs = [self.domains.get(name, (0.0 if name in self.logs else -np.inf, np.inf)) for name in self.names]
        with np.errstate(divide="ignore"):
            low, high = (
                np.array([np.log(v) if n in self.logs else v for n, v in zip(self.names, side, strict=True)])
                for side in zip(*pairs, strict=True)
            )
        return low, high

    def predict(self, params: dict[str, float], inputs: X) -> Float[np.ndarray, " rows"]:
        """The loss, in nats per token, from the parameters as reported."""
        return self.evaluate(self.internal(params)[None], inputs)[0][0]

    def evaluate(
        self, theta: Float[np.ndarray, "batch params"], inputs: X
    ) -> tuple[Float[np.ndarray, "batch rows"], Float[np.ndarray, "batch rows params"]]:
        """The loss and its derivatives for many parameter vectors at once (coefficients as logarithms)."""
        loss, partials = self.function(tuple(theta.T[:, :, None]), inputs)
        return loss, np.stack([np.broadcast_to(p, loss.shape) for p in partials], axis=-1)

    def internal(self, params: dict[str, float]) -> Float[np.ndarray, " params"]:
        """Reported parameters -> what the function takes; a coefficient of 0 becomes a tiny one."""
        return np.array([np.log(max(params[n], 1e-300)) if n in self.logs else params[n] for n in self.names])

    def reported(self, theta: Float[np.ndarray, "*batch params"]) -> Float[np.ndarray, "*batch params"]:
        """The inverse of :meth:`internal`, for many parameter vectors at once."""
        is_log = np.array([n in self.logs for n in self.names])
        return np.where(is_log, np.exp(np.where(is_log, theta, 0.0)), theta)


def _chinchilla(p: Parameters, x: Inputs) -> tuple[Losses, Partials]:
    e, a, b, alpha, beta = p
    floor, size, data = np.exp(e), np.exp(a - alpha * x.n), np.exp(b - beta * x.d)
    return floor + size + data, (floor, size, data, -x.n * size, -x.d * data)


def _chinchilla_tied(p: Parameters, x: Inputs) -> tuple[Losses, Partials]:
    e, a, b, alpha = p
    floor, size, data = np.exp(e), np.exp(a - alpha * x.n), np.exp(b - alpha * x.d)
    return floor + size + data, (floor, size, data, -x.n * size - x.d * data)


def _skaling(p: Parameters, x: Inputs) -> tuple[Losses, Partials]:
    e, a, b, alpha, beta, k = p
    floor, size, data = np.exp(e), np.exp(a - alpha * x.n), np.exp(b - beta * x.d)
    both = size + data
    power = both**k
    slope = k * power / both
    by_size, by_data = slope * size, slope * data
    return floor + power, (floor, by_size, by_data, -x.n * by_size, -x.d * by_data, power * np.log(both))


def _compute(p: Parameters, x: Inputs) -> tuple[Losses, Partials]:
    e, a, gamma = p
    floor, work = np.exp(e), np.exp(a - gamma * x.c)
    return floor + work, (floor, work, -x.c * work)


_GRID = (0.05, 0.15, 0.3, 0.5, 0.8, 1.2)
_EXPONENT = (0.0, 4.0)

LAWS: dict[str, Law[Inputs]] = {
    law.name: law
    for law in (
        Law(
            name="chinchilla",
            formula="E + A / N^alpha + B / D^beta",
            source="2203.15556, approach 3",
            needs=("params", "tokens"),
            names=("E", "A", "B", "alpha", "beta"),
            logs=frozenset("EAB"),
            starts={"alpha": _GRID, "beta": _GRID},
            domains={"alpha": _EXPONENT, "beta": _EXPONENT},
            function=_chinchilla,
        ),
        Law(
            name="chinchilla-tied",
            formula="E + A / N^alpha + B / D^alpha",
            source="2403.08540, which ties the exponents for over-trained runs",
            needs=("params", "tokens"),
            names=("E", "A", "B", "alpha"),
            logs=frozenset("EAB"),
            starts={"alpha": _GRID},
            domains={"alpha": _EXPONENT},
            function=_chinchilla_tied,
        ),
        Law(
            name="skaling",
            formula="E + (A / N^alpha + B / D^beta)^k",
            source="2608.07222",
            needs=("params", "tokens"),
            names=("E", "A", "B", "alpha", "beta", "k"),
            logs=frozenset("EAB"),
            # At k = 1 it is Chinchilla's, and linear in the coefficients.
            starts={"alpha": _GRID, "beta": _GRID, "k": (1.0,)},
            domains={"alpha": _EXPONENT, "beta": _EXPONENT, "k": (0.02, 50.0)},
            function=_skaling,
        ),
        Law(
            name="compute",
            formula="E + A / C^gamma",
            source="2001.08361, with a floor as in 2010.14701",
            needs=("flops",),
            names=("E", "A", "gamma"),
            logs=frozenset("EA"),
            starts={"gamma": tuple(g / 2 for g in _GRID)},
            domains={"gamma": _EXPONENT},
            function=_compute,
        ),
    )
}
