"""Fitting a law to a table of runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int

from analysis.diagnostics import checks, fit_checks
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.fitting.huber_newton import SolverStatus, best_of_starts, minimise
from analysis.fitting.law_fit import FitStatus, LawFit
from analysis.laws import LAWS, Inputs, Law, X
from analysis.runs.arrays import RunArrays
from analysis.runs.filter import closest
from analysis.runs.table import RunTable

# A resample need only be known to a fraction of the resamples' own spread.
_RESAMPLE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class FitResult(LawFit):
    """A fitted law.

    Attributes:
        law: its name in ``LAWS``.
        params: parameters by name, as reported (coefficients, not logarithms).
        stderr: standard errors by name, from the resamples; None without any.
        objective: sum of Huber terms of the log loss (delta 1e-3); None for published constants.
        status: how the search ended.
        n_runs: rows fitted.
        warnings: about the table and the fit.
        table_hash: of the table it was fitted on, or its published source.
        convention: how parameters and FLOPs were counted.
        samples: parameters of the resamples, coefficients as logarithms; empty without any.
        at_edge: the parameters at the edge of the search, which the runs do not determine.
    """

    law: str
    params: Mapping[str, float]
    stderr: Mapping[str, float | None]
    objective: float | None
    status: FitStatus
    n_runs: int
    warnings: tuple[Diagnostic, ...]
    table_hash: str
    convention: str
    samples: Float[np.ndarray, "resamples params"] = field(repr=False)
    at_edge: tuple[str, ...] = ()

    @property
    def form(self) -> Law[Inputs]:
        """The law in ``LAWS``."""
        return LAWS[self.law]

    def predict(self, inputs: Inputs) -> Float[np.ndarray, " rows"]:
        """Loss at some inputs, nats per token."""
        return self.form.predict(dict(self.params), inputs)


def law_named(name: str) -> Law[Inputs]:
    """Finds a law by its name.

    Raises:
        InputError: with the closest name, if there is none.
    """
    if name not in LAWS:
        raise InputError(f"no law {name!r}{closest(name, list(LAWS))}; there are {', '.join(LAWS)}")
    return LAWS[name]


def fit(table: RunTable, law: str = "chinchilla", bootstrap: int = 1000, seed: int = 0) -> FitResult:
    """Fits a law to the table's rows to fit: log-Huber (2203.15556), the best of many starts.

    Args:
        table: the runs.
        law: a name in ``LAWS``.
        bootstrap: resamples of whole trunks, for the standard errors.
        seed: of the resampling.

    Raises:
        InputError: for an unknown law, or fewer runs than parameters + 2.
    """
    return on_table(fit_arrays(table.arrays, law_named(law), bootstrap, seed), table)


def on_table(result: FitResult, table: RunTable) -> FitResult:
    """A fit of a table's rows with the table's warnings, hash and convention."""
    needs = LAWS[result.law].needs
    design = fit_checks.check_design(table.arrays, len(result.params), needs)
    return replace(
        result,
        warnings=(*checks.check_table(table, needs), *design, *result.warnings),
        table_hash=table.hash(),
        convention=table.convention,
    )


def fit_arrays(runs: RunArrays, law: Law[Inputs], bootstrap: int = 0, seed: int = 0) -> FitResult:
    """Fits a law to arrays of runs, without the warnings, hash and convention that :func:`fit` adds.

    Raises:
        InputError: for fewer runs than parameters + 2, or for runs of several sizes if the law is of one.
    """
    if (refusal := fit_checks.of_several_sizes(runs, law)) is not None:
        raise InputError(refusal)
    if len(runs) < len(law.names) + 2:
        raise InputError(too_few(law, len(runs)))
    found = estimate(law, runs.inputs, runs.log_loss, runs.cluster, bootstrap, seed)
    theta, samples = found.theta, found.samples
    reported = law.reported(samples)
    edge = law.at_edge(theta)
    status = (FitStatus.AT_EDGE if edge else FitStatus.CONVERGED) if found.converged else FitStatus.ITERATIONS
    params = dict(zip(law.names, law.reported(theta).tolist(), strict=True))
    lowest = float(np.exp(runs.log_loss.min()))
    if not edge and "E" in params and params["E"] < 1e-3 * lowest:
        status = FitStatus.NO_FLOOR
    return FitResult(
        law=law.name,
        params=params,
        stderr={name: _spread(reported[:, i]) if bootstrap else None for i, name in enumerate(law.names)},
        objective=found.objective,
        status=status,
        n_runs=len(runs),
        warnings=(
            *fit_checks.check_edge(params, edge, law),
            *fit_checks.check_irreducible_loss(params, law, samples, lowest),
            *(fit_checks.check_repeats(law, samples) if runs.inputs.repeated else ()),
            *fit_checks.check_residuals(runs.log_loss - np.log(law.predict(params, runs.inputs))),
        ),
        table_hash="",
        convention="",
        samples=samples,
        at_edge=edge,
    )


@dataclass(frozen=True)
class Estimate:
    """The fit of any law to any inputs.

    Attributes:
        theta: parameters, coefficients as logarithms.
        objective: sum of Huber terms.
        converged: whether the search settled.
        samples: as theta, of each resample.
    """

    theta: Float[np.ndarray, " params"]
    objective: float
    converged: bool
    samples: Float[np.ndarray, "resamples params"] = field(repr=False)


def estimate(
    law: Law[X],
    inputs: X,
    log_values: Float[np.ndarray, " rows"],
    cluster: Int[np.ndarray, " rows"],
    bootstrap: int = 0,
    seed: int = 0,
) -> Estimate:
    """Fits any law to the logarithm of what it predicts: log-Huber, the best of many starts, then resamples.

    Args:
        law: the form.
        inputs: what it sees, one entry per row.
        log_values: what was measured.
        cluster: rows that share a number are resampled together.
        bootstrap: resamples of whole clusters.
        seed: of the resampling.
    """
    best = best_of_starts(law, inputs, log_values, np.ones(len(log_values)))
    theta = best.value[0]
    samples = np.zeros((0, len(theta)))
    if bootstrap:
        weights = resample_weights(cluster, bootstrap, seed)
        starts = np.repeat(theta[None], bootstrap, axis=0)
        samples = minimise(law, inputs, log_values, weights, starts, tolerance=_RESAMPLE_TOLERANCE).value
    converged = bool(best.status[0] == SolverStatus.CONVERGED)
    return Estimate(theta, float(best.stats.objective[0]), converged, samples)


def too_few(law: Law[Inputs], runs: int) -> str:
    """The message that a law cannot be fitted to so few runs."""
    return f"{runs} runs are too few to fit {law.name}: its {len(law.names)} parameters need {len(law.names) + 2}"


def _spread(samples: Float[np.ndarray, " resamples"]) -> float | None:
    """Half the width of the central 68.3 % of draws: a standard deviation that long tails do not move.

    None for a parameter that all samples share: held fixed, at the end of its domain, or without effect.
    """
    low, high = np.quantile(samples, [0.1587, 0.8413])
    return float(high - low) / 2 if high > low else None


def resample_weights(cluster: Int[np.ndarray, " rows"], count: int, seed: int) -> Float[np.ndarray, "count rows"]:
    """Weights (resamples, rows) of the Bayesian bootstrap (Rubin 1981), one exponential draw per cluster.

    Its spread is that of drawing clusters with replacement, but no resample ever lacks a whole budget, which
    with few runs leaves a law undetermined.
    """
    draws = np.random.default_rng(seed).exponential(size=(count, int(cluster.max()) + 1))
    weights: Float[np.ndarray, "count rows"] = draws[:, cluster]
    return weights * (len(cluster) / weights.sum(axis=1, keepdims=True))
