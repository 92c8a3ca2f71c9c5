"""The stages of a chain in order: each fitted and its forecast frozen, then each target trained and scored."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.forecasting.forecast import Forecast, forecast, read_forecast
from analysis.forecasting.score import Score, score
from analysis.rewards.forecasting import (
    RewardForecast,
    RewardScore,
    forecast_rewards,
    read_reward_forecast,
    score_rewards,
)
from analysis.rewards.reading import rewards_of as reward_table
from analysis.runs.table import read_table
from scaling.errors import InputError
from scaling.files import write_parquet, write_text
from scaling.posttrain.config import StageConfig
from scaling.sweep.folder.file_names import FORECAST, REFUSED, REWARDS, SAMPLES, SCORE, TABLE
from scaling.sweep.folder.parts import Parts, write_parts
from scaling.sweep.folder.progress import SweepProgress
from scaling.sweep.folder.run_folder import ENDED
from scaling.sweep.folder.stage_table import rewards_of, samples_of
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.configs import Planned
from scaling.sweep.stages.chain_file import Chain, ChainStage
from scaling.sweep.stages.expand import expand_chain
from scaling.sweep.storage.origin import is_mirror
from scaling.sweep.workers.local import local
from scaling.sweep.workers.supervisor import train_runs
from scaling.sweep.workers.worker_pool import Executor

AnyForecast: TypeAlias = Forecast | RewardForecast
AnyScore: TypeAlias = Score | RewardScore
# Stages whose losses are forecast, as those of pre-training; of the others what is forecast is the reward.
_OF_LOSS = ("sft", "reward")


@dataclass(frozen=True)
class StageResult:
    """What a stage came to.

    Attributes:
        name: of the stage.
        folder: its folder.
        forecast: as frozen before the target's first step; None without a target.
        score: the forecast against the target's runs.
        reason: why there is no forecast of a target; None otherwise.
    """

    name: str
    folder: Path
    forecast: AnyForecast | None
    score: AnyScore | None
    reason: str | None = None


@dataclass(frozen=True)
class ChainPipeline:
    """A chain to be carried out in a folder, by an executor's workers; call it again to resume.

    Attributes:
        chain: the stages.
        source: text of its file, kept beside the results.
        out: the chain's folder; each stage has its own below.
        workers: number of worker processes, or None for the machine's own number.
        report: called while runs train, with the stage and role, and the progress.
        only: names of the stages to carry out, from models that are there already; all without any.
        fork: as of ``SweepPipeline``.
        executor: where the workers run.
    """

    chain: Chain
    source: str
    out: Path
    workers: int | None
    report: Callable[[str, SweepProgress], None]
    only: Sequence[str] = ()
    fork: bool = False
    executor: Executor = local

    @cached_property
    def plan(self) -> dict[str, list[Planned]]:
        """Every run of every stage, by the stage's name.

        Raises:
            InputError: an impossible run.
        """
        return expand_chain(self.chain)

    def run(self) -> list[StageResult]:
        """Trains the fitted runs of every stage and freezes its forecast, then trains, scores and reports the targets.

        A target is trained earlier if the fitted runs of a later stage begin from it.

        Raises:
            InputError: as of ``SweepPipeline``, and for an ``only`` that is no stage.
        """
        unknown = [name for name in self.only if self.chain.stage(name) is None]
        if unknown:
            known = ", ".join(stage.name for stage in self.chain.stages)
            raise InputError(f"`only`: there is no stage {unknown[0]}; there are {known}")
        if is_mirror(self.out):
            raise InputError("a chain of stages needs an `out` on a disk, not in shared storage")
        stages = [stage for stage in self.chain.stages if not self.only or stage.name in self.only]
        self._prepare(stages)
        for stage in stages:
            for name in self._needed(stage.name, "fit"):
                self._train(name, "target")
            self._train(stage.name, "fit")
            self._freeze(stage.name)
        results = [self._finish(stage.name) for stage in stages]
        from analysis.report import write_report  # late: what draws takes long to import

        write_report(self.out)
        return results

    def folder(self, name: str) -> SweepFolder:
        """The folder of a stage."""
        return SweepFolder(self.out / name)

    def _prepare(self, stages: Sequence[ChainStage]) -> None:
        arrangement = self.chain.head.arrangement.model_dump(mode="json", exclude_none=True)
        for stage in stages:
            folder, content = self.folder(stage.name), stage.spec.model_dump(mode="json", exclude_none=True)
            canonical = {**content, **arrangement, "name": f"{self.chain.head.name}-{stage.name}"}
            with folder.locked():
                folder.prepare(canonical, self.source, self.plan[stage.name], may_grow=True, fork=self.fork)
        names = tuple(stage.name for stage in self.chain.stages)
        write_parts(self.out, self.chain.head.name, Parts("stage", names))

    def _needed(self, name: str, role: str) -> list[str]:
        """Earlier stages with a target that runs of a role use, in order."""
        used = {
            source.id
            for run in self.plan[name]
            if run.role == role and isinstance(run.config, StageConfig)
            for source in run.config.sources.values()
        }
        return [
            stage.name
            for stage in self.chain.stages
            if stage.name != name and any(run.id in used and run.role == "target" for run in self.plan[stage.name])
        ]

    def _train(self, name: str, role: str) -> None:
        folder = self.folder(name)
        if not any(run.role == role for run in self.plan[name]):
            return
        if role == "target" and not self._settled(name):
            raise InputError(f"{folder.path}: its target is needed, and its forecast is not frozen yet; run it first")
        train_runs(folder, role, self.workers, lambda progress: self.report(f"{name} {role}", progress), self.executor)
        self._write_tables(name)

    def _forecasts(self, name: str) -> bool:
        """Whether a stage has a target to forecast."""
        return any(run.role == "target" for run in self.plan[name])

    def _write_tables(self, name: str) -> None:
        """Rebuilds the tables of a stage from its run folders."""
        folder = self.folder(name)
        with folder.locked():
            runs = folder.table()
            write_parquet(folder.path / TABLE, self._with_proxies(runs))
            rewards = rewards_of(folder.ended())
            if not rewards.empty:
                write_parquet(folder.path / REWARDS, rewards)
                write_text(folder.path / SAMPLES, json.dumps(samples_of(folder.ended()), ensure_ascii=False))

    def _with_proxies(self, runs: pd.DataFrame) -> pd.DataFrame:
        """A table of runs with ``reward_loss`` and ``reward_accuracy`` of the reward models that the runs followed."""
        if "reward_run" not in runs:
            return runs
        tables = [self.folder(stage.name).path / TABLE for stage in self.chain.stages]
        known = pd.concat([pd.read_parquet(table) for table in tables if table.exists()] or [pd.DataFrame()])
        if "run_id" not in known or "accuracy" not in known:
            return runs
        proxies = known.set_index("run_id")[["loss", "accuracy"]].add_prefix("reward_")
        return runs.join(proxies, on="reward_run")

    def _freeze(self, name: str) -> None:
        """Freezes the forecast of a stage's target, or the reason why there is none, before its first step."""
        folder, path = self.folder(name), self.out / name / FORECAST
        if not self._forecasts(name) or self._settled(name):
            return
        targets = [run for run in self.plan[name] if run.role == "target"]
        begun = [run.id for run in targets if folder.run(run.id).status()["state"] != "planned"]
        begun += [other for other in self._proxies(targets) if self._state(other) != "planned"]
        if begun:
            raise InputError(f"{folder.path}: run {begun[0]} of the target has begun, and there is no {FORECAST}")
        if any(folder.run(run_id).status()["state"] not in ENDED for run_id in folder.runs("fit")):
            raise InputError(f"{folder.path}: its fitted runs have not all ended")
        try:
            self._made(name, targets).freeze(path)
        except InputError as error:
            # A forecast that cannot be made is no reason not to train: the reason is kept, and no score follows.
            write_text(path.with_name(REFUSED), json.dumps({"errors": list(error.errors)}))

    def _settled(self, name: str) -> bool:
        """Whether a stage's forecast is frozen, or the reason why there is none."""
        folder = self.folder(name).path
        return (folder / FORECAST).exists() or (folder / REFUSED).exists()

    def _proxies(self, targets: Sequence[Planned]) -> list[str]:
        """Reward models of this chain that a target follows and that are targets themselves."""
        configs = (run.config for run in targets)
        used = {
            config.sources["reward"].id
            for config in configs
            if isinstance(config, StageConfig) and "reward" in config.sources
        }
        planned = (run for runs in self.plan.values() for run in runs)
        return [run.id for run in planned if run.id in used and run.role == "target"]

    def _state(self, run_id: str) -> str:
        for name, runs in self.plan.items():
            if any(run.id == run_id for run in runs):
                state: str = self.folder(name).run(run_id).status()["state"]
                return state
        return "planned"

    def _made(self, name: str, targets: Sequence[Planned]) -> AnyForecast:
        """The forecast of a stage's target from its fitted runs."""
        config, path = targets[0].config, self.folder(name).path
        if not isinstance(config, StageConfig):
            table = read_table(path / TABLE)
            return forecast(table, config.params, config.tokens, flops=float(config.flops), target_seeds=len(targets))
        if config.stage in _OF_LOSS:
            amount = float(config.settings["examples" if config.stage == "sft" else "pairs"])
            return forecast(read_table(path / TABLE), config.params, amount, target_seeds=len(targets))
        pairs = config.data.get("pairs", config.settings.get("pairs"))
        if pairs is None:
            raise InputError(f"{path}: the target's reward model is of no number of pairs")
        return forecast_rewards(self._rewards(name), float(pairs))

    def _rewards(self, name: str) -> Any:
        path = self.folder(name).path
        if not (path / REWARDS).exists():
            raise InputError(f"{path}: no run has measured a reward")
        runs = pd.read_parquet(path / TABLE)
        return reward_table(pd.read_parquet(path / REWARDS), str(path / REWARDS), runs=runs)

    def _finish(self, name: str) -> StageResult:
        """Trains a stage's target, scores its forecast and writes its report."""
        for other in self._needed(name, "target"):
            self._train(other, "target")
        self._train(name, "target")
        folder = self.folder(name).path
        frozen, reason = read_frozen(folder)
        result: AnyScore | None = None
        if isinstance(frozen, RewardForecast):
            result = score_rewards(frozen, self._rewards(name))
        elif frozen is not None:
            result = score(frozen, read_table(folder / TABLE))
        if result is not None:
            result.write(folder / SCORE)
        from analysis.report import write_report  # late: what draws takes long to import

        write_report(folder)
        return StageResult(name, folder, frozen, result, reason)


def read_frozen(folder: Path) -> tuple[AnyForecast | None, str | None]:
    """A stage's frozen forecast, of losses or of rewards, or the reason why there is none; neither without a target.

    Raises:
        InputError: a file is none of these, or was changed after it was frozen.
    """
    path = folder / FORECAST
    try:
        if not path.exists():
            refused = folder / REFUSED
            return None, "; ".join(json.loads(refused.read_bytes())["errors"]) if refused.exists() else None
        of_rewards = "axis" in json.loads(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder}: its forecast cannot be read: {error}") from None
    return (read_reward_forecast(path) if of_rewards else read_forecast(path)), None


def warnings_of(results: Sequence[StageResult]) -> Iterator[Diagnostic]:
    """The warnings of all stages' forecasts and scores, each once."""
    seen: set[Diagnostic] = set()
    for result in results:
        for part in (result.forecast, result.score):
            for warning in () if part is None else part.warnings:
                if warning not in seen:
                    seen.add(warning)
                    yield warning
