"""Training of the runs of a stage after pre-training, one after another."""

import json
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax

from scaling.errors import InputError
from scaling.files import write_text
from scaling.llama.sharding import Execution
from scaling.posttrain.config import StageConfig, StageName
from scaling.posttrain.stage import Model, StageOutcome, StageRun
from scaling.sweep.folder.jobs import Job
from scaling.sweep.folder.run_folder import RunFolder
from scaling.sweep.folder.stage_table import RUN_REWARDS, RUN_SAMPLES
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.host.machine import CompileClock
from scaling.sweep.plan.configs import AnyConfig
from scaling.sweep.stages.data import StageData
from scaling.sweep.stages.sources import read_source
from scaling.sweep.workers.run_recorder import CHECKPOINT_S, STATUS_S, finite, stop_with_parent


class StageTrainer:
    """The trainer of a stage's runs, which writes their metrics, statuses, curves, answers and parameters.

    Args:
        sweep: the stage's folder.
        execution: mesh, rematerialisation and microbatches.
    """

    def __init__(self, sweep: SweepFolder, execution: Execution) -> None:
        if jax.process_count() > 1:
            raise InputError("a stage after pre-training runs in one process, on all devices of its mesh")
        self._sweep, self._execution = sweep, execution
        self._data, self._clock = StageData(sweep.path.parent, _most_pairs(sweep)), CompileClock()

    def train(self, job: Job, left: Sequence[AnyConfig]) -> None:
        """Trains a job's run to its end; a job of a stage is one run."""
        (config,) = left
        assert isinstance(config, StageConfig)
        chain, recorder = self._sweep.path.parent, Recorder(job.folder, config, self._clock)

        def source(part: str) -> Model:
            return read_source(chain, config.sources[part])

        recorder.show(0, math.nan)
        data = self._data.of_run(config)
        execution = self._execution
        run = StageRun(config, data, source, job.folder.checkpoints, CHECKPOINT_S, recorder.report, execution)
        recorder.end(loop_of(config.stage)(run))

    def follow(self, job: Job, left: Sequence[AnyConfig]) -> None:
        """No rank follows another in a stage."""
        raise AssertionError(job, left)


def _most_pairs(sweep: SweepFolder) -> dict[int, int]:
    """The most pairs that a run of the folder is trained on, by seed."""
    most: dict[int, int] = {}
    for config in (sweep.run(run_id).config() for run_id in sweep.runs()):
        assert isinstance(config, StageConfig)
        most[config.seed] = max(most.get(config.seed, 0), config.settings.get("pairs", 0))
    return most


def loop_of(stage: StageName) -> Callable[[StageRun], StageOutcome]:
    """The function that carries out a stage's run; imported late, as each stage needs its own alone."""
    if stage == "sft":
        from scaling.posttrain.sft import run_sft

        return run_sft
    if stage == "reward":
        from scaling.posttrain.rewards.reward import run_reward

        return run_reward
    if stage == "best_of_n":
        from scaling.posttrain.best_of_n import run_best_of_n

        return run_best_of_n
    if stage == "ppo":
        from scaling.posttrain.ppo.loop import run_ppo

        return run_ppo
    from scaling.posttrain.dpo import run_dpo

    return run_dpo


class Recorder:
    """The recorder of a stage's run: its log, its status, and what came of it."""

    def __init__(self, folder: RunFolder, config: StageConfig, clock: CompileClock) -> None:
        self._folder, self._config, self._clock = folder, config, clock
        self._begun, self._compiled, self._written = time.monotonic(), clock.seconds, 0.0
        before = folder.status()
        self._wall_s, self._compile_s = before.get("wall_s", 0.0), before.get("compile_s", 0.0)

    def report(self, row: dict[str, float]) -> None:
        """Logs a step."""
        values = {name: finite(float(value)) for name, value in row.items() if name != "step"}
        self._folder.log({"step": int(row["step"]), **values, "seconds": round(self._spent()["wall_s"], 3)})
        self.show(int(row["step"]), row["loss"])

    def show(self, step: int, loss: float) -> None:
        """Writes the status, twice a second at most; requests a stop of this process if its parent has gone."""
        stop_with_parent()
        now = time.monotonic()
        if now - self._written < STATUS_S:
            return
        self._written = now
        status = {"state": "running", "step": step, "steps": self._config.steps, "loss": finite(float(loss))}
        self._folder.write_status({**status, **self._spent()})

    def end(self, outcome: StageOutcome) -> None:
        """Writes what came of the run."""
        folder, steps = self._folder, self._config.steps
        write_text(folder.path / RUN_REWARDS, json.dumps([_plain(row) for row in outcome.curve]))
        write_text(folder.path / RUN_SAMPLES, json.dumps([_plain(row) for row in outcome.samples], ensure_ascii=False))
        digest = None if outcome.parameters is None else folder.keep(outcome.parameters)
        row = _plain(outcome.row)
        folder.finish(
            {
                "state": outcome.status,
                "step": steps,
                "steps": steps,
                "loss": row.get("loss"),
                "row": row,
                "device": jax.devices()[0].device_kind,
                **self._spent(),
                "parameters_sha256": digest,
            }
        )

    def _spent(self) -> dict[str, float]:
        """Seconds so far, all and compiling, with those before an interruption."""
        return {
            "wall_s": self._wall_s + time.monotonic() - self._begun,
            "compile_s": self._compile_s + self._clock.seconds - self._compiled,
        }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Values for JSON: numbers of Python, None for NaN."""
    return {name: value if isinstance(value, str) else finite(float(value)) for name, value in row.items()}
