"""Simulated sweeps: a known truth, a design of runs, and noise of known size."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, Int

from analysis.laws import LAWS, Inputs
from analysis.runs.arrays import RunArrays, inputs_at

# Parameters of laws as published, or such that a loss is about 2.2 nats per token at 1e21 FLOPs.
PARAMS: Mapping[str, Mapping[str, float]] = {
    "chinchilla": {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658},  # 2404.10102
    "chinchilla-tied": {"E": 1.8, "A": 440.0, "B": 1700.0, "alpha": 0.35},
    "skaling": {"E": 1.7, "A": 70.0, "B": 290.0, "alpha": 0.24, "beta": 0.27, "k": 1.4},
    "compute": {"E": 1.7, "A": 900.0, "gamma": 0.155},
    "broken": {"E": 1.7, "A": 2640.0, "early": 0.18, "late": 0.14, "C_1": 3e19, "f": 0.5},
}
Truth = Callable[[Inputs], Float[np.ndarray, " rows"]]


def law(name: str) -> Truth:
    """The loss by the parameters of ``PARAMS``."""
    return lambda inputs: LAWS[name].predict(dict(PARAMS[name]), inputs)


def two_powers(x: Inputs) -> Float[np.ndarray, " rows"]:
    """A truth outside all laws: N and D each reduce the loss by a steep power at first, and by a shallow one later."""
    size = 4e4 * np.exp(-0.62 * x.n) + 60 * np.exp(-0.25 * x.n)
    data = 4e5 * np.exp(-0.62 * x.d) + 120 * np.exp(-0.25 * x.d)
    return 1.6 + size + data


def crossed(x: Inputs) -> Float[np.ndarray, " rows"]:
    """A truth outside all laws: N and D reduce the loss each alone, and by a term of both."""
    alone = 482 * np.exp(-0.3478 * x.n) + 2085 * np.exp(-0.3658 * x.d)
    return 1.75 + alone + 40 * np.exp(-0.12 * (x.n + x.d))


TRUTHS: Mapping[str, Truth] = {name: law(name) for name in PARAMS} | {"two powers": two_powers, "crossed": crossed}

Sizes = Float[np.ndarray, " rows"]


def isoflop() -> tuple[Sizes, Sizes]:
    """Seven budgets from 1e18 to 1e21 FLOPs, seven sizes each within a factor 4 of 20 tokens per parameter."""
    flops, spread = np.meshgrid(np.geomspace(1e18, 1e21, 7), np.geomspace(1 / 4, 4, 7), indexing="ij")
    n = np.sqrt(flops / 120) * spread
    return n.ravel(), (flops / 6 / n).ravel()


def ladder() -> tuple[Sizes, Sizes]:
    """Eight sizes from 50M to 2B, each with 10, 20, 40 and 80 tokens per parameter."""
    n, ratio = np.meshgrid(np.geomspace(5e7, 2e9, 8), [10.0, 20.0, 40.0, 80.0], indexing="ij")
    return n.ravel(), (n * ratio).ravel()


def overtrain() -> tuple[Sizes, Sizes]:
    """Six sizes from 20M to 700M, each with 20 to 640 tokens per parameter."""
    n, ratio = np.meshgrid(np.geomspace(2e7, 7e8, 6), np.geomspace(20, 640, 6), indexing="ij")
    return n.ravel(), (n * ratio).ravel()


def few_trunks() -> tuple[Sizes, Sizes]:
    """Sixteen sizes from 50M to 2B, each with four branches of one trunk, which differ in tokens."""
    n, ratio = np.meshgrid(np.geomspace(5e7, 2e9, 16), np.geomspace(8, 128, 4), indexing="ij")
    return n.ravel(), (n * ratio).ravel()


def trunks() -> tuple[Sizes, Sizes]:
    """Sixteen sizes from 50M to 2B, each with two trunks of four branches, which differ in tokens."""
    n, d = few_trunks()
    return np.tile(n, 2), np.tile(d, 2)


_BRANCHES = {"few_trunks": 4, "trunks": 4}
DESIGNS = {design.__name__: design for design in (isoflop, ladder, overtrain, few_trunks, trunks)}


def sweep(truth: str, design: str, noise: float, seed: int) -> RunArrays:
    """The runs of a simulated sweep.

    Args:
        truth: a name in ``TRUTHS``.
        design: a name in ``DESIGNS``.
        noise: standard deviation of a run's log loss; of runs of one trunk, half the variance is the trunk's.
        seed: of the noise.
    """
    n, d = DESIGNS[design]()
    inputs = inputs_at(n, d, 6 * n * d)
    cluster: Int[np.ndarray, " rows"] = np.arange(len(n)) // _BRANCHES.get(design, 1)
    rng = np.random.default_rng(seed)
    error = rng.standard_normal(len(n))
    if design in _BRANCHES:
        error = np.sqrt(0.5) * (error + rng.standard_normal(len(n))[cluster])
    cell: Int[np.ndarray, " rows"] = np.unique(np.stack([n, d], axis=1), axis=0, return_inverse=True)[1].ravel()
    return RunArrays(inputs, np.log(TRUTHS[truth](inputs)) + noise * error, cluster, cell)


def beyond(points: RunArrays, factor: float) -> Inputs:
    """A run of ``factor`` times the largest run's FLOPs, at 20 tokens per parameter."""
    flops = factor * np.exp(points.inputs.c.max())
    n = np.sqrt(flops / 120)
    return inputs_at(n, 20 * n, flops)
