"""Links from a run's loss, or directly from its compute, to a task's accuracy.

Every link is accuracy = low + rise g(x), with a fixed shape g between 0 and 1 that has one or two parameters. For
each shape of a grid the best low and rise follow from a linear regression, the shape with the least squared error
wins, and a finer grid about it is tried in turn: a global search by a few matrix products, whatever the runs look like.

    exponential    error = e - k exp(-g L), of the loss L (2403.08540)
    sigmoid        accuracy = low + rise / (1 + exp(s (L - m))), of the loss (2407.21783, section 3.2.1)
    direct         accuracy = low + rise / (1 + exp(-s (log C - m))), of the training FLOPs C
    direct-power   log((accuracy - low) / rise) = -A C^-s, of the training FLOPs (2512.08894)

The accuracy never falls as x improves (rise >= 0), and lies between 0 and 1 (low >= 0, low + rise <= 1).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_RATES = np.geomspace(0.05, 30.0, 60)
_SLOPES = np.geomspace(0.5, 60.0, 24)
# Where an S-curve is steepest: from before the fitted range to as far beyond it as it is wide.
_MIDDLES = np.linspace(-0.5, 2.0, 26)
_ZOOMS, _FINER = 3, 9


@dataclass(frozen=True)
class Link:
    """A form of the accuracy as a function of the loss or of compute.

    Attributes:
        name: as results report it.
        of_loss: whether it takes the loss, or else log FLOPs.
        axes: values of each of its k parameters to try, in units of the fitted range.
        shape: (parameters [shapes, k], quality [rows]) -> g, where quality is 0 at the worst run fitted and 1 at the
            best.
        capped: whether low + rise, the accuracy at g = 1, is attained only in the limit and so at most 1.
    """

    name: str
    of_loss: bool
    axes: tuple[Float[np.ndarray, " _"], ...]
    shape: Callable[[Float[np.ndarray, "shapes k"], Float[np.ndarray, " rows"]], Float[np.ndarray, "shapes rows"]]
    capped: bool


@dataclass(frozen=True)
class FittedLink:
    """A link with fitted parameters.

    Attributes:
        link: the form.
        parameters: of its shape.
        low: accuracy at g = 0.
        rise: what g = 1 adds.
        worst: loss or log FLOPs of the worst run fitted.
        best: of the best.
    """

    link: Link
    parameters: Float[np.ndarray, " k"]
    low: float
    rise: float
    worst: float
    best: float

    def predict(
        self, loss: Float[np.ndarray, " rows"], log_flops: Float[np.ndarray, " rows"]
    ) -> Float[np.ndarray, " rows"]:
        """Accuracy, from 0 to 1, at a loss (nats per token) or log FLOPs, whichever the link takes."""
        quality = ((loss if self.link.of_loss else log_flops) - self.worst) / (self.best - self.worst)
        return np.clip(self.low + self.rise * self.link.shape(self.parameters[None], quality)[0], 0.0, 1.0)


def fit_link(
    link: Link,
    loss: Float[np.ndarray, " rows"],
    log_flops: Float[np.ndarray, " rows"],
    accuracy: Float[np.ndarray, " rows"],
) -> FittedLink:
    """Fits one link by least squares in the accuracy; each row is a run."""
    x = loss if link.of_loss else log_flops
    worst, best = (x.max(), x.min()) if link.of_loss else (x.min(), x.max())
    best = best if best != worst else worst + (-1e-9 if link.of_loss else 1e-9)
    quality = (x - worst) / (best - worst)
    axes = link.axes
    for _ in range(_ZOOMS + 1):
        shapes = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
        g = link.shape(shapes, quality)
        low, rise = _regression(g, accuracy, link.capped)
        found = int(np.argmin(((low[:, None] + rise[:, None] * g - accuracy) ** 2).sum(axis=1)))
        axes = tuple(_about(axis, value) for axis, value in zip(axes, shapes[found], strict=True))
    return FittedLink(link, shapes[found], float(low[found]), float(rise[found]), float(worst), float(best))


def _about(axis: Float[np.ndarray, " values"], value: float) -> Float[np.ndarray, " finer"]:
    """A finer axis between the neighbours of one value of an axis."""
    place = int(np.searchsorted(axis, value))
    return np.linspace(axis[max(place - 1, 0)], axis[min(place + 1, len(axis) - 1)], _FINER)


def _regression(
    g: Float[np.ndarray, "shapes rows"], accuracy: Float[np.ndarray, " rows"], capped: bool
) -> tuple[Float[np.ndarray, " shapes"], Float[np.ndarray, " shapes"]]:
    """Low and rise of each shape by least squares, each clipped to its range."""
    centred = g - g.mean(axis=1, keepdims=True)
    rise = np.maximum((centred @ accuracy) / np.maximum((centred**2).sum(axis=1), 1e-12), 0.0)
    low = accuracy.mean() - rise * g.mean(axis=1)
    through_zero = (g @ accuracy) / np.maximum((g**2).sum(axis=1), 1e-12)
    rise, low = np.where(low < 0, through_zero, rise), np.maximum(low, 0.0)
    if capped:
        left = 1 - g
        through_one = np.clip((left @ (1 - accuracy)) / np.maximum((left**2).sum(axis=1), 1e-12), 0.0, 1.0)
        over = low + rise > 1
        rise, low = np.where(over, through_one, rise), np.where(over, 1 - through_one, low)
    return low, rise


def _exponential(p: Float[np.ndarray, "shapes k"], q: Float[np.ndarray, " rows"]) -> Float[np.ndarray, "shapes rows"]:
    # From the best run backwards, so that g = 1 there and a steep shape does not overflow.
    return np.exp(np.minimum(p[:, :1] * (q - 1), 50.0))


def _log_power(p: Float[np.ndarray, "shapes k"], q: Float[np.ndarray, " rows"]) -> Float[np.ndarray, "shapes rows"]:
    return np.exp(-np.exp(np.clip(-p[:, :1] * (q - p[:, 1:]), -50.0, 5.0)))


def _sigmoid(p: Float[np.ndarray, "shapes k"], q: Float[np.ndarray, " rows"]) -> Float[np.ndarray, "shapes rows"]:
    return 1 / (1 + np.exp(np.clip(-p[:, :1] * (q - p[:, 1:]), -50.0, 50.0)))


LINKS = (
    Link("exponential", True, (_RATES,), _exponential, capped=False),
    Link("sigmoid", True, (_SLOPES, _MIDDLES), _sigmoid, capped=True),
    Link("direct", False, (_SLOPES, _MIDDLES), _sigmoid, capped=True),
    Link("direct-power", False, (_SLOPES, _MIDDLES), _log_power, capped=True),
)
