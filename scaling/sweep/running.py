"""What a worker writes of the run that it trains."""

import math
import os
import sys
import time

import jax

from scaling.data.batches import RunText
from scaling.llama.sharding import Execution
from scaling.sweep.store import RunFolder
from scaling.sweep.text import SweepText
from scaling.train.config import RunConfig
from scaling.train.ensemble import Share
from scaling.train.loop import Outcome, Progress, train_run
from scaling.train.trunk import Begin

CHECKPOINT_S = (5.0, 30.0)
STATUS_S = 0.5
_PARENT = os.getppid()


class Running:
    """A run that is being trained: its log and its status.

    Args:
        folder: its files.
        config: the run.
        text: the sweep's.
        wall, compiling: count its seconds from now on, in all and compiling.
    """

    def __init__(self, folder: RunFolder, config: RunConfig, text: SweepText, wall: Share, compiling: Share) -> None:
        self.folder, self._config, self._text = folder, config, text
        self._wall, self._compiling, self._written = wall, compiling, 0.0
        before = folder.status()
        self._wall_s, self._compile_s = before.get("wall_s", 0.0), before.get("compile_s", 0.0)

    def train(self, execution: Execution, begin: Begin | None = None) -> None:
        """Trains it from its newest checkpoint, or from where ``begin`` says, and writes how it ended."""
        text, checkpoints = self._text.of_run(self._config), self.folder.checkpoints
        self.show(Progress(0, math.nan, 0.0))
        self.end(train_run(self._config, text, checkpoints, CHECKPOINT_S, self.report, begin, execution), text)

    def report(self, progress: Progress) -> None:
        """Logs a dispatch."""
        self.folder.log(
            {"step": progress.step, "loss": finite(progress.loss), "seconds": round(self._spent()["wall_s"], 3)}
        )
        self.show(progress)

    def end(self, outcome: Outcome, text: RunText) -> None:
        """Writes how it ended."""
        self.folder.finish(
            {
                "state": outcome.status,
                "step": self._config.steps,
                "steps": self._config.steps,
                "loss": finite(outcome.loss),
                "loss_stderr": finite(outcome.loss_stderr),
                "loss_stderr_documents": finite(outcome.loss_stderr_documents),
                "bits_per_byte": finite(self._text.bits_per_byte(outcome.loss)),
                "tokens_per_epoch": text.batches.tokens_per_epoch,
                "device": jax.devices()[0].device_kind,
                **self._spent(),
                "eval_s": outcome.eval_s,
                "flops_per_s": finite(outcome.flops_per_s),
            }
        )

    def show(self, progress: Progress) -> None:
        """Writes how far the run is, twice a second at most; ends with the process that started this worker."""
        end_with_parent()
        now = time.monotonic()
        if now - self._written >= STATUS_S:
            self._written = now
            self.folder.write_status(
                {
                    "state": "running",
                    "step": progress.step,
                    "steps": self._config.steps,
                    "loss": finite(progress.loss),
                    **self._spent(),
                }
            )

    def _spent(self) -> dict[str, float]:
        """Seconds so far, in all and compiling; those before an interruption are counted."""
        return {
            "wall_s": self._wall_s + self._wall(),
            "compile_s": self._compile_s + self._compiling(),
        }


def end_with_parent() -> None:
    """Ends this process if the one that started it has gone."""
    if os.getppid() != _PARENT:
        sys.exit("the process that started this worker has gone")


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no NaN
