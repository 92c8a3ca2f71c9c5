"""The loss surface of one contender, and of two with exponents in common: what their differences are read off."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from analysis.comparing.differences.cells import Cells
from analysis.fitting.fit import estimate
from analysis.laws import LAWS, Inputs, Law
from analysis.laws.law import Losses, Parameters, Partials

_FEWEST = 8  # cells of a law of size and data


@dataclass(frozen=True)
class Surface:
    """A law fitted to a contender's cells.

    Attributes:
        law: its form.
        theta: its parameters, coefficients as logarithms.
        samples: of resamples.
    """

    law: Law[Inputs]
    theta: Float[np.ndarray, " params"]
    samples: Float[np.ndarray, "draws params"]

    def log_loss(self, inputs: Inputs) -> Float[np.ndarray, " rows"]:
        """Log loss (rows,) at some points."""
        return np.asarray(_log(self.law.evaluate(self.theta[None], inputs)[0][0]))

    def drawn(self, inputs: Inputs) -> Float[np.ndarray, "draws rows"]:
        """Log loss (draws, rows) of the resamples."""
        return _log(self.law.evaluate(self.samples, inputs)[0])


def law_of(cells: Cells) -> Law[Inputs] | None:
    """The law that a contender's cells suffice for: of size and data, of one of them, or of compute; None for none."""
    sizes, lengths = len(np.unique(cells.inputs.n)), len(np.unique(cells.inputs.d))
    if len(cells) >= _FEWEST and sizes >= 3 and lengths >= 3:
        return LAWS["chinchilla"]
    if len(cells) < 5:
        return None
    if sizes == 1:
        return LAWS["data"]
    return LAWS["compute"]


def surface_of(cells: Cells, draws: int) -> Surface | None:
    """Fits a contender's surface; None where its cells are too few."""
    law = law_of(cells)
    if law is None:
        return None
    runs = cells.arrays
    found = estimate(law, runs.inputs, runs.log_loss, runs.cluster, draws)
    return Surface(law, found.theta, found.samples)


@dataclass(frozen=True)
class Both:
    """The inputs of a law of two contenders: each point, and of which contender it is.

    Attributes:
        at: the points.
        second: 1 for those of the second contender, 0 for those of the first.
    """

    at: Inputs
    second: Float[np.ndarray, " rows"]


def _shared(p: Parameters, x: Both) -> tuple[Losses, Partials]:
    e, a, b, alpha, beta, of_e, of_a, of_b = p
    floor = np.exp(e + of_e * x.second)
    size = np.exp(a + of_a * x.second - alpha * x.at.n)
    data = np.exp(b + of_b * x.second - beta * x.at.d)
    partials = (floor, size, data, -x.at.n * size, -x.at.d * data)
    return floor + size + data, (*partials, floor * x.second, size * x.second, data * x.second)


_EXPONENTS = tuple(LAWS["chinchilla"].starts[name] for name in ("alpha", "beta"))
SHARED: Law[Both] = Law(
    name="shared",
    formula="E + A / N^alpha + B / D^beta, with exponents in common",
    source="2203.15556",
    needs=("params", "tokens"),
    names=("E", "A", "B", "alpha", "beta", "log E'/E", "log A'/A", "log B'/B"),
    logs=frozenset("EAB"),
    starts={
        "alpha": _EXPONENTS[0],  # type: ignore[dict-item]
        "beta": _EXPONENTS[1],  # type: ignore[dict-item]
        "log E'/E": (0.0,),
        "log A'/A": (0.0,),
        "log B'/B": (0.0,),
    },
    domains={
        **{name: LAWS["chinchilla"].domains[name] for name in ("alpha", "beta")},
        **{f"log {name}'/{name}": (-2.0, 2.0) for name in "EAB"},
    },
    function=_shared,
)


def shared_law(
    first: Cells, second: Cells, draws: int
) -> tuple[Float[np.ndarray, " params"], Float[np.ndarray, "draws params"]] | None:
    """Fits one law to two contenders' cells; the cells of one size and length are resampled together."""
    if law_of(first) is not LAWS["chinchilla"] or law_of(second) is not LAWS["chinchilla"]:
        return None
    at = Inputs(*(np.concatenate([a, b]) for a, b in zip(first.inputs.axes, second.inputs.axes, strict=True)))
    inputs = Both(at, np.repeat([0.0, 1.0], [len(first), len(second)]))
    keys = np.round(np.stack([at.n, at.d], axis=1) / 0.05)
    cluster = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
    found = estimate(SHARED, inputs, np.concatenate([first.log_loss, second.log_loss]), cluster, draws)
    return found.theta, found.samples


def shared_difference(theta: Float[np.ndarray, "draws params"], first: Inputs, second: Inputs) -> np.ndarray:
    """Log loss (draws, rows) of the second contender at its points less that of the first at its own."""
    ours = SHARED.evaluate(theta, Both(first, np.zeros(len(first.n))))[0]
    theirs = SHARED.evaluate(theta, Both(second, np.ones(len(second.n))))[0]
    return _log(theirs) - _log(ours)


def _log(loss: np.ndarray) -> np.ndarray:
    return np.log(np.clip(np.nan_to_num(loss, nan=1e300), 1e-300, 1e300))
