"""Processes that time a training step, each of one framework and its settings: started once, then queried in turn.

As ``python -m benchmarks.training.clock FRAMEWORK TRICK CORE`` one answers every line of JSON by another: a run's
config by the seconds until its first steps were compiled and trained; a number of seconds by those that a step took.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.training.steps import Framework, Ours, PyTorch, Step
from benchmarks.training.tricks import TRICKS
from scaling.sweep.host.machine import use_compile_cache, worker_environment
from scaling.train.config import RunConfig, read_config

ROOT = Path(__file__).parents[2]
_NONE = "none"
_MATRIX = 2048
_FEWEST_S, _FEWEST_ROUNDS = 1.0, 5


class Failed(Exception):
    """The error of a process that could not answer a request."""


@dataclass(frozen=True)
class Variant:
    """A variant of the step that a process trains.

    Attributes:
        framework: ours, or PyTorch's two.
        without: the name of a trick of ours to do without.
        core: to be pinned to, with a single thread; None for all cores, or an accelerator.
    """

    framework: Framework
    without: str | None = None
    core: int | None = None


class Clock:
    """A process that times a variant, with compiled programs cached in the folder ``cache``."""

    def __init__(self, variant: Variant, cache: str) -> None:
        environment = worker_environment(variant.core is not None)
        environment |= {"SCALING_CACHE": cache, "TORCHINDUCTOR_CACHE_DIR": f"{cache}/inductor"}
        if variant.without is not None:
            for name in TRICKS[variant.without].unset:
                environment.pop(name, None)
        command = [sys.executable, "-m", "benchmarks.training.clock", variant.framework, variant.without or _NONE]
        if variant.core is not None:
            command.append(str(variant.core))
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
        )

    def ask(self, question: Any) -> None:
        """Sends a request to the process."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()

    def answer(self) -> float:
        """Waits for the process's answer: seconds, or FLOP/s."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"exit {self._process.wait()}")
        answer = json.loads(line)
        if isinstance(answer, str):
            raise Failed(answer)
        return float(answer)

    def prepare(self, config: RunConfig) -> float:
        """Seconds to compile, and to train a first dispatch."""
        self.ask({"run": config.to_json()})
        return self.answer()

    def step_s(self, seconds: float) -> float:
        """Seconds of a step, over some seconds of training."""
        self.ask({"train_s": seconds})
        return self.answer()

    def peak(self) -> float:
        """FLOP/s of a large float32 matrix product."""
        self.ask({"matrix": _MATRIX})
        return self.answer()

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()


@contextmanager
def clocks(variants: Sequence[Variant]) -> Iterator[list[Clock]]:
    """A context with a process for each variant and an empty cache of compiled programs."""
    with ExitStack() as stack:
        cache = stack.enter_context(tempfile.TemporaryDirectory())
        timers = []
        for variant in variants:
            timers.append(Clock(variant, cache))
            stack.callback(timers[-1].close)
        yield timers


def in_turn(timers: Sequence[Clock], rounds: int = _FEWEST_ROUNDS, seconds: float = _FEWEST_S) -> list[float]:
    """Seconds of a step by each process: the median of several rounds, in which all train one after another."""
    taken = [[timer.step_s(seconds) for timer in timers] for _ in range(rounds)]
    return [statistics.median(times) for times in zip(*taken, strict=True)]


def _make(framework: Framework, without: str | None, config: RunConfig) -> Step:
    if framework != "ours":
        return PyTorch(config, compiled=framework == "compile")
    return Ours(config) if without is None else TRICKS[without].make(config)


def _peak(framework: Framework, size: int) -> float:
    best = float("inf")
    if framework == "ours":
        import jax
        import jax.numpy as jnp

        ones = jnp.ones((size, size))
        product = jax.jit(jnp.matmul)
        multiply = lambda: product(ones, ones).block_until_ready()  # noqa: E731
    else:
        import torch

        matrix = torch.ones(size, size)
        multiply = lambda: matrix @ matrix  # noqa: E731
    for _ in range(6):
        begun = time.perf_counter()
        multiply()
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best


def train_for(step: Step, seconds: float, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of a step, over some seconds of training by a clock, or one dispatch.

    One dispatch goes before: a virtual machine may have taken back the memory of a process that was idle.
    """
    step.dispatch()
    step.finish()
    begun, steps = clock(), 0
    while clock() - begun < seconds:
        steps += step.dispatch()
    step.finish()
    return (clock() - begun) / steps


def main(framework: Framework, without: str, core: str | None = None) -> None:
    """Answers requests until there are no more; a failed one is answered by its error, a string."""
    # On one core the processor's seconds are those of the clock, less what others take from it.
    clock = time.perf_counter
    if core is not None:
        os.sched_setaffinity(0, {int(core)})
        clock = time.process_time
    trick = None if without == _NONE else without
    if framework == "ours":
        use_compile_cache()
    step: Step | None = None
    for line in sys.stdin:
        question = json.loads(line)
        answer: float | str
        try:
            if "run" in question:
                step = None  # its memory first
                begun = time.perf_counter()
                step = _make(framework, trick, read_config(question["run"], "a run to time"))
                step.dispatch()
                step.finish()
                answer = time.perf_counter() - begun
            elif "matrix" in question:
                answer = _peak(framework, question["matrix"])
            else:
                assert step is not None
                answer = train_for(step, question["train_s"], clock)
        except Exception as error:  # whatever a framework raises, the other variants go on
            answer = f"{type(error).__name__}: {error}".splitlines()[0]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
