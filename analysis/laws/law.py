"""A law: a pure function that returns the loss and its derivative by every parameter, with its names and bounds.

Positive coefficients are fitted as logarithms: a function gets log E, log A, ... and returns derivatives by these,
so that they range over the whole line.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int

DELTA = 1e-3  # 2203.15556, appendix D.2
_AT_EDGE = 1e-6
Parameters = tuple[Float[np.ndarray, "batch 1"], ...]
Losses = Float[np.ndarray, "batch rows"]
Partials = tuple[Float[np.ndarray, "batch #rows"], ...]


@dataclass(frozen=True)
class Inputs:
    """The inputs of a law, as logarithms; one entry a run.

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

    @classmethod
    def compute_only(cls, log_flops: Float[np.ndarray, " rows"]) -> "Inputs":
        """Inputs of a law of compute alone, from log training FLOPs.

        Parameters and tokens are NaN: a law that reads them returns NaN.
        """
        unknown = np.full_like(log_flops, np.nan)
        return cls(unknown, unknown, log_flops, unknown)

    def take(self, keep: Bool[np.ndarray, " rows"] | Int[np.ndarray, " chosen"]) -> "Inputs":
        """Inputs of some rows: a mask, or their indices."""
        return Inputs(self.n[keep], self.d[keep], self.c[keep], self.u[keep])

    @property
    def axes(self) -> tuple[Float[np.ndarray, " rows"], ...]:
        """All inputs in order: n, d, c and u."""
        return self.n, self.d, self.c, self.u

    @property
    def repeated(self) -> bool:
        """Whether some runs saw their data more than once (by more than rounding)."""
        return bool((self.d - self.u > 0.05).any())


X = TypeVar("X")


@dataclass(frozen=True)
class Law(Generic[X]):
    """A law of the loss that training ends with: loss = f(parameters; inputs), where X is the type of its inputs.

    Attributes:
        name: as the command line knows it.
        formula: for people.
        source: the paper.
        needs: the columns of a table that it reads.
        names: the parameters, as reported.
        logs: which of them are positive, fitted as logarithms.
        starts: values, as reported, of all but the coefficients in which the loss is linear there, or what gives them
            from the inputs; the search starts from their grid.
        domains: (lowest, highest) value of some parameters, as reported; the others range over the whole line.
        function: (parameters [batch, 1] each, inputs) -> (loss [*batch, rows], derivative by each
            parameter).
        auto: whether ``auto`` weighs it: False for one that is a case of another, or that extrapolates badly.
        fine_tuning: whether ``auto`` weighs it for runs of a stage of fine-tuning.
        absent: coefficients that may well be absent: the lower end of their domain is no edge of the search.
        delta: log residual beyond which Huber's objective grows linearly: about the scatter of such runs.
    """

    name: str
    formula: str
    source: str
    needs: tuple[str, ...]
    names: tuple[str, ...]
    logs: frozenset[str]
    starts: dict[str, tuple[float, ...] | Callable[[X], tuple[float, ...]]]
    domains: dict[str, tuple[float, float]]
    function: Callable[[Parameters, X], tuple[Losses, Partials]]
    auto: bool = True
    fine_tuning: bool = False
    absent: frozenset[str] = frozenset()
    delta: float = DELTA

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

    def at_edge(self, theta: Float[np.ndarray, " params"]) -> tuple[str, ...]:
        """The parameters that lie at a finite end of their domain, where a search stops without a minimum.

        Not a coefficient of ``absent`` at its lower end.
        """
        ends = np.stack(self.bounds)
        with np.errstate(invalid="ignore"):
            near = np.abs(theta - ends) <= _AT_EDGE * np.maximum(1.0, np.abs(ends))
        near &= np.isfinite(ends)
        near[0] &= [name not in self.absent for name in self.names]
        return tuple(name for name, at in zip(self.names, near.any(axis=0), strict=True) if at)

    def predict(self, params: dict[str, float], inputs: X) -> Float[np.ndarray, " rows"]:
        """The loss, in nats per token, from the parameters as reported."""
        return self.evaluate(self.internal(params)[None], inputs)[0][0]

    def evaluate(
        self, theta: Float[np.ndarray, "batch params"], inputs: X
    ) -> tuple[Float[np.ndarray, "batch rows"], Float[np.ndarray, "batch rows params"]]:
        """The loss and its derivatives for many parameter vectors at once (coefficients as logarithms).

        Infinite or NaN, and silent, where the law overflows.
        """
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            loss, partials = self.function(tuple(theta.T[:, :, None]), inputs)
        jacobian = np.empty((*loss.shape, len(partials)))
        for place, partial in enumerate(partials):
            jacobian[..., place] = partial
        return loss, jacobian

    def internal(self, params: dict[str, float]) -> Float[np.ndarray, " params"]:
        """Reported parameters as the function takes them; a coefficient of 0 becomes a tiny one."""
        return np.array([np.log(max(params[n], 1e-300)) if n in self.logs else params[n] for n in self.names])

    def reported(self, theta: Float[np.ndarray, "*batch params"]) -> Float[np.ndarray, "*batch params"]:
        """The inverse of :meth:`internal`, for many parameter vectors at once."""
        is_log = np.array([n in self.logs for n in self.names])
        return np.where(is_log, np.exp(np.where(is_log, theta, 0.0)), theta)
