"""The page ``train.md``, made from the figures measured: a section for each part that there is."""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.training.tricks import TRICKS

Figures = dict[str, Any]

_HEAD = """# Speed of training

Written by `python benchmarks/train.py`, from `train.json`.

FLOPs are those of every matrix product, attention over the full context and the output head, forward and twice that
backward (`scaling.llama.counts`, `exact`); recomputation and the optimizer do not count. MFU is FLOP/s over the peak:
on a CPU that of one core in a 2048 x 2048 float32 matrix product, the best of XLA's and PyTorch's, measured in the same
run.
"""

_SIZES = """A process for each, pinned to one core with one thread, in the environment of a worker; all compiled, then
trained a second or more each in turn, {rounds} times: medians, in seconds of the processor, which on a core that nobody
else uses are those of the clock. Batches are taken from memory inside, and losses read.
PyTorch: transformers' `LlamaForCausalLM`, the same shapes, batches and float32, fused AdamW, gradients clipped at 1; it
is spared a schedule and rates by group. No norms on queries and keys here, as transformers' Llama has none. Seconds to
compile are those to the first steps; ours compile the evaluation too."""

_TRICKS = """Time of a step without each trick, over that with all: above 1 the trick gains. Processes as above; with
norms on queries and keys."""

_SWEEP = """Its fitted runs. One by one: each from zero, one after another, in a worker of its own that starts and
compiles anew; {sampled} runs, one of every size and budget, stand for all. PyTorch: the steps of all runs at the speed
of their shape and batch, each compiled and timed in pinned processes, one on each core at once: an estimate, which
leaves out starting, planning, data, evaluating and unequal shares."""


def page(figures: Figures) -> str:
    """Text of the page ``train.md``, from the figures by part as in ``train.json``."""
    sections: Sequence[tuple[str, str, Callable[[Figures], Iterator[str]]]] = (
        ("sizes", "By model size", _sizes),
        ("tricks", "Without each trick", _tricks),
        ("sweep", "A whole sweep", lambda found: _sweep(found, figures)),
    )
    lines = [_HEAD]
    for part, title, section in sections:
        if part in figures:
            found = figures[part]
            lines += [f"## {title}", "", f"`{found['command']}`: {found['machine']}.", "", *section(found), ""]
    return "\n".join(lines)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a Markdown table."""
    for row in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(row)} |"


def mean_ratio(ratios: Sequence[float]) -> float:
    """Geometric mean of ratios."""
    return math.exp(statistics.fmean(map(math.log, ratios)))


def _shape(row: Figures) -> list[str]:
    return [f"{row['params']:,}", f"{row['width']} x {row['depth']}", f"{row['batch']} x {row['context']}"]


def _sizes(found: Figures) -> Iterator[str]:
    yield from (_SIZES.format(rounds=found["rounds"]), "")
    peak = found["peak_flops"]
    rows, ratios = [], []
    for row in found["rows"]:
        speed = {name: row["tokens"] / step_s for name, step_s in row["step_s"].items()}
        ratios.append(speed["ours"] / max(speed["eager"], speed["compile"]))
        flops = row["flops"] / row["step_s"]["ours"]
        rows.append(
            [
                *_shape(row),
                *(f"{speed[name]:,.0f}" for name in ("ours", "eager", "compile")),
                f"{ratios[-1]:.2f}",
                f"{flops / 1e9:.1f}",
                f"{flops / peak:.0%}",
                " / ".join(f"{row['compile_s'][name]:.1f}" for name in ("ours", "compile")),
            ]
        )
    head = ["parameters", "width x depth", "batch x context", "ours, tokens/s", "PyTorch eager", "torch.compile"]
    head += ["ours / better", "GFLOP/s", "MFU", "compile s, ours / torch.compile"]
    yield from table(head, rows)
    yield ""
    yield (
        f"Ours over the better of PyTorch's: {mean_ratio(ratios):.2f} in the geometric mean, {min(ratios):.2f} at "
        f"least. Peak of a core: {peak / 1e9:.0f} GFLOP/s."
    )


def _tricks(found: Figures) -> Iterator[str]:
    rows = found["rows"]
    yield from (_TRICKS, "")
    body = [
        [f"`{name}`", trick.without, *(f"{row['without'][name] / row['step_s']:.2f}" for row in rows)]
        for name, trick in TRICKS.items()
        if name in rows[0]["without"]
    ]
    workers = [f"{row['workers']['pinned'] / row['workers']['threads']:.2f}" for row in rows]
    body.append(["`pinned-workers`", "one process with a thread for each core, in place of a process", *workers])
    first = [f"{row['first_s']['compiled']:.1f} / {row['first_s']['cached']:.1f} s" for row in rows]
    body.append(["`compile-cache`", "seconds to the first step without / with the cache", *first])
    sizes = [" ".join(_shape(row)) for row in rows]
    yield from table(["trick", "without it", *sizes], body)


def _sweep(found: Figures, figures: Figures) -> Iterator[str]:
    alone, pytorch = figures.get("one-by-one"), figures.get("pytorch")
    yield from (_SWEEP.format(sampled=alone["sampled"] if alone else 0), "")
    seconds = found["seconds"]

    def row(name: str, flops: float, compile_s: str, taken: float) -> list[str]:
        return [name, f"{flops:.3g}", compile_s, f"{taken:.0f}", f"{taken / seconds:.1f}"]

    rows = [row(f"`scaling run`, {found['cores']} workers", found["spent_flops"], "", seconds)]
    if alone is not None:
        rows.append(row("one by one", found["flops"], "", alone["seconds"]))
    if pytorch is not None:
        for name, said in (("eager", "PyTorch eager"), ("compile", "torch.compile")):
            times = pytorch[name]
            total = times["train_s"] + times["compile_s"]
            rows.append(
                row(f"{said}, {pytorch['cores']} processes", found["flops"], f"{times['compile_s']:.0f}", total)
            )
    yield from table(["", "FLOPs", "of which compiling, s", "s", "times ours"], rows)
    yield ""
    yield f"{found['runs']} runs, {found['tokens']:.3g} tokens. Ours has planning, starting and evaluating inside."
