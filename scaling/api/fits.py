"""Fits of laws to tables of runs, and laws with a paper's constants."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from analysis.allocation.estimate import SurfaceEstimate, estimate_surface, published_surface
from analysis.allocation.split import AllocationProblem
from analysis.diagnostics.codes import Diagnostic
from analysis.fitting import published as papers
from analysis.fitting.annealing import AnnealingFit, fit_annealing
from analysis.fitting.fit import FitResult
from analysis.fitting.fit import fit as fit_law
from analysis.forecasting.ensemble import AUTO, Ensemble, ensemble
from analysis.laws import Inputs
from analysis.result import Result
from analysis.runs.arrays import inputs_at, training_cost
from analysis.runs.curves import read_curves
from analysis.runs.table import RunTable
from scaling.api.tables import Runs, read_runs
from scaling.errors import InputError


@dataclass(frozen=True, eq=False)
class Fit(Result):
    """A fitted law or, of ``auto``, several with their weights.

    Attributes:
        law: its name; of several, the one with the largest weight.
        fits: each law's fit, by name.
        warnings: about the table and the fits.
        table: the runs; None for a paper's constants.
        paper: the name of a paper's constants; None for a table.
        ensemble: the laws with their weights; None for one law.
    """

    law: str
    fits: Mapping[str, FitResult]
    warnings: tuple[Diagnostic, ...]
    table: RunTable | None
    paper: str | None = None
    ensemble: Ensemble | None = None

    @property
    def params(self) -> Mapping[str, float]:
        """The law's parameters by name."""
        return self.fits[self.law].params

    @property
    def stderr(self) -> Mapping[str, float | None]:
        """The parameters' standard errors by name; None where they are not known."""
        return self.fits[self.law].stderr

    @property
    def weights(self) -> Mapping[str, float]:
        """Each law's weight; together 1."""
        return {self.law: 1.0} if self.ensemble is None else self.ensemble.weights

    def predict(
        self, *, params: ArrayLike, tokens: ArrayLike, flops: ArrayLike | None = None
    ) -> float | np.ndarray[Any, np.dtype[np.float64]]:
        """The loss in nats per token; of several laws, their weighted one.

        Args:
            params: one number or an array, counted as in the table.
            tokens: likewise, of one shape with the parameters or one that broadcasts to it.
            flops: likewise; by default what the table's runs nearest in size need per parameter and token.

        Returns:
            A number for numbers, otherwise an array of the arguments' common shape.
        """
        n, d = np.broadcast_arrays(np.asarray(params, float), np.asarray(tokens, float))
        if flops is None:
            each = 6.0 if self.table is None else training_cost(self.table.arrays.inputs, np.log(n.ravel()))
            flops = n * d * np.reshape(each, n.shape if np.ndim(each) else ())
        c = np.broadcast_to(np.asarray(flops, float), n.shape)
        loss = self._losses(inputs_at(n.ravel(), d.ravel(), c.ravel())).reshape(n.shape)
        return loss if loss.ndim else float(loss)

    def _losses(self, inputs: Inputs) -> np.ndarray[Any, np.dtype[np.float64]]:
        return self.fits[self.law].predict(inputs) if self.ensemble is None else self.ensemble.expect(inputs)

    def N_opt(self, flops: float) -> float:
        """Parameters of the compute-optimal model for a training budget, as ``allocate`` finds it.

        Args:
            flops: the budget, counted as in the table; tokens follow from it and the parameters.

        Raises:
            InputError: if the law does not tell parameters from tokens, or has no best split.
        """
        best = AllocationProblem(self._estimate.surface).best_split(float(np.log(flops)))
        if not best.inside:
            raise InputError(f"{self.law}: this fit has no best split of {flops:.3g} FLOPs")
        return float(np.exp(best.n))

    @cached_property
    def _estimate(self) -> SurfaceEstimate:
        if self.table is None:
            assert self.paper is not None
            return published_surface(self.paper)
        return estimate_surface(self.table, self.law if self.ensemble is None else AUTO, fitted=self.ensemble)

    def __str__(self) -> str:
        if self.ensemble is None:
            return str(self.fits[self.law])
        ranked = sorted(self.weights.items(), key=lambda pair: -pair[1])
        return "\n\n".join(f"{self.fits[name]}\nweight      {weight:.0%}" for name, weight in ranked)

    def to_dict(self) -> dict[str, Any]:
        found = self.fits[self.law].to_dict()
        if self.ensemble is None:
            return found
        warnings = [warning.to_dict() for warning in self.warnings]
        return {**found, "warnings": warnings, "weights": dict(self.weights), "laws": self.ensemble.to_dict()}

    def to_frame(self) -> pd.DataFrame:
        """One row per law and parameter: ``weight``, ``value``, ``stderr``."""
        parts = {name: each.to_frame() for name, each in self.fits.items()}
        frame = pd.concat(parts, names=["law"])
        frame.insert(0, "weight", frame.index.get_level_values("law").map(dict(self.weights)))
        return frame


def fit(
    runs: Runs,
    *,
    law: str = AUTO,
    bootstrap: int = 1000,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
    best: bool = False,
) -> Fit:
    """Fits a law to a table of runs, or with ``auto`` every law that suits them: log-Huber, the best of many starts.

    Args:
        runs: the runs; see :func:`read_runs`, also for ``where``, ``columns`` and ``best``. Of a sweep's folder the
            loss curves are checked too.
        law: a name in ``laws.LAWS``, or ``auto``.
        bootstrap: resamples of whole trunks, for the standard errors; 0 for none.

    Raises:
        InputError: for an unknown law, or fewer runs than parameters + 2.
    """
    table = read_runs(runs, where=where, columns=columns, best=best)
    if law != AUTO:
        result = fit_law(table, law, bootstrap)
        return Fit(law, {law: result}, result.warnings, table)
    together = ensemble(table, AUTO, bootstrap)
    beside = _off_curve(Path(runs), table) if isinstance(runs, str | Path) else ()
    return Fit(together.leader.law, together.fits, (*together.warnings, *beside), table, ensemble=together)


def _off_curve(place: Path, table: RunTable) -> tuple[Diagnostic, ...]:
    """Which runs of a sweep's folder leave the others' loss curve."""
    if not place.is_dir():
        return ()
    from analysis.report.findings import off_curve  # late: imports what draws

    return off_curve(place, table)


def fit_curves(
    curves: str | Path,
    *,
    bootstrap: int = 1000,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> AnnealingFit:
    """Fits the law of learning-rate annealing (2503.12811) to whole loss curves of one model.

    Args:
        curves: a sweep's folder, or a table of ``run_id step lr loss``.
        bootstrap: resamples of whole runs, for the standard errors.
        where, columns: as for :func:`read_runs`.

    Raises:
        InputError: for a table that holds no curves, or too few of them.
    """
    return fit_annealing(read_curves(curves, columns, where), bootstrap)


def published(name: str) -> Fit:
    """A law with a paper's constants; ``allocate`` takes its name too, as ``published:NAME``.

    Args:
        name: such as ``chinchilla-epoch``.

    Raises:
        InputError: with the closest name, if there is none.
    """
    found = papers.published(name)
    return Fit(found.law, {found.law: found}, found.warnings, None, paper=name)
