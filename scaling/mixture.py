"""A sweep with mixtures in order: runs on many, one chosen by them and frozen, then targets trained and scored."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from analysis.diagnostics.codes import Diagnostic
from analysis.mixing.choice import Choice, read_choice
from analysis.mixing.choose import choose
from analysis.mixing.reading import read_mixtures
from analysis.mixing.request import ChoiceRequest
from analysis.mixing.score import ChoiceScore, score_choice
from scaling.errors import InputError
from scaling.files import write_text
from scaling.pipeline import ReportProgress, derive_tables, summarise, write_tables
from scaling.planning import expand_tuned
from scaling.sweep.folder.file_names import CHOICE, CHOICE_SCORE, PLAN, SUMMARY
from scaling.sweep.folder.run_folder import ENDED
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.corpus_text import SweepText, epochs_of
from scaling.sweep.plan.evaluation import evaluation_leaks, load_sweep_text
from scaling.sweep.plan.expand import PlannedRun
from scaling.sweep.plan.mixtures import Mixture, SweepMixtures, measured_sources, sweep_mixtures, whole
from scaling.sweep.spec.arrangement import without_arrangement
from scaling.sweep.spec.mixtures import CHOSEN, PROPORTIONAL
from scaling.sweep.spec.sweep_spec import SweepSpec, Target
from scaling.sweep.workers.local import local
from scaling.sweep.workers.supervisor import train_runs
from scaling.sweep.workers.worker_pool import Executor
from scaling.train.config import RunConfig

# Below what the file allows, so that shares in multiples of one in a million stay below it too.
_ALLOWED = 0.999
_REPEATED = 1.05  # epochs


@dataclass(frozen=True)
class MixturePlan:
    """A sweep with mixtures on its text: what it trains, before and after one is chosen.

    Attributes:
        spec: the sweep.
        text: its corpus on this machine.
    """

    spec: SweepSpec
    text: SweepText

    @classmethod
    def load(cls, spec: SweepSpec) -> "MixturePlan":
        """The plan of a sweep; InputError where its text cannot be loaded."""
        return cls(spec, load_sweep_text(spec))

    @cached_property
    def mixtures(self) -> SweepMixtures:
        """The mixtures by name, and those of the design; InputError where they do not suit the corpus."""
        return sweep_mixtures(self.spec, self.text)

    @property
    def target(self) -> Target:
        """The sweep's target."""
        assert self.spec.target is not None
        return self.spec.target

    def runs(self, chosen: Mixture | None = None) -> list[PlannedRun]:
        """Every run, the fitted ones first; those of the target on the chosen mixture only where it is given.

        Raises:
            InputError: as of ``expand``.
        """
        return expand_tuned(self.spec, self.text, self._whole(chosen))[0]

    def on_chosen(self, chosen: Mixture | None = None) -> list[PlannedRun]:
        """The target's runs on the chosen mixture; without one, runs that take as much, on the proportional one."""
        target = self.target.model_copy(update={"mixtures": (CHOSEN,)})
        alone = replace(self, spec=_with_source(self.spec, self.spec.model_copy(update={"target": target})))
        mixture = self.mixtures.named[PROPORTIONAL] if chosen is None else chosen
        return [run for run in alone.runs(mixture) if run.role == "target"]

    def warnings(self) -> Iterator[Diagnostic]:
        """On the text, the recipe, and what the fitted runs can tell of mixtures."""
        for message in evaluation_leaks(self.text):
            yield Diagnostic("evaluation-leak", message)
        runs, warnings = expand_tuned(self.spec, self.text)
        yield from warnings
        fitted = [run.config for run in runs if run.role == "fit"]
        sources = len(self.text.sources)
        tried = {tuple((config.data.mixture or {}).values()) for config in fitted}
        if len(tried) < sources + 2:
            message = f"{len(tried)} different mixtures of {sources} sources: their laws want {sources + 2} or more"
            yield Diagnostic("few-runs", message)
        cells: dict[tuple[int, int], list[RunConfig]] = {}
        for config in fitted:
            cells.setdefault((config.params, config.tokens), []).append(config)
        several = [of for of in cells.values() if len({str(config.data.mixture) for config in of}) > 1]
        if len({round(math.log(of[0].flops), 1) for of in several}) == 1:
            yield Diagnostic(
                "one-scale",
                "mixtures are compared at one amount of compute only: that what they change stays the same up to the "
                "target is a belief; take some at a second one, four times or more apart",
            )
        yield from self._repeated([run for run in runs if self._most(run) > _REPEATED], len(runs))

    def _repeated(self, repeated: Sequence[PlannedRun], of: int) -> Iterator[Diagnostic]:
        if repeated:
            most = max(map(self._most, repeated))
            yield Diagnostic(
                "repeated-data",
                f"{len(repeated)} of {of} runs repeat a source (up to about {most:.2g} epochs): only runs of several "
                "lengths tell what that costs from what its share does",
            )

    def _most(self, run: PlannedRun) -> float:
        """Passes over the source that a run repeats most."""
        config = run.config
        return max(epochs_of(config.data.mixture, self.text, config.tokens, config.model.seq_len).values())

    def request(self) -> ChoiceRequest:
        """What is asked of the fitted runs: a mixture for the target, and within the epochs that the file allows."""
        config = self.on_chosen()[0].config
        mixture = config.data.mixture
        assert mixture is not None
        epochs = epochs_of(mixture, self.text, 1.0, config.model.seq_len)
        objective = self.spec.objective or dict.fromkeys(measured_sources(self.spec, self.text), 1.0)
        return ChoiceRequest(
            params=float(config.params),
            tokens=float(config.tokens),
            flops=float(config.flops),
            objective={name: weight for name, weight in objective.items() if weight},
            most=dict.fromkeys(mixture, self.spec.corpus.epochs * _ALLOWED),
            unique={source: share / epochs[source] for source, share in mixture.items()},
            seeds=len(self.target.seeds),
        )

    def _whole(self, chosen: Mixture | None) -> Mixture | None:
        return None if chosen is None else whole(chosen, tuple(self.text.sources))


def _with_source(spec: SweepSpec, copy: SweepSpec) -> SweepSpec:
    copy._source = spec._source
    return copy


@dataclass(frozen=True)
class MixtureResult:
    """The outcome of a sweep with mixtures.

    Attributes:
        folder: the sweep's folder.
        choice: the mixture, as frozen before the first step of any target.
        score: the choice against the targets' runs; None where these are not trained.
        warnings: of the plan.
    """

    folder: Path
    choice: Choice
    score: ChoiceScore | None
    warnings: tuple[Diagnostic, ...]


@dataclass(frozen=True)
class MixturePipeline:
    """A sweep with mixtures to be carried out in a folder, by an executor's workers; call it again to resume.

    Attributes:
        spec: the sweep.
        source: text of its file, kept beside the results.
        out: its folder.
        workers: number of worker processes, or None for the machine's own number.
        report: called while runs train, with ``fit`` or ``target`` and the progress.
        fork: as of ``SweepPipeline``.
        executor: where the workers run.
    """

    spec: SweepSpec
    source: str
    out: Path
    workers: int | None
    report: ReportProgress
    fork: bool = False
    executor: Executor = local

    @property
    def folder(self) -> SweepFolder:
        """The sweep's folder."""
        return SweepFolder(self.out)

    @cached_property
    def plan(self) -> MixturePlan:
        """What is trained."""
        return MixturePlan.load(self.spec)

    def run(self) -> MixtureResult:
        """Trains the fitted runs, freezes the mixture that they choose, then trains and scores the targets.

        Raises:
            InputError: as of ``SweepPipeline``; fitted runs that determine no choice, after which nothing more is
                trained; or a target that was begun before the choice was frozen.
        """
        folder = self.folder
        self._prepare()
        self._train("fit")
        while (choice := self._freeze()) is None:  # another call has made the sweep larger meanwhile
            self._train("fit")
        self._train("target")
        table = write_tables(folder)
        if not (table.frame.role.eq("target") & table.frame.status.eq("done")).any():
            raise InputError(f"{self.out}: no run of the target ended well, so the choice cannot be scored")
        scored = score_choice(choice, read_mixtures(self.out))
        scored.write(self.out / CHOICE_SCORE)
        write_text(self.out / SUMMARY, json.dumps(summarise(folder, table)))
        from analysis.report import write_report  # late: what draws takes long to import

        write_report(self.out)
        return MixtureResult(self.out, choice, scored, tuple(self.plan.warnings()))

    def choose(self) -> MixtureResult:
        """Trains the fitted runs and chooses the target's mixture; nothing is frozen and no target trained.

        Raises:
            InputError: as of :meth:`run`; also where a choice is frozen already.
        """
        self._prepare()
        if (self.out / CHOICE).exists():
            raise InputError(f"{self.out / CHOICE}: the choice is frozen, and further runs can no longer change it")
        self._train("fit")
        write_tables(self.folder)
        choice = choose(read_mixtures(self.out), self.plan.request())
        return MixtureResult(self.out, choice, None, tuple(self.plan.warnings()))

    def _prepare(self) -> None:
        folder = self.folder
        with folder.locked():
            frozen = self._frozen()
            if frozen is not None and self._unchanged():
                self._prepare_chosen(frozen.shares)
            else:
                if frozen is None and not self.fork and (self.out / PLAN).exists():
                    self._refuse_begun(folder.runs("target"))
                runs = self.plan.runs()
                folder.prepare(self.spec.canonical(), self.source, runs, may_grow=frozen is None, fork=self.fork)

    def _unchanged(self) -> bool:
        """Whether the folder holds this sweep, and not one that it would have to fork from."""
        return without_arrangement(self.folder.sweep()) == without_arrangement(self.spec.canonical())

    def _prepare_chosen(self, chosen: Mapping[str, float]) -> None:
        """Adds the target's runs on the frozen mixture to the folder's plan, if they are not in it."""
        folder, runs = self.folder, self.plan.runs(chosen)
        grown = {run.id for run in runs} <= set(folder.runs())
        folder.prepare(self.spec.canonical(), self.source, runs, may_grow=not grown)

    def _frozen(self) -> Choice | None:
        """The choice, if it is frozen already.

        Raises:
            InputError: it is of other sources, or was changed.
        """
        path = self.out / CHOICE
        if not path.exists():
            return None
        frozen = read_choice(path)
        if set(frozen.shares) != set(self.plan.text.sources):
            raise InputError(f"{path}: is frozen, and a mixture of {', '.join(frozen.shares)}; choose another `out`")
        return frozen

    def _freeze(self) -> Choice | None:
        """The choice, made now or by another call before, and its runs planned; None while fitted runs are left."""
        folder = self.folder
        with folder.locked():
            if not {run.id for run in self.plan.runs()} <= set(folder.runs()):
                raise InputError(f"{self.out}: another `scaling run` has given it another sweep meanwhile")
            choice = self._frozen()
            if choice is None:
                self._refuse_begun(folder.runs("target"))
                if any(folder.run(run_id).status()["state"] not in ENDED for run_id in folder.runs("fit")):
                    return None
                derive_tables(folder)
                choice = choose(read_mixtures(self.out), self.plan.request())
                self._refuse_begun([run.id for run in self.plan.on_chosen(choice.shares)])
                choice.freeze(self.out / CHOICE)
            self._prepare_chosen(choice.shares)  # also of a call that has ended between the two
            return choice

    def _refuse_begun(self, ids: Sequence[str]) -> None:
        begun = [run_id for run_id in ids if self.folder.run(run_id).status()["state"] != "planned"]
        if begun:
            raise InputError(
                f"{self.out}: run {begun[0]} of the target has begun but there is no {CHOICE}; it cannot be made "
                "afterwards"
            )

    def _train(self, role: str) -> None:
        folder = self.folder
        train_runs(folder, role, self.workers, lambda progress: self.report(role, progress), self.executor)
