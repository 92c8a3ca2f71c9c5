"""Tokens per second by model size: our step, with and without each trick, and PyTorch's."""

import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks.training.clock import ROOT, Clock, Variant, clocks, in_turn
from benchmarks.training.steps import Framework, make_run, plain
from benchmarks.training.tricks import TRICKS
from scaling.llama.config import LlamaConfig
from scaling.planning import plan_sweep
from scaling.sweep.host.machine import visible_cores
from scaling.sweep.plan.expand import PlannedRun
from scaling.sweep.spec.sweep_file import load_sweep
from scaling.train.config import RunConfig

QUICKSTART = ROOT / "sweeps" / "quickstart.yaml"
FRAMEWORKS: tuple[Framework, ...] = ("ours", "eager", "compile")
# Width, depth, heads, context, sequences per step.
_LARGER = ((128, 4, 4, 128, 8), (256, 6, 4, 256, 4), (384, 6, 6, 256, 4))
_OF_TRICKS = ((20, 2, 2, 64, 4), (128, 4, 4, 128, 8), (256, 6, 4, 256, 4))


def log(message: str) -> None:
    """Prints a line on standard error."""
    print(message, file=sys.stderr, flush=True)


def quickstart() -> list[PlannedRun]:
    """The quickstart's runs, the target's among them."""
    return plan_sweep(load_sweep(QUICKSTART))


def usual_runs(plan: Sequence[PlannedRun]) -> list[RunConfig]:
    """Runs, one of each size from the smallest, at the batch on which most of its FLOPs are spent."""
    spent: Counter[tuple[LlamaConfig, int]] = Counter()
    for run in plan:
        spent[run.config.model, run.config.batch] += run.config.flops
    usual = {model: batch for (model, batch), _ in reversed(spent.most_common())}
    runs = {(run.config.model, run.config.batch): run.config for run in plan}
    return sorted((runs[cell] for cell in usual.items()), key=lambda config: config.params)


def llama(width: int, depth: int, heads: int, seq_len: int, vocab: int = 256) -> LlamaConfig:
    """A Llama of the usual ratios, its embedding tied."""
    return LlamaConfig(vocab, width, depth, heads, heads, 8 * width // 24 * 8, seq_len, tie_embeddings=True)


def all_sizes() -> list[RunConfig]:
    """The quickstart's sizes and larger ones, none with norms on queries and keys."""
    larger = [make_run(llama(*shape), batch) for *shape, batch in _LARGER]
    return [plain(config) for config in usual_runs(quickstart())] + larger


def describe(config: RunConfig) -> dict[str, Any]:
    """Row of figures of a run; ``tokens`` and ``flops`` are those of a step."""
    model = config.model
    return {
        "params": config.params,
        "width": model.width,
        "depth": model.depth,
        "context": model.seq_len,
        "batch": config.batch,
        "tokens": config.recipe.batch_tokens,
        "flops": config.flops / config.steps,
    }


def measure_sizes(configs: Sequence[RunConfig], rounds: int, seconds: float) -> dict[str, Any]:
    """Times ours, eager and torch.compile at every size, in alternation, each in a process pinned to the same core.

    Returns:
        ``peak_flops``, of a core by the best of the three's float32 matrix products; ``rows``: for each size its
        description, and by framework ``step_s`` and ``compile_s``.
    """
    core = visible_cores()[0]
    rows = []
    with clocks([Variant(framework, core=core) for framework in FRAMEWORKS]) as timers:
        peak = max(timer.peak() for timer in timers)
        for config in configs:
            compile_s = [timer.prepare(config) for timer in timers]
            step_s = in_turn(timers, rounds, seconds)
            row = {
                "compile_s": dict(zip(FRAMEWORKS, compile_s, strict=True)),
                "step_s": dict(zip(FRAMEWORKS, step_s, strict=True)),
            }
            log(f"{config.params} parameters: {row}")
            rows.append(describe(config) | row)
    return {"peak_flops": peak, "rows": rows}


def trick_sizes() -> list[RunConfig]:
    """Runs for the timing of tricks: with norms on queries and keys, as in the quickstart."""
    return [make_run(replace(llama(*shape), qk_norm=True), batch) for *shape, batch in _OF_TRICKS]


def measure_tricks(configs: Sequence[RunConfig], rounds: int, seconds: float) -> dict[str, Any]:
    """Times our step with and without each trick, in alternation; pinned workers and the compile cache apart.

    Returns:
        ``rows``: for each size its description, ``step_s`` as it is, ``without`` {trick: step_s}, ``workers`` (tokens
        per second of a pinned process on each core, and of one process with as many threads) and ``first_s`` (seconds
        to the first step in a fresh process, from nothing and from the cache).
    """
    core = visible_cores()[0]
    names = [None, *TRICKS]
    rows = []
    with clocks([Variant("ours", name, core) for name in names]) as timers:
        for config in configs:
            for timer in timers:
                timer.prepare(config)
            usual, *without = in_turn(timers, rounds, seconds)
            row = {"step_s": usual, "without": dict(zip(TRICKS, without, strict=True))}
            row |= {"workers": _workers(config, rounds, seconds), "first_s": _first_steps(config, core)}
            log(f"{config.params} parameters: {row}")
            rows.append(describe(config) | row)
    return {"rows": rows}


def _workers(config: RunConfig, rounds: int, seconds: float) -> dict[str, float]:
    cores, tokens = visible_cores(), config.recipe.batch_tokens
    pinned, spread = [], []
    with clocks([*(Variant("ours", core=core) for core in cores), Variant("ours")]) as (*workers, one):
        for timer in (*workers, one):
            timer.prepare(config)
        for _ in range(rounds):
            for worker in workers:
                worker.ask({"train_s": seconds})
            pinned.append(sum(tokens / worker.answer() for worker in workers))
            spread.append(tokens / one.step_s(seconds))
    return {"pinned": statistics.median(pinned), "threads": statistics.median(spread)}


def _first_steps(config: RunConfig, core: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as cache:
        seconds = []
        for _ in range(2):
            timer = Clock(Variant("ours", core=core), cache)
            seconds.append(timer.prepare(config))
            timer.close()
    return {"compiled": seconds[0], "cached": seconds[1]}
