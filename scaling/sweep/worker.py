"""A worker: trains the runs of a sweep's folder that nobody else is training, until none is left.

Started by ``execute`` as ``python -m scaling.sweep.worker FOLDER ROLE [CORE]``; any number may share a folder.
"""

import math
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

import jax

from scaling.data.corpus import CorpusSpec
from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.sweep.machine import use_compile_cache
from scaling.sweep.store import ENDED, RunFolder, SweepFolder
from scaling.sweep.text import SweepText, load_text
from scaling.train.config import RunConfig
from scaling.train.loop import Progress, train_run

CHECKPOINT_S = (5.0, 30.0)
STATUS_S = 0.5
WAIT_S = 1.0
_PARENT = os.getppid()


def work(sweep: SweepFolder, role: str, text: SweepText) -> None:
    """Trains the folder's runs of a role: next one of the shape just compiled, else the dearest left."""
    pending = {run_id: sweep.run(run_id).config() for run_id in sweep.runs(role)}
    compiled: set[tuple[LlamaConfig, int]] = set()

    def order(run_id: str) -> tuple[bool, int]:
        config = pending[run_id]
        return (config.model, config.batch) in compiled, config.flops

    while pending:
        for run_id in sorted(pending, key=order, reverse=True):
            config, folder = pending[run_id], sweep.run(run_id)
            with folder.locked() as mine:
                if not mine:
                    continue
                if folder.status()["state"] not in ENDED:
                    _train(folder, config, text)
                    compiled.add((config.model, config.batch))
                del pending[run_id]
                break
        else:  # the rest is being trained by others: if one of them dies, its lock comes free
            time.sleep(WAIT_S)


def _train(folder: RunFolder, config: RunConfig, text: SweepText) -> None:
    before = folder.status().get("wall_s", 0.0)
    started, written = time.monotonic(), 0.0

    def report(progress: Progress) -> None:
        nonlocal written
        folder.log(
            {
                "step": progress.step,
                "loss": _finite(progress.loss),
                "seconds": round(before + progress.seconds, 3),
            }
        )
        if os.getppid() != _PARENT:
            sys.exit("the process that started this worker has gone")
        now = time.monotonic()
        if now - written >= STATUS_S:
            written = now
            folder.write_status(
                {
                    "state": "running",
                    "step": progress.step,
                    "steps": config.steps,
                    "loss": _finite(progress.loss),
                    "wall_s": before + now - started,
                }
            )

    folder.write_status({"state": "running", "step": 0, "steps": config.steps, "loss": None, "wall_s": before})
    run_text = text.of_run(config)
    outcome = train_run(config, run_text, folder.checkpoints, CHECKPOINT_S, report)
    wall = before + time.monotonic() - started
    folder.finish(
        {
            "state": outcome.status,
            "step": config.steps,
            "steps": config.steps,
            "loss": _finite(outcome.loss),
            "loss_stderr": _finite(outcome.loss_stderr),
            "loss_stderr_documents": _finite(outcome.loss_stderr_documents),
            "bits_per_byte": _finite(text.bits_per_byte(outcome.loss)),
            "tokens_per_epoch": run_text.batches.tokens_per_epoch,
            "device": jax.devices()[0].device_kind,
            "wall_s": wall,
            "eval_s": outcome.eval_s,
            "flops_per_s": _finite(outcome.flops_per_s),
        }
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no NaN


def main(folder: str, role: str, core: str | None = None) -> None:
    """Pins itself to a core, if one is named, and works."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})
    use_compile_cache()
    sweep = SweepFolder(Path(folder))
    runs = sweep.runs(role)
    if runs:
        work(sweep, role, _text(sweep.run(runs[0]).config()))


def _text(config: RunConfig) -> SweepText:
    text = load_text(CorpusSpec.model_validate(config.data.corpus))
    if asdict(text.fingerprint) != config.data.fingerprint:
        raise InputError(f"corpus {text.fingerprint.name}: its text has changed since the sweep was planned")
    return text


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except InputError as error:
        sys.exit("\n".join(error.faults))
