"""The two laws of over-optimisation (2210.10760): what a policy gains by a proxy, and where the gain ends.

Both are linear in alpha, what optimisation yields at first, and beta, how fast the proxy's errors are exploited. They
take d, the square root of the KL divergence (nats) from the policy that optimisation began at.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import xlogy

Values = Float[np.ndarray, "*shape"]
Coefficient = float | Float[np.ndarray, "*#shape"]


@dataclass(frozen=True)
class RewardLaw:
    """A law of the gain in gold reward: alpha x rise(d) - beta x fall(d).

    Attributes:
        name: as ``--law`` has it.
        formula: of the gain.
        source: the papers.
        least: the least d that the law holds from.
        fall: what beta multiplies; alpha multiplies d.
        top: (alpha, beta) -> d of the peak, where beta is positive.
    """

    name: str
    formula: str
    source: str
    least: float
    fall: Callable[[Values], Values]
    top: Callable[[Values, Values], Values]

    def basis(self, d: Float[np.ndarray, " rows"]) -> Float[np.ndarray, "rows 2"]:
        """What alpha and beta multiply, fall with its sign."""
        return np.stack([d, -self.fall(d)], axis=1)

    def gain(self, alpha: Coefficient, beta: Coefficient, d: Values) -> Values:
        """Gold reward above the start's, in the units of the table's."""
        return np.asarray(alpha * d - beta * self.fall(d))

    def peak(self, alpha: Coefficient, beta: Coefficient) -> tuple[Values, Values]:
        """d and gain of the most gold that the law reaches, of any shape.

        d is infinite where beta is not positive and alpha is: the gain does not end; and 0 where nothing is gained.
        """
        alpha, beta = np.asarray(alpha), np.asarray(beta)
        falls, gains = beta > 0, alpha > 0
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            top = np.where(falls, self.top(alpha, np.where(falls, beta, 1.0)), np.where(gains, np.inf, 0.0))
            d = np.asarray(np.maximum(top, 0.0))
            endless = np.isinf(d)
            return d, np.where(endless, np.inf, self.gain(alpha, beta, np.where(endless, 0.0, d)))


BEST_OF_N = RewardLaw(
    name="overoptimization-bon",
    formula="gain = d (alpha - beta d), d = sqrt(KL)",
    source="2210.10760, best-of-n",
    least=0.0,
    fall=np.square,
    top=lambda alpha, beta: alpha / (2 * beta),
)
REINFORCEMENT = RewardLaw(
    name="overoptimization-rl",
    formula="gain = d (alpha - beta log d), d = sqrt(KL)",
    source="2210.10760, reinforcement learning; 2406.02900, DPO",
    least=0.2,  # its slope is infinite at 0
    fall=lambda d: xlogy(d, d),
    top=lambda alpha, beta: np.exp(np.minimum(alpha / beta - 1, 700.0)),
)
REWARD_LAWS = {law.name: law for law in (BEST_OF_N, REINFORCEMENT)}
