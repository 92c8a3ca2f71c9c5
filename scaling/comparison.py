"""The contenders of a file in order: all fitted, their comparison frozen, then each target trained and scored."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from analysis.comparing.compare import CompareRequest, compare
from analysis.comparing.comparison import Comparison, Point, read_comparison
from analysis.comparing.contenders import Contender
from analysis.comparing.score import ComparisonScore, score_comparison
from analysis.diagnostics.codes import Diagnostic
from analysis.forecasting.forecast import Forecast, forecast, read_forecast
from analysis.forecasting.score import Score, score
from analysis.runs.table import RunTable, read_table
from scaling.errors import InputError
from scaling.files import write_text
from scaling.pipeline import summarise, write_tables
from scaling.planning import plan_with_warnings
from scaling.sweep.contenders.comparable import check_comparable, loss_column, order_warnings
from scaling.sweep.contenders.contenders_file import Contenders
from scaling.sweep.folder.file_names import COMPARISON, COMPARISON_SCORE, FORECAST, REFUSED, SCORE, SUMMARY
from scaling.sweep.folder.parts import Parts, write_parts
from scaling.sweep.folder.progress import SweepProgress
from scaling.sweep.folder.run_folder import ENDED
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.expand import PlannedRun
from scaling.sweep.storage.origin import is_mirror
from scaling.sweep.workers.local import local
from scaling.sweep.workers.supervisor import train_runs
from scaling.sweep.workers.worker_pool import Executor

Plans = Mapping[str, list[PlannedRun]]


def plan_contenders(contenders: Contenders) -> tuple[Plans, tuple[Diagnostic, ...]]:
    """The planned runs of every contender by its name, the fitted ones first, and warnings.

    Raises:
        InputError: an impossible run, two contenders of the same runs, or losses that do not compare.
    """
    plans: dict[str, list[PlannedRun]] = {}
    found: list[tuple[str, Diagnostic]] = []
    errors: dict[str, list[str]] = {}
    for name, spec in contenders.contenders.items():
        try:
            plans[name], warnings = plan_with_warnings(spec)
        except InputError as error:
            for line in error.errors:
                errors.setdefault(line, []).append(name)
        else:
            found += [(name, warning) for warning in warnings]
    if errors:
        every = len(contenders.contenders)
        raise InputError(
            line if len(names) == every else f"{line} (of {', '.join(names)})" for line, names in errors.items()
        )
    check_comparable(contenders, plans)
    orders = (Diagnostic("other-order", message) for message in order_warnings(plans))
    return plans, (*by_contender(found), *orders)


def by_contender(found: list[tuple[str, Diagnostic]]) -> Iterator[Diagnostic]:
    """Warnings of contenders, each once and with their names."""
    names: dict[Diagnostic, list[str]] = {}
    for name, warning in found:
        names.setdefault(warning, []).append(name)
    for warning, of in names.items():
        yield replace(warning, message=f"{', '.join(dict.fromkeys(of))}: {warning.message}")


@dataclass(frozen=True)
class ContenderResult:
    """What a contender came to.

    Attributes:
        name: of the contender.
        folder: its folder.
        forecast: of its own target, frozen before that's first step; None where its runs do not suffice for one.
        score: the forecast against the target's runs.
        reason: why there is no forecast; None otherwise.
    """

    name: str
    folder: Path
    forecast: Forecast | None
    score: Score | None
    reason: str | None


@dataclass(frozen=True)
class ComparisonResult:
    """The outcome of a comparison.

    Attributes:
        folder: with a folder of each contender.
        contenders: what each came to, in order.
        comparison: as frozen before the first step of any target.
        score: the comparison against the targets' runs.
        warnings: of the plan.
    """

    folder: Path
    contenders: tuple[ContenderResult, ...]
    comparison: Comparison
    score: ComparisonScore
    warnings: tuple[Diagnostic, ...]


@dataclass(frozen=True)
class ComparisonPipeline:
    """Contenders to be carried out in a folder, by an executor's workers; call it again to resume.

    Attributes:
        contenders: the sweeps.
        source: text of their file, kept beside the results.
        out: the folder; each contender has its own below.
        workers: number of worker processes, or None for the machine's own number.
        report: called while runs train, with the contender and role, and the progress.
        fork: as of ``SweepPipeline``; not once the comparison is frozen.
        executor: where the workers run.
    """

    contenders: Contenders
    source: str
    out: Path
    workers: int | None
    report: Callable[[str, SweepProgress], None]
    fork: bool = False
    executor: Executor = local

    @cached_property
    def planned(self) -> tuple[Plans, tuple[Diagnostic, ...]]:
        """Every run of every contender by its name, and warnings; see :func:`plan_contenders`."""
        return plan_contenders(self.contenders)

    def run(self) -> ComparisonResult:
        """Trains all fitted runs, freezes the comparison and the forecasts, then trains and scores the targets.

        Raises:
            InputError: as of ``SweepPipeline``; fitted runs that do not compare; or a target that was begun before the
                comparison was frozen.
        """
        if is_mirror(self.out):
            raise InputError("contenders need an `out` on a disk, not in shared storage")
        _, warnings = self.planned
        self._prepare()
        for name in self._names:
            self._train(name, "fit")
        comparison = self._freeze_comparison()
        for name in self._names:
            self._freeze_forecast(name)
        for name in self._names:
            self._train(name, "target")
        results = tuple(self._finish(name) for name in self._names)
        scored = score_comparison(comparison, {name: self._table(name) for name in self._names})
        scored.write(self.out / COMPARISON_SCORE)
        from analysis.report import write_report  # late: what draws takes long to import

        write_report(self.out)
        return ComparisonResult(self.out, results, comparison, scored, warnings)

    def folder(self, name: str) -> SweepFolder:
        """The folder of a contender."""
        return SweepFolder(self.out / name)

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(self.contenders.contenders)

    def _prepare(self) -> None:
        plans, _ = self.planned
        frozen = self._frozen()
        if frozen is not None and self.fork:
            raise InputError(
                f"{self.out / COMPARISON}: the comparison is frozen, and a fork would be of other runs; "
                "choose another `out`"
            )
        for name, spec in self.contenders.contenders.items():
            folder = self.folder(name)
            with folder.locked():
                folder.prepare(spec.canonical(), self.source, plans[name], may_grow=frozen is None, fork=self.fork)
        write_parts(self.out, self.contenders.name, Parts("contender", self._names))

    def _frozen(self) -> Comparison | None:
        """The comparison, if it is frozen already.

        Raises:
            InputError: it is of other contenders or by another loss, or was changed.
        """
        path = self.out / COMPARISON
        if not path.exists():
            return None
        frozen = read_comparison(path)
        if set(frozen.contenders) != set(self._names):
            raise InputError(f"{path}: is frozen, and of {', '.join(frozen.contenders)}; choose another `out`")
        if (frozen.columns or {}) != (self._columns or {}):
            column = (frozen.columns or {}).get("loss", "loss")
            raise InputError(f"{path}: is frozen, and compares by {column}; choose another `out`")
        return frozen

    @property
    def _columns(self) -> dict[str, str] | None:
        """Which column of the tables is the loss that is compared; None where it is ``loss``."""
        column = loss_column(self.contenders, self.planned[0])
        return None if column == "loss" else {"loss": column}

    def _train(self, name: str, role: str) -> None:
        folder = self.folder(name)
        train_runs(folder, role, self.workers, lambda progress: self.report(f"{name} {role}", progress), self.executor)
        write_tables(folder)

    def _table(self, name: str) -> RunTable:
        """A contender's runs, with the loss that is compared."""
        return read_table(self.out / name, columns=self._columns)

    def _targets(self, name: str) -> list[PlannedRun]:
        return [run for run in self.planned[0][name] if run.role == "target"]

    def _freeze_comparison(self) -> Comparison:
        """Compares the contenders at their targets, before the first step of any; nothing is frozen that is frozen."""
        with self.folder(self._names[0]).locked():
            frozen = self._frozen()
            if frozen is not None:
                return frozen
            for name in self._names:
                self._refuse_begun(name, COMPARISON)
            configs = {name: self._targets(name)[0].config for name in self._names}
            request = CompareRequest(
                targets={
                    name: Point(float(config.params), float(config.tokens), float(config.flops))
                    for name, config in configs.items()
                },
                seeds=min(len(self._targets(name)) for name in self._names),
            )
            made = compare([Contender(name, self._table(name)) for name in self._names], request)
            return made.freeze(self.out / COMPARISON)

    def _refuse_begun(self, name: str, missing: str) -> None:
        """Refuses a target that has begun before what should have been made of the fitted runs, all of them ended."""
        folder = self.folder(name)
        begun = [run.id for run in self._targets(name) if folder.run(run.id).status()["state"] != "planned"]
        if begun:
            raise InputError(
                f"{folder.path}: run {begun[0]} of the target has begun but there is no {missing}; it cannot be made "
                "afterwards"
            )
        if any(folder.run(run_id).status()["state"] not in ENDED for run_id in folder.runs("fit")):
            raise InputError(f"{folder.path}: its fitted runs have not all ended; run again")

    def _freeze_forecast(self, name: str) -> None:
        """Freezes the forecast of a contender's target, or the reason why there is none, before its first step."""
        folder = self.folder(name)
        with folder.locked():
            if any((folder.path / file).exists() for file in (FORECAST, REFUSED)):
                return
            self._refuse_begun(name, FORECAST)
            targets = self._targets(name)
            config = targets[0].config
            try:
                made = forecast(
                    read_table(folder.path),
                    config.params,
                    config.tokens,
                    flops=float(config.flops),
                    target_seeds=len(targets),
                )
                made.freeze(folder.path / FORECAST)
            except InputError as error:
                # The contenders may compare all the same: the reason is kept, and no score of it follows.
                write_text(folder.path / REFUSED, json.dumps({"errors": list(error.errors)}))

    def _finish(self, name: str) -> ContenderResult:
        """Scores the forecast of a contender's trained target, and writes its report."""
        folder = self.folder(name)
        table = write_tables(folder)
        if not (table.frame.role.eq("target") & table.frame.status.eq("done")).any():
            raise InputError(f"{folder.path}: no run of the target ended well, so the comparison cannot be scored")
        frozen, reason, result = None, None, None
        if (folder.path / FORECAST).exists():
            frozen = read_forecast(folder.path / FORECAST)
            result = score(frozen, table)
            result.write(folder.path / SCORE)
        else:
            reason = "; ".join(json.loads((folder.path / REFUSED).read_bytes())["errors"])
        write_text(folder.path / SUMMARY, json.dumps(summarise(folder, table)))
        from analysis.report import write_report  # late: what draws takes long to import

        write_report(folder.path)
        return ContenderResult(name, folder.path, frozen, result, reason)
