"""The recorder of a run that is being trained: its log, its status and its last parameters."""

import math
import os
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import jax

from scaling.data.batches import RunText
from scaling.llama.sharding import Execution
from scaling.sweep.folder.run_folder import RunFolder
from scaling.sweep.plan.corpus_text import SweepText
from scaling.train.config import RunConfig
from scaling.train.evaluate import HeldOutLoss, Outcome
from scaling.train.loop import Progress, train_run
from scaling.train.stacked import Share
from scaling.train.stop import request_stop
from scaling.train.trunk import Begin

CHECKPOINT_S = (5.0, 30.0)
STATUS_S = 0.5
SPEED_S = 10.0
_PARENT = os.getppid()


class Throughput:
    """Tokens per second over the last ten seconds, without those of the first dispatch, which compiled."""

    def __init__(self, tokens_per_step: int) -> None:
        self._tokens_per_step = tokens_per_step
        self._reached: deque[tuple[float, int]] = deque()

    def note(self, step: int, now: float) -> None:
        """Records the steps taken until a time, in seconds."""
        self._reached.append((now, step))
        while now - self._reached[0][0] > SPEED_S and len(self._reached) > 2:
            self._reached.popleft()

    @property
    def tokens_per_s(self) -> float | None:
        """The mean over the window; None before the second dispatch is done."""
        if len(self._reached) < 2:
            return None
        (before, first), (now, last) = self._reached[0], self._reached[-1]
        return self._tokens_per_step * (last - first) / (now - before) if now > before else None


class RunRecorder:
    """The recorder of a run in training, which writes its log, status and parameters.

    Args:
        folder: the run's files.
        config: the run.
        text: the sweep's corpus.
        wall, compiling: count the run's seconds from now on, in all and compiling.
    """

    def __init__(self, folder: RunFolder, config: RunConfig, text: SweepText, wall: Share, compiling: Share) -> None:
        self.folder, self._config, self._text = folder, config, text
        self._wall, self._compiling, self._written = wall, compiling, 0.0
        self._throughput, self._compiled = Throughput(config.recipe.batch_tokens), False
        before = folder.status()
        self._wall_s, self._compile_s = before.get("wall_s", 0.0), before.get("compile_s", 0.0)

    def train(self, execution: Execution, begin: Begin | None = None) -> None:
        """Trains the run from its newest checkpoint, or from ``begin``, and writes its outcome."""
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
        """Writes the outcome of the run, and its last parameters if it has not diverged."""
        digest = None if outcome.parameters is None else self.folder.keep(outcome.parameters)
        seq_len, data = self._config.model.seq_len, self._config.data
        self.folder.finish(
            {
                "state": outcome.status,
                "step": self._config.steps,
                "steps": self._config.steps,
                "loss": finite(outcome.loss),
                "loss_stderr": finite(outcome.loss_stderr),
                "loss_stderr_documents": finite(outcome.loss_stderr_documents),
                "bits_per_byte": finite(self._text.bits_per_byte(outcome.loss)),
                "held_out_sha256": self._text.held_out_text.sha256(seq_len, data.eval_tokens),
                **self._evaluated(outcome.evaluation_sets, text),
                "tokens_per_epoch": text.batches.tokens_per_epoch,
                **self._drawn(text),
                "device": jax.devices()[0].device_kind,
                **self._spent(),
                "eval_s": outcome.eval_s,
                "flops_per_s": finite(outcome.flops_per_s),
                "parameters_sha256": digest,
            }
        )

    def _evaluated(self, losses: Mapping[str, HeldOutLoss], text: RunText) -> dict[str, Any]:
        """What the status says of the evaluation sets and sources; losses are NaN if the run has diverged."""
        found, seq_len = {}, self._config.model.seq_len
        for name, held_out in text.evaluation_sets.items():
            whole, loss = self._text.held_out_named(name), losses.get(name, HeldOutLoss(math.nan, math.nan, math.nan))
            found[name] = {
                "loss": finite(loss.mean),
                "loss_stderr": finite(loss.stderr),
                "loss_stderr_documents": finite(loss.stderr_documents),
                "bits_per_byte": finite(whole.bits_per_byte(loss.mean)),
                "held_out_sha256": whole.sha256(seq_len, len(held_out.windows) * seq_len),
            }
        return {"evaluation_sets": found} if found else {}

    def _drawn(self, text: RunText) -> dict[str, Any]:
        """What the status says of the sources that are drawn from, where the corpus has several."""
        sources, config = self._text.by_source, self._config
        if not sources.train:
            return {}
        shares = sources.usual if config.data.mixture is None else config.data.mixture
        epochs = sources.epochs(config.data.mixture, config.tokens, config.model.seq_len)
        drawn = {name: {"share": shares.get(name, 0.0), "epochs": passes} for name, passes in epochs.items()}
        if config.data.mixture is None:
            return {"sources": drawn}
        return {"sources": drawn, "unique_tokens": text.batches.unique_tokens(config.tokens)}

    def show(self, progress: Progress) -> None:
        """Writes the status: when the first dispatch is done, and then twice a second at most.

        Requests a stop of this process if its parent has gone.
        """
        stop_with_parent()
        now = time.monotonic()
        compiled = not math.isnan(progress.loss)
        if compiled:
            self._throughput.note(progress.step, now)
        if now - self._written >= STATUS_S or compiled > self._compiled:
            self._written, self._compiled = now, compiled
            self.folder.write_status(
                {
                    "state": "running",
                    "step": progress.step,
                    "steps": self._config.steps,
                    "loss": finite(progress.loss),
                    "tokens_per_s": self._throughput.tokens_per_s,
                    **self._spent(),
                }
            )

    def _spent(self) -> dict[str, float]:
        """Seconds so far, all and compiling, with those before an interruption."""
        return {
            "wall_s": self._wall_s + self._wall(),
            "compile_s": self._compile_s + self._compiling(),
        }


def stop_with_parent() -> None:
    """Requests a stop of this process if its parent has gone."""
    if os.getppid() != _PARENT:
        request_stop()


def finite(value: float) -> float | None:
    """A number for JSON, which has no NaN and no infinity: None for these."""
    return value if math.isfinite(value) else None
