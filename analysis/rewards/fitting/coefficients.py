"""Coefficients of over-optimisation over many proxies: alpha and beta, linear in logs of pairs and size, or in loss.

Gao et al. (2210.10760) find both linear in the log of the proxy's parameters. The number of preference pairs and the
proxy's held-out loss take its place here, as size shows in few tables. All runs are fitted at once, each by the
normal equations of its own curve:

    minimise  sum_r (theta_r - m_r)' G_r (theta_r - m_r),   theta_r = (alpha_r, beta_r) = F_r c

where m_r solves run r alone, F_r holds its features, and c are the coefficients. G_r is scaled so that each run counts
alike: runs differ by seed more than a row of one is uncertain.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from analysis.diagnostics.codes import Diagnostic
from analysis.rewards.curves import RewardCurve
from analysis.rewards.fitting.curve_fit import Moments, resampled
from analysis.rewards.laws import RewardLaw
from analysis.stats import least_squares

PAIRS, SIZE, LOSS, ONE = "log pairs", "log params", "loss", "1"
_DRAWN_RUNS = 4  # fewer say nothing of how much another would differ
_CONDITION = 1e10
_SURE = 0.95  # that a size has an effect, if its term is to stay


@dataclass(frozen=True)
class Proxy:
    """What a proxy reward model is known by; NaN where it is not.

    Attributes:
        pairs: preference pairs it was trained on.
        reward_params: its parameters.
        loss: its held-out loss, nats per pair.
    """

    pairs: float = np.nan
    reward_params: float = np.nan
    loss: float = np.nan

    @classmethod
    def of(cls, curve: RewardCurve) -> "Proxy":
        """Of a curve's run."""
        return cls(curve.pairs, curve.reward_params, curve.loss)

    def features(self, terms: Sequence[str]) -> Float[np.ndarray, " terms"]:
        """The values of some terms."""
        with np.errstate(invalid="ignore", divide="ignore"):
            known = {ONE: 1.0, PAIRS: np.log(self.pairs), SIZE: np.log(self.reward_params), LOSS: self.loss}
        return np.array([float(known[term]) for term in terms])


@dataclass(frozen=True)
class Coefficients:
    """Alpha and beta over proxies.

    Attributes:
        law: whose they are.
        alpha_terms: names of what alpha is linear in.
        beta_terms: of beta.
        vector: of alpha's terms, then of beta's.
        draws: the same of resampled runs and prompts; a single row without resamples.
    """

    law: RewardLaw
    alpha_terms: tuple[str, ...]
    beta_terms: tuple[str, ...]
    vector: Float[np.ndarray, " terms"]
    draws: Float[np.ndarray, "draws terms"]

    def at(self, proxy: Proxy) -> tuple[float, float]:
        """Alpha and beta of a proxy."""
        alpha, beta = _features(proxy, self.alpha_terms, self.beta_terms) @ self.vector
        return float(alpha), float(beta)

    @property
    def stderr(self) -> Float[np.ndarray, " terms"]:
        """Standard errors; NaN without resamples."""
        return self.draws.std(axis=0) if len(self.draws) > 1 else np.full(len(self.vector), np.nan)

    def named(self) -> Iterator[tuple[str, str, float, float]]:
        """Each coefficient: of alpha or beta, its term, value and standard error."""
        names = [("alpha", term) for term in self.alpha_terms] + [("beta", term) for term in self.beta_terms]
        for (of, term), value, error in zip(names, self.vector, self.stderr, strict=True):
            yield of, term, float(value), float(error)


def fit_coefficients(
    runs: Sequence[Moments],
    alpha_terms: Sequence[str],
    beta_terms: Sequence[str],
    bootstrap: int = 0,
    seed: int = 0,
) -> Coefficients | None:
    """The coefficients of some terms; None where the runs do not determine them.

    Args:
        runs: normal equations of each.
        alpha_terms: of alpha: ``1``, ``log pairs``, ``log params`` or ``loss``.
        beta_terms: of beta.
        bootstrap: resamples of runs, with their prompts; their spread is widened by sqrt(runs / (runs - terms)).
        seed: of the resampling.
    """
    law = runs[0].curve.law
    features = np.stack([_features(Proxy.of(run.curve), alpha_terms, beta_terms) for run in runs])
    if not np.isfinite(features).all() or not _determined(features):
        return None
    scale = np.array([1 / np.trace(run.gram) for run in runs])
    gram = np.einsum("rij,rik,rkl,r->rjl", features, _stacked(runs), features, scale)
    right = np.einsum("rij,ri,r->rj", features, np.stack([run.right for run in runs]), scale)
    values = np.linalg.solve(gram.sum(axis=0), right.sum(axis=0))
    draws = values[None]
    if bootstrap and len(runs) >= _DRAWN_RUNS and len(runs) > len(alpha_terms):
        generator = np.random.default_rng(seed)
        drawn = _drawn(runs, features, scale, gram, bootstrap, generator)
        if len(drawn) > 1:
            widened = np.sqrt(len(runs) / (len(runs) - len(alpha_terms)))
            draws = values + (drawn - drawn.mean(axis=0)) * widened
    return Coefficients(law, tuple(alpha_terms), tuple(beta_terms), values, draws)


def _stacked(runs: Sequence[Moments]) -> Float[np.ndarray, "runs 2 2"]:
    return np.stack([run.gram for run in runs])


def _features(proxy: Proxy, alpha: Sequence[str], beta: Sequence[str]) -> Float[np.ndarray, "2 terms"]:
    made = np.zeros((2, len(alpha) + len(beta)))
    made[0, : len(alpha)] = proxy.features(alpha)
    made[1, len(alpha) :] = proxy.features(beta)
    return made


def _determined(features: Float[np.ndarray, "runs 2 terms"]) -> bool:
    """Whether both coefficients' terms are independent over the runs."""
    for row in (0, 1):
        design = features[:, row]
        design = design[:, np.abs(design).any(axis=0)]
        scaled = design / np.abs(design).max(axis=0)
        if np.linalg.matrix_rank(scaled, tol=1e-6) < design.shape[1]:
            return False
    return True


def _drawn(
    runs: Sequence[Moments],
    features: Float[np.ndarray, "runs 2 terms"],
    scale: Float[np.ndarray, " runs"],
    gram: Float[np.ndarray, "runs terms terms"],
    count: int,
    generator: np.random.Generator,
) -> Float[np.ndarray, "kept terms"]:
    """Coefficients of resampled runs, prompts resampled within; draws that do not determine them are left out."""
    times = generator.multinomial(len(runs), np.full(len(runs), 1 / len(runs)), size=count)
    right = np.stack([_rights(run, count, generator) for run in runs], axis=1)
    normal = np.einsum("dr,rij->dij", times, gram)
    total = np.einsum("dr,rij,dri,r->dj", times, features, right, scale)
    # In units of each term's own size, so that the condition is that of the runs and not of the units.
    size = np.sqrt(np.einsum("rii->i", gram))
    kept = np.linalg.cond(normal / np.outer(size, size)) < _CONDITION
    return np.linalg.solve(normal[kept], total[kept][..., None])[..., 0]


def _rights(run: Moments, count: int, generator: np.random.Generator) -> Float[np.ndarray, "count 2"]:
    samples = run.curve.by_prompt
    if samples is None:
        return np.broadcast_to(run.right, (count, 2))
    return resampled(samples, count, generator) @ run.solve.T


def usual_terms(runs: Sequence[Moments]) -> tuple[tuple[str, ...], tuple[Diagnostic, ...]]:
    """The terms of pairs and size that the runs can tell apart, and a warning for a size that they cannot.

    A size stays if it changes alpha or beta by more than the runs scatter about a line without it: with a t-test of
    each, over the runs' own coefficients, at 95 %.
    """
    curves = [run.curve for run in runs]
    terms = [ONE]
    if len({curve.pairs for curve in curves if np.isfinite(curve.pairs)}) > 1:
        terms.append(PAIRS)
    sizes = {curve.reward_params for curve in curves if np.isfinite(curve.reward_params)}
    if len(sizes) < 2:
        return tuple(terms), ()
    if _size_tells(runs, [*terms, SIZE]):
        return (*terms, SIZE), ()
    message = (
        f"the {len(runs)} runs of {len(sizes)} sizes do not tell what the size of the reward model does: its term is "
        "left out, and forecasts hold for these sizes"
    )
    return tuple(terms), (Diagnostic("size-dropped", message),)


def _size_tells(runs: Sequence[Moments], terms: Sequence[str]) -> bool:
    design = np.stack([Proxy.of(run.curve).features(terms) for run in runs])
    known: Bool[np.ndarray, " runs"] = np.isfinite(design).all(axis=1)
    if known.sum() <= len(terms) or np.linalg.matrix_rank(design[known]) < len(terms):
        return False
    theta = np.stack([run.theta for run in runs])[known]
    for which in (0, 1):
        found = least_squares(design[known], theta[:, which])
        std = found.std
        error = (std or 0.0) * np.sqrt(found.unit_covariance[-1, -1])
        # Two tests, each at half the doubt.
        if abs(found.theta[-1]) > error * stats.t.ppf(1 - (1 - _SURE) / 4, found.freedom):
            return True
    return False
