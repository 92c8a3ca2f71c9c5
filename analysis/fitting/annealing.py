"""Learning-rate annealing over whole loss curves: the multi-power law (2503.12811).

For learning rates eta_1, eta_2, ... the paper's law is

    L(t) = L0 + A S(t)^-alpha - B sum_k (eta_{k-1} - eta_k) G(eta_k^-gamma S_k(t)),    G(x) = 1 - (1 + C x)^-beta

where S(t) is the sum of the rates up to step t, warm-up included, and S_k(t) the part of it since step k. The rates
that were given up add to the present one to make the first, eta_0, so with E = L0 - B eta_0 it is the same as

    L(t) = E + A S(t)^-alpha + B (eta_t + sum_k (eta_{k-1} - eta_k) (1 + C eta_k^-gamma S_k(t))^-beta)

which is fitted: every coefficient is positive and enters linearly, E is what remains when the rate has been annealed
to nothing, and runs of several peak rates share it. The sum is taken over parts of the schedule rather than single
steps, 32 for a decay to nothing, which moves the loss by less than 2e-4 of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.fitting.annealing_inputs import AnnealingInputs, inputs_of_schedule, stacked
from analysis.fitting.fit import estimate
from analysis.fitting.law_fit import FitStatus, LawFit
from analysis.laws.law import Law, Losses, Parameters, Partials
from analysis.runs.curves import Curve, CurveTable, LoggedSchedule

ANNEALING = "annealing"
_MOST_ROWS = 100  # of each curve, after averaging neighbours
_AT_ONCE = 1_000_000  # batch x rows x parts held in memory


def _annealing(p: Parameters, x: AnnealingInputs) -> tuple[Losses, Partials]:
    e, a, b, c, alpha, beta, gamma = p
    annealed = _annealed(c, beta, gamma, x)
    floor, size = np.exp(e), np.exp(b)
    descent = np.exp(a - alpha * x.log_work)
    left, by_c, by_beta, by_gamma = (size * part for part in annealed)
    return floor + descent + left, (floor, descent, left, by_c, -x.log_work * descent, by_beta, by_gamma)


def _annealed(
    c: Float[np.ndarray, "batch 1"],
    beta: Float[np.ndarray, "batch 1"],
    gamma: Float[np.ndarray, "batch 1"],
    x: AnnealingInputs,
) -> tuple[Losses, Losses, Losses, Losses]:
    """eta_t + sum of drops (1 + C eta^-gamma S)^-beta, and its derivatives by log C, beta and gamma."""
    value, by_c, by_beta, by_gamma = (np.zeros((len(beta), len(x.rate))) for _ in range(4))
    size = max(1, _AT_ONCE // max(1, x.drop.size))
    for i in range(0, len(beta), size):
        rows = slice(i, i + size)
        power = beta[rows, :, None]
        scaled = np.exp(c[rows, :, None] - gamma[rows, :, None] * x.log_at) * x.since
        log_one = np.log1p(scaled)
        left = x.drop * np.exp(-power * log_one)
        slope = -power * left * scaled / (1 + scaled)
        value[rows] = x.rate + left.sum(axis=-1)
        by_beta[rows] = -(left * log_one).sum(axis=-1)
        by_gamma[rows] = -(slope * x.log_at).sum(axis=-1)
        by_c[rows] = slope.sum(axis=-1)
    return value, by_c, by_beta, by_gamma


LAW: Law[AnnealingInputs] = Law(
    name=ANNEALING,
    formula="E + A / S^alpha + B (lr + sum of drops in lr x (1 + C lr^-gamma S_since)^-beta)",
    source="2503.12811; its L0 is E + B x peak lr",
    needs=("step", "lr", "loss"),
    names=("E", "A", "B", "C", "alpha", "beta", "gamma"),
    logs=frozenset("EABC"),
    # In units of the largest rate and sum of rates fitted, in which these are near 1.
    starts={"C": (3.0, 30.0, 300.0), "alpha": (0.2, 0.5, 1.0), "beta": (0.3, 0.6, 1.2), "gamma": (0.0, 0.3, 0.7, 1.1)},
    domains={"C": (1e-3, 1e6), "alpha": (0.0, 4.0), "beta": (0.05, 2.0), "gamma": (0.0, 2.0)},
    function=_annealing,
)


@dataclass(frozen=True)
class AnnealingFit(LawFit):
    """The multi-power law fitted to curves of one model.

    Attributes:
        params: by name, in units of a step and of the learning rate as given.
        stderr: standard errors from resampling whole runs; None with fewer than three, without resamples, or at the end
            of a parameter's domain.
        objective: sum of Huber terms of the log loss (delta 1e-3) over the averaged rows.
        status: how the search ended.
        n_runs: curves fitted.
        warnings: about the curves and the fit.
        table_hash: of the curves.
        residual: root-mean-square error of the log loss inside the fit.
        at_edge: the parameters at the edge of the search, which the curves do not determine.
    """

    params: Mapping[str, float]
    stderr: Mapping[str, float | None]
    objective: float
    status: FitStatus
    n_runs: int
    warnings: tuple[Diagnostic, ...]
    table_hash: str
    residual: float
    at_edge: tuple[str, ...] = ()
    law: str = field(default=ANNEALING, init=False)
    convention: str = field(default="S sums the learning rate over steps, warm-up included", init=False)

    def predict(self, schedule: LoggedSchedule, step: Float[np.ndarray, " steps"]) -> Float[np.ndarray, " steps"]:
        """Loss along a schedule, shape (steps,), nats per token; meaningless before the end of its warm-up.

        Raises:
            InputError: for a step at or before 0.
        """
        if not (step > 0).all():
            raise InputError("a loss is predicted at steps after 0")
        return LAW.predict(dict(self.params), inputs_of_schedule(schedule, step))

    @property
    def form(self) -> Law[AnnealingInputs]:
        """The multi-power law."""
        return LAW


def fit_annealing(table: CurveTable, bootstrap: int = 1000, seed: int = 0) -> AnnealingFit:
    """Fits the law to curves: log-Huber (2203.15556) over the part of each after warm-up, averaged to 100 rows.

    Args:
        table: the curves.
        bootstrap: resamples of whole runs, for the standard errors.
        seed: of the resampling.

    Raises:
        InputError: if too little is left after warm-up, or no rate was ever lowered.
    """
    curves = [curve.settled().averaged(_MOST_ROWS) for curve in table.curves]
    rows = sum(len(curve.step) for curve in curves)
    needed = len(LAW.names) + 2
    if rows < needed:
        raise InputError(f"{rows} rows after warm-up are too few to fit {ANNEALING}: its parameters need {needed}")
    inputs = stacked([inputs_of_schedule(curve.schedule, curve.step) for curve in curves if len(curve.step)])
    if not (inputs.drop > 0).any():
        raise InputError("no curve lowers its learning rate after warm-up: what annealing yields cannot be learned")
    log_loss = np.log(np.concatenate([curve.loss for curve in curves]))
    cluster: Int[np.ndarray, " rows"] = np.repeat(np.arange(len(curves)), [len(c.step) for c in curves])
    rate, work = float(inputs.rate.max()), float(np.exp(inputs.log_work.max()))
    # Two runs do not show how much a third would differ.
    draws = bootstrap if len(curves) >= 3 else 0
    reduced = inputs.scaled(rate, work)
    found = estimate(LAW, reduced, log_loss, cluster, draws, seed)
    params = dict(zip(LAW.names, _natural(found.theta[None], rate, work)[0].tolist(), strict=True))
    spread = _natural(found.samples, rate, work)
    low, high = np.quantile(spread, [0.1587, 0.8413], axis=0) if draws else (np.zeros(7), np.zeros(7))
    edge = LAW.at_edge(found.theta)
    status = FitStatus.AT_EDGE if edge else FitStatus.CONVERGED
    residual = np.log(LAW.evaluate(found.theta[None], reduced)[0][0]) - log_loss
    return AnnealingFit(
        params=params,
        stderr={name: float(high[i] - low[i]) / 2 or None for i, name in enumerate(LAW.names)},
        objective=found.objective,
        status=status if found.converged else FitStatus.ITERATIONS,
        n_runs=len(curves),
        warnings=tuple(_warnings(curves, edge)),
        table_hash=table.hash(),
        residual=float(np.sqrt(np.mean(residual**2))),
        at_edge=edge,
    )


def _natural(theta: Float[np.ndarray, "batch params"], rate: float, work: float) -> Float[np.ndarray, "batch params"]:
    """Parameters in units of the learning rate as given, from those in units of a rate and a sum of rates."""
    shift = np.zeros_like(theta)
    alpha, gamma = theta[:, 4], theta[:, 6]
    shift[:, 1] = alpha * np.log(work)
    shift[:, 2] = -np.log(rate)
    shift[:, 3] = gamma * np.log(rate) - np.log(work)
    return LAW.reported(theta + shift)


def _warnings(curves: Sequence[Curve], edge: tuple[str, ...]) -> Iterator[Diagnostic]:
    # A schedule's shape: the rate at even shares of its steps, as a share of its peak.
    shares = np.linspace(0.1, 1.0, 10)
    shapes = {
        tuple(np.round(c.schedule.rate_at(shares * c.schedule.step[-1]) / c.schedule.rate.max(), 1)) for c in curves
    }
    if len(shapes) == 1:
        yield Diagnostic(
            "few-runs",
            "all curves follow one shape of schedule, so what another would yield is hardly known: "
            "add a run at constant rate, or one that decays elsewhere",
        )
    if stuck := [name for name in ("beta", "gamma") if name in edge]:
        yield Diagnostic(
            "at-the-edge",
            f"{' and '.join(stuck)} lie at the edge of the search: the schedules do not show how fast "
            "the loss follows a lower rate; add one that decays differently",
        )
