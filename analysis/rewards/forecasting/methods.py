"""Ways to forecast a proxy's curve from those of cheaper proxies: forms of the law, and the naive ones to beat.

A way is a function (fitted runs, the target's proxy, d of the points) -> gains there, or None where the runs do not
determine it.

    pairs               alpha and beta linear in log pairs
    pairs, one beta     alpha linear in log pairs, one beta for all, as it hardly moves with pairs
    loss, one beta      alpha linear in the proxy's held-out loss, one beta for all

    best fitted run     the measured curve of the fitted run of the highest peak, level beyond its last row
    regressional        the proxy's gain times gold's share in it at small n, of the runs of most pairs: Goodhart's
                        regressional case, without a fall
    no fall             a straight line in log n, or in sqrt(KL) of trained policies, through the runs of most pairs
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from analysis.rewards.curves import RewardCurve
from analysis.rewards.fitting.coefficients import LOSS, ONE, PAIRS, SIZE, Proxy, fit_coefficients, usual_terms
from analysis.rewards.fitting.curve_fit import Moments
from analysis.rewards.laws import BEST_OF_N
from analysis.stats import least_squares

Points = Float[np.ndarray, " points"]
Way = Callable[[Sequence[Moments], Proxy, Points], Points | None]
_SMALL = 1.0  # d up to which gold's share in the proxy's gain is read off: n of 8 or so
BEST_RUN, REGRESSIONAL, NO_FALL = "best fitted run", "regressional", "no fall"


def law_coefficients(name: str, runs: Sequence[Moments], proxy: Proxy) -> tuple[float, float] | None:
    """Alpha and beta of a proxy by one form of the law."""
    size = (SIZE,) if SIZE in usual_terms(runs)[0] else ()
    terms = {
        "pairs": ((ONE, PAIRS, *size), (ONE, PAIRS, *size)),
        "pairs, one beta": ((ONE, PAIRS, *size), (ONE,)),
        "loss, one beta": ((ONE, LOSS), (ONE,)),
    }[name]
    found = fit_coefficients(runs, *terms)
    if found is None:
        return None
    at = found.at(proxy)
    return at if np.isfinite(at).all() else None


def _law(name: str) -> Way:
    def gain(runs: Sequence[Moments], proxy: Proxy, d: Points) -> Points | None:
        found = law_coefficients(name, runs, proxy)
        return None if found is None else runs[0].curve.law.gain(*found, d)

    return gain


def _best_run(runs: Sequence[Moments], _proxy: Proxy, d: Points) -> Points | None:
    best = max((run.curve for run in runs), key=lambda curve: curve.peak()[1])
    return best.gain_at(np.minimum(d, best.d.max()))


def _regressional(runs: Sequence[Moments], _proxy: Proxy, d: Points) -> Points | None:
    found = []
    for curve in most_pairs(runs):
        rows = np.isfinite(curve.proxy) & (curve.d > 0)
        small = rows & (curve.d <= max(_SMALL, float(curve.d[rows].min()) if rows.any() else 0.0))
        if not small.any() or not curve.proxy[small].any():
            continue
        share = least_squares(curve.proxy[small][:, None], curve.gain[small]).theta[0]
        known = np.interp(d, np.append(0.0, curve.d[rows]), np.append(0.0, curve.proxy[rows]))
        # Beyond the last row the proxy goes on as it rose on the whole.
        beyond = np.maximum(d / curve.d[rows].max(), 1.0)
        found.append(share * known * beyond)
    return np.mean(found, axis=0) if found else None


def _no_fall(runs: Sequence[Moments], _proxy: Proxy, d: Points) -> Points | None:
    curves = most_pairs(runs)
    if runs[0].curve.law is BEST_OF_N:
        x, place = np.concatenate([log_n(curve.d) for curve in curves]), log_n(d)
    else:
        x, place = np.concatenate([curve.d for curve in curves]), d
    slope = least_squares(x[:, None], np.concatenate([curve.gain for curve in curves])).theta[0]
    return np.asarray(slope * place)


def most_pairs(runs: Sequence[Moments]) -> list[RewardCurve]:
    """The curves of the proxies of most pairs."""
    most = max(run.curve.pairs for run in runs)
    return [run.curve for run in runs if run.curve.pairs == most]


def expected_loss(runs: Sequence[Moments], pairs: float) -> float:
    """Held-out loss of a proxy of so many pairs: a straight line in log pairs through the fitted runs, to 0;
    NaN without."""
    known = [run.curve for run in runs if np.isfinite(run.curve.loss)]
    if len({curve.pairs for curve in known}) < 2:
        return float("nan")
    slope, level = np.polyfit([np.log(curve.pairs) for curve in known], [curve.loss for curve in known], 1)
    return max(float(level + slope * np.log(pairs)), 0.0)


def log_n(d: Points) -> Points:
    """log n of best-of-n whose bound log n - (n - 1) / n is d^2: by Newton's method on the convex log n + 1 / n - 1."""
    x = d**2 + 1.0  # at or above the root
    for _ in range(60):
        slope = -np.expm1(-x)
        x = np.maximum(x - (x + np.exp(-x) - 1 - d**2) / np.maximum(slope, 1e-12), 0.0)
    return np.where(d > 0, x, 0.0)


FORMS: dict[str, Way] = {name: _law(name) for name in ("pairs", "pairs, one beta", "loss, one beta")}
NAIVE: dict[str, Way] = {BEST_RUN: _best_run, REGRESSIONAL: _regressional, NO_FALL: _no_fall}
