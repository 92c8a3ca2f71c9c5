"""How to split a FLOP budget between parameters and tokens."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq

from analysis.checks import absurd
from analysis.errors import InputError
from analysis.fit import FitResult
from analysis.frontier import central
from analysis.laws import LAWS, Inputs
from analysis.points import inputs_at, training_cost
from analysis.warning import Warning

# 2305.16264: how many repeats of the data, and of the parameters that it suffices for, still pay.
REPEATS, EXCESS = 15.387756, 5.309743
TOLERANCE = 0.0025
_GRID = 2001
_AT_THE_END = 0.05
_ENDLESS = Warning(
    "not-bracketed",
    "this fit has no best split: the loss falls to the end of the search; the runs do not tell parameters from tokens",
)
_RESAMPLES = 200


@dataclass(frozen=True)
class Allocation:
    """The best split of a budget.

    Attributes:
        params: parameters.
        tokens: training tokens, repeats included.
        flops: the budget, for training and inference.
        loss: there, nats per token.
        tokens_per_param: tokens / params.
        near_optimal: ``params``: the range in which the loss is within 0.25 % of the best.
        interval: ``params`` and ``tokens``: 90 % intervals; None where the uncertainty is not known.
        law: of the fit, or of the loss along the best splits.
        warnings: in words and codes.
    """

    params: float
    tokens: float
    flops: float
    loss: float
    tokens_per_param: float
    near_optimal: dict[str, tuple[float, float]]
    interval: dict[str, tuple[float, float]] | None
    law: str
    warnings: tuple[Warning, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling allocate``."""
        return asdict(self)


def allocate(
    fit: FitResult,
    flops: float,
    inference_tokens: float = 0.0,
    unique_tokens: float | None = None,
    fitted: Inputs | None = None,
) -> Allocation:
    """Finds the parameters and tokens of least loss under a FLOP budget.

    Args:
        fit: of a law in parameters and tokens.
        flops: the budget, counted as in ``fitted``.
        inference_tokens: to be served over the model's life from the same budget (2401.00448), each at a third of what
            a training token costs: 2 params under 6ND.
        unique_tokens: training tokens to be had before they repeat; repeats count for less and less
            (2305.16264).
        fitted: of the runs fitted: what training costs, and how far it is known. None for published constants, which
            count 6 FLOPs per parameter and token, as 2203.15556 does.

    Raises:
        InputError: for a law that does not tell parameters from tokens, or an impossible budget.
    """
    if not {"params", "tokens"} <= set(LAWS[fit.law].needs):
        raise InputError(f"the {fit.law} law does not tell parameters from tokens: choose --law chinchilla")
    if unique_tokens is not None and not {"A", "B", "alpha"} <= set(fit.params):
        raise InputError(f"what repeated tokens are worth is known for chinchilla and its kin, not for {fit.law}")
    if not 0 < flops < np.inf:
        raise InputError(f"flops = {flops} is not a positive number")

    def cost_at(n: Float[np.ndarray, " sizes"]) -> Float[np.ndarray, " sizes"]:
        return np.full_like(n, 6.0) if fitted is None else training_cost(fitted, n)

    if fitted is not None and (refusal := absurd(fitted, inputs_at(1.0, 1.0, flops))) is not None:
        raise InputError(refusal)

    # At least one token per parameter's millionth, so the grid spans every split that means anything.
    largest = np.log(flops / 6) / 2 + 8
    if inference_tokens:
        cheapest = 6.0 if fitted is None else float(cost_at(fitted.n).min())
        largest = min(largest, np.log(3 * flops / (cheapest * inference_tokens)))
    smallest = np.log(flops / 6) / 2 - 12
    if largest <= smallest:
        raise InputError(f"{flops:.4g} FLOPs do not even serve {inference_tokens:.4g} tokens of inference")

    def tokens_at(n: Float[np.ndarray, " sizes"]) -> Float[np.ndarray, " sizes"]:
        return np.maximum(flops * np.exp(-n) / cost_at(n) - inference_tokens / 3, 1e-9)

    def loss_at(fit: FitResult, n: Float[np.ndarray, " sizes"]) -> Float[np.ndarray, " sizes"]:
        d = np.log(tokens_at(n))
        c = n + d + np.log(cost_at(n))
        if unique_tokens is None:
            return fit.predict(Inputs(n, d, c, d))
        u = float(np.log(unique_tokens))
        if "unique_tokens" in LAWS[fit.law].needs:
            return fit.predict(Inputs(n, d, c, np.minimum(d, u)))
        n, d = _effective(fit, n, d, u)
        return fit.predict(Inputs(n, d, c, d))

    def best_of(fit: FitResult) -> float:
        return _minimum(lambda n: loss_at(fit, n), smallest, largest)

    best = best_of(fit)
    lowest = float(loss_at(fit, np.array([best]))[0])

    def excess(n: float) -> float:
        return float(loss_at(fit, np.array([n]))[0]) - lowest * (1 + TOLERANCE)

    low = brentq(excess, smallest, best) if excess(smallest) > 0 else smallest
    high = brentq(excess, best, largest) if excess(largest) > 0 else largest
    params, tokens = float(np.exp(best)), float(tokens_at(np.array([best]))[0])
    inside = min(best - smallest, largest - best) > _AT_THE_END
    draws = np.array([best_of(_with(fit, theta)) for theta in fit.samples[:_RESAMPLES]])
    return Allocation(
        params=params,
        tokens=tokens,
        flops=float(flops),
        loss=lowest,
        tokens_per_param=tokens / params,
        near_optimal={"params": (float(np.exp(low)), float(np.exp(high)))},
        interval={"params": central(np.exp(draws)), "tokens": central(tokens_at(draws))}
        if len(draws) and inside
        else None,
        law=fit.law,
        warnings=(
            *fit.warnings,
            *(() if inside else (_ENDLESS,)),
            *_warnings(flops, tokens / params, unique_tokens, tokens, fitted),
        ),
    )


def _with(fit: FitResult, theta: Float[np.ndarray, " params"]) -> FitResult:
    law = LAWS[fit.law]
    return replace(fit, params=dict(zip(law.names, law.reported(theta).tolist(), strict=True)))


def _minimum(
    loss_at: Callable[[Float[np.ndarray, " sizes"]], Float[np.ndarray, " sizes"]], low: float, high: float
) -> float:
    """The global minimum on a grid, narrowed until rounding hides the rest, then centred by a parabola."""
    for _ in range(3):
        grid = np.linspace(low, high, _GRID)
        best = int(np.argmin(loss_at(grid)))
        low, high = float(grid[max(best - 8, 0)]), float(grid[min(best + 8, _GRID - 1)])
    grid = np.linspace(low, high, _GRID)
    losses = loss_at(grid)
    middle = (low + high) / 2
    a, b, _ = np.polyfit((grid - middle) / (high - low), losses / losses.mean() - 1, 2)
    vertex = middle - b / (2 * a) * (high - low) if a > 0 else float(grid[np.argmin(losses)])
    return float(np.clip(vertex, low, high))


def _effective(
    fit: FitResult, n: Float[np.ndarray, " sizes"], d: Float[np.ndarray, " sizes"], u: float
) -> tuple[Float[np.ndarray, " sizes"], Float[np.ndarray, " sizes"]]:
    """Repeated tokens, and parameters beyond what the unique tokens suffice for, in units of fresh ones."""
    p = fit.params
    beta = p.get("beta", p["alpha"])
    # Parameters for which the unique tokens are the best training set: alpha A / N^alpha = beta B / U^beta.
    suffices = float((np.log(p["alpha"] * p["A"] / (beta * p["B"])) + beta * u) / p["alpha"])
    return _saturated(n, suffices, EXCESS), _saturated(d, u, REPEATS)


def _saturated(x: Float[np.ndarray, " sizes"], unique: float, most: float) -> Float[np.ndarray, " sizes"]:
    repeats = np.maximum(np.expm1(x - unique), 0.0)
    return np.minimum(x, unique) + np.log1p(most * -np.expm1(-repeats / most))


def _warnings(
    flops: float, ratio: float, unique_tokens: float | None, tokens: float, fitted: Inputs | None
) -> list[Warning]:
    warnings = []
    if unique_tokens is not None and tokens > 1.05 * unique_tokens:
        warnings.append(
            Warning(
                "repeated-data",
                f"the best split repeats the data {tokens / unique_tokens:.3g} times; what repeats "
                "are worth is weakly known (2305.16264)",
            )
        )
    if fitted is None:
        return warnings
    span = float(np.exp(np.ptp(fitted.c)))
    reach = flops / float(np.exp(fitted.c.max()))
    if reach > max(span, 3.0):
        warnings.append(
            Warning(
                "far-extrapolation",
                f"{reach:.3g} times the FLOPs of the largest fitted run: beyond their span",
            )
        )
    ratios = np.exp(fitted.d - fitted.n)
    if not ratios.min() <= ratio <= ratios.max():
        warnings.append(
            Warning(
                "not-bracketed",
                f"{ratio:.3g} tokens per parameter lies outside the fitted runs' {ratios.min():.3g} to "
                f"{ratios.max():.3g}: the optimum is not bracketed",
            )
        )
    return warnings
