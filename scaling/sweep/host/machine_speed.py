"""This machine's training speed, measured once in under a minute and cached: seconds of a step of any shape.

A step's seconds are held to be a sum of what a small Llama spends its time on, each with a speed that is measured:
layers (calls that do next to nothing), matrix products, scores of attention, activations, logits, and parameters to
update. Speeds are fitted, none below zero, to the relative error at the shapes of ``timing``.
"""

import hashlib
import json
import math
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from jaxtyping import Float
from pydantic import TypeAdapter, ValidationError

from scaling import __version__
from scaling.files import write_text
from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params
from scaling.sweep.host.machine import cache_folder, cores, worker_environment
from scaling.train.config import RunConfig
from scaling.train.muon.direction import muon_flops

# Raised when older measurements no longer hold for this version's train step.
_FORMAT = 1
_PATIENCE_S = 600.0
# Up to this depth the layers are unrolled, and each is compiled for itself; see ``llama.model``.
_UNROLLED = 8
_EVAL_TOKENS = 2048
# A run's files, its batches and what is between its dispatches.
_RUN_S = 0.1


@dataclass(frozen=True)
class Timing:
    """Measured seconds of a shape.

    Attributes:
        model: the shape.
        batch: sequences per step.
        step_s: seconds of a training step.
        compile_s: seconds until a first dispatch was trained and a first loss evaluated.
        start_s: seconds until this process had started.
    """

    model: LlamaConfig
    batch: int
    step_s: float
    compile_s: float
    start_s: float


@dataclass(frozen=True)
class MachineSpeed:
    """The training speed of a machine, fitted to measured shapes.

    Attributes:
        machine: its processor and cores, and the version of jax.
        measured: when, UTC, ISO 8601.
        step: seconds per unit of each entry of ``_work``.
        compile: seconds to compile a shape: in any case, and for each layer.
        start_s: seconds for a worker to start.
        error: root-mean-square relative error at the shapes measured.
    """

    machine: str
    measured: str
    step: tuple[float, ...]
    compile: tuple[float, float]
    start_s: float
    error: float

    def step_s(self, model: LlamaConfig, batch: int) -> float:
        """Seconds of a training step of some sequences, by one of as many workers as there are cores."""
        return float(_work(model, batch) @ np.array(self.step))

    def compile_s(self, model: LlamaConfig) -> float:
        """Seconds to compile a shape's programs without a cache."""
        return float(_compiled(model) @ np.array(self.compile))

    def run_s(self, config: RunConfig, steps: int, sources: int = 1) -> float:
        """Seconds of some steps of a run and its evaluation (a third of the work per token), without compiling.

        Args:
            config: the run.
            steps: how many.
            sources: of its corpus; where there are several, it is evaluated on each.
        """
        windows, data = max(1, _EVAL_TOKENS // config.model.seq_len), config.data
        sets = [data.eval_tokens, *(held_out.eval_tokens for held_out in data.evaluation_sets.values())]
        sets += [data.eval_tokens // sources] * sources if sources > 1 else []
        evaluated = sum(math.ceil(tokens / (windows * config.model.seq_len)) for tokens in sets)
        evaluation = evaluated * self.step_s(config.model, windows) / 3
        # Muon's orthogonalisations take as long as other matrix products.
        more = 1e-9 * muon_flops(config.model) * self.step[1] if config.recipe.optimizer == "muon" else 0.0
        return steps * (self.step_s(config.model, config.batch) + more) + evaluation + _RUN_S


def _work(model: LlamaConfig, batch: int) -> Float[np.ndarray, " kinds"]:
    """The work of a step: layers, billions of FLOPs, and millions of the rest."""
    counts, tokens = count_params(model), batch * model.seq_len
    return np.array(
        [
            model.depth,
            6e-9 * tokens * (model.depth * counts.per_layer_matmul + model.vocab * model.width),
            1e-6 * tokens * model.depth * model.heads * model.seq_len,
            1e-6 * tokens * model.depth * (10 * model.width + 5 * model.ffn),
            1e-6 * tokens * model.vocab,
            1e-6 * counts.total,
        ]
    )


def _compiled(model: LlamaConfig) -> Float[np.ndarray, " kinds"]:
    return np.array([1.0, min(model.depth, _UNROLLED)])


class Unmeasured(Exception):
    """The error that prevented a measurement of the machine's speed."""


def recall() -> MachineSpeed | None:
    """The cached measurement of this machine by this version; None without any."""
    try:
        return _CALIBRATION.validate_json(_path().read_text())
    except (OSError, ValidationError):
        return None


def measure() -> MachineSpeed:
    """Measures this machine and caches the result; under a minute if nothing else runs.

    Raises:
        Unmeasured: a process that measures failed, or none ended in time.
    """
    found = fit(_timings())
    try:
        _path().parent.mkdir(parents=True, exist_ok=True)
        write_text(_path(), json.dumps(asdict(found), indent=1))
    except OSError:  # good for this once
        pass
    return found


def fit(timings: Sequence[Timing]) -> MachineSpeed:
    """The speeds that best explain the seconds of some shapes, by relative error."""
    # Late: scipy's optimisers take long to import, and a calibration is mostly recalled.
    from scipy.optimize import nnls

    taken = np.array([timing.step_s for timing in timings])
    shares = np.stack([_work(timing.model, timing.batch) for timing in timings]) / taken[:, None]
    step, _ = nnls(shares, np.ones(len(taken)))
    compiled, _ = nnls(
        np.stack([_compiled(timing.model) for timing in timings]), np.array([timing.compile_s for timing in timings])
    )
    return MachineSpeed(
        machine=_machine(),
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        step=tuple(step.tolist()),
        compile=(float(compiled[0]), float(compiled[1])),
        start_s=float(np.median([timing.start_s for timing in timings])),
        error=float(np.sqrt(np.mean((shares @ step - 1) ** 2))),
    )


def _timings() -> list[Timing]:
    available = cores()
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "scaling.sweep.host.timing", str(index), str(len(available)), str(core)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=worker_environment(pinned=True),
            text=True,
        )
        for index, core in enumerate(available)
    ]
    ends = time.monotonic() + _PATIENCE_S
    timings: list[Timing] = []
    try:
        for worker in workers:
            output, errors = worker.communicate(timeout=max(0.0, ends - time.monotonic()))
            if worker.returncode != 0:
                raise Unmeasured(next(iter(errors.strip().splitlines()[-1:]), f"exit {worker.returncode}"))
            timings += [_TIMING.validate_json(line) for line in output.splitlines()]
    except subprocess.TimeoutExpired:
        raise Unmeasured(f"it took more than {_PATIENCE_S:.0f} s") from None
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    return timings


def _machine() -> str:
    name = platform.processor() or platform.machine()
    try:
        named = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        name = named[0].partition(":")[2].strip() if named else name
    except OSError:
        pass
    return f"{name}, {len(cores())} cores, jax {version('jax')}"


def _path() -> Path:
    key = hashlib.sha256(f"{_machine()} {__version__} {_FORMAT}".encode()).hexdigest()[:12]
    return cache_folder() / f"calibration-{key}.json"


_CALIBRATION, _TIMING = TypeAdapter(MachineSpeed), TypeAdapter(Timing)
