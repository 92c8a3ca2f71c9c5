"""A law of the level for few sizes and lengths, where beliefs must stand in for runs.

    log L(N, D) = l + log((1 + A / n^a + B / d^b) / (1 + A + B)),   n = N / N0, d = D / D0

is Chinchilla's form (2203.15556) around the middle of the runs, where A and B are what the sizes' and the lengths'
terms are there of the floor. Beliefs in A and B are wide around what Chinchilla's law says of such sizes and lengths,
and in the exponents as they are found for Llamas and others on text, .28 to .37 (2203.15556, 2404.10102).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares

# Chinchilla's law (2203.15556): (coefficient, exponent) of the sizes' and of the lengths' term, and the floor.
_CHINCHILLA, _FLOOR = np.array([[406.4, 0.34], [410.7, 0.28]]), 1.69
# Of models far smaller than it was fitted to, it says more than any falls.
_LEAST, _MOST = -2.0, 0.0
# log A, log B, log a, log b.
_FALL, _SD = np.log([0.33, 0.33]), np.array([1.0, 1.0, 0.25, 0.25])
# Scatter of cells around the law, as if so many cells had been seen before.
_SCATTER, _SEEN = 1e-2, 2.0
# What Chinchilla's form misses with each factor e of FLOPs beyond the largest run: over 22 splits of published tables,
# 2 to 190 times apart, 2 % on average.
_FORM = 1e-2
_ROUNDS = 4


@dataclass(frozen=True)
class Believed:
    """The level at a target.

    Attributes:
        log_loss: nats per token, as a logarithm.
        sd: its standard deviation.
        scatter: of cells around the law, a part of it.
    """

    log_loss: float
    sd: float
    scatter: float


def believed_level(
    cells: Float[np.ndarray, "cells 2"],
    levels: Float[np.ndarray, " cells"],
    target: Float[np.ndarray, " 2"],
    reach: float,
) -> Believed:
    """The log loss at a target by the law.

    Args:
        cells: log params and log tokens of each.
        levels: the log loss of each.
        target: log params and log tokens.
        reach: log FLOPs of the target over the largest cell's.
    """
    middle = cells.mean(axis=0)
    terms = np.log(_CHINCHILLA[:, 0] / _FLOOR) - _CHINCHILLA[:, 1] * middle
    mean = np.concatenate([np.clip(terms, _LEAST, _MOST), _FALL])

    def law(theta: np.ndarray, at: np.ndarray) -> np.ndarray:
        size, length = np.exp(theta[1:3])
        fall = np.exp(-np.exp(theta[3:]) * (at - middle))
        return np.asarray(theta[0] + np.log((1 + size * fall[:, 0] + length * fall[:, 1]) / (1 + size + length)))

    def missed(theta: np.ndarray, scatter: float) -> np.ndarray:
        return np.concatenate([(law(theta, cells) - levels) / scatter, (theta[1:] - mean) / _SD])

    scatter, theta = _SCATTER, np.concatenate([[levels.mean()], mean])
    for _ in range(_ROUNDS):
        found = least_squares(missed, theta, args=(scatter,))
        theta, slopes = found.x, np.asarray(found.jac)
        bend = slopes.T @ slopes
        believed = np.diag(np.concatenate([[0.0], 1 / _SD**2]))
        free = len(levels) - (len(theta) - float(np.trace(np.linalg.solve(bend, believed))))
        squares = float(((law(theta, cells) - levels) ** 2).sum())
        scatter = float(np.sqrt((_SEEN * _SCATTER**2 + squares) / (_SEEN + max(free, 0.0))))
    steps = 1e-5 * np.eye(len(theta))
    slope = np.array(
        [(law(theta + step, target[None])[0] - law(theta - step, target[None])[0]) / 2e-5 for step in steps]
    )
    variance = float(slope @ np.linalg.solve(bend, slope)) + scatter**2 + (_FORM * max(reach, 0.0)) ** 2
    return Believed(float(law(theta, target[None])[0]), float(np.sqrt(variance)), scatter)
