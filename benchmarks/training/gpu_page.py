"""The page ``gpu.md`` and its figure, made from what ``training.gpu`` measured."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.training.page import table
from scaling.hardware import mfu

Figures = dict[str, Any]

_HEAD = """# On a GPU

Written by `benchmarks/gpu.sh`. FLOPs are counted as in [train.md](../train.md); MFU is over the accelerator's dense
bfloat16 peak (`scaling.hardware`).
"""
_SPEED = """A Llama of {params:,} parameters ({depth} layers, {width} wide, context {context}), bfloat16 with float32
parameters and AdamW: a process for each, in turn, medians of five. The aim is 400,000 tokens/s; llm.c's tuned CUDA
reaches 468,000 on a model of that size."""
_ENSEMBLE = """Seeds of a Llama of {params:,} parameters ({depth} layers, {width} wide), {batch} x {context} tokens a
step: stacked and vmapped against one after another. The aim is 6 times, with 16."""
_PRECISION = "One run in both dtypes, its seed and batches the same; training losses are means over a dispatch."
_ATTENTION = """The fused kernel under vmap over models, {shape} (models, batch, context, heads, head dimension):
largest error against float32, over the largest entry. It should be about that of XLA's own in bfloat16."""


def gpu_page(found: Mapping[str, Figures]) -> str:
    """Text of the page ``gpu.md``, from the figures by part."""
    sections: dict[str, tuple[str, Callable[[Figures], Iterator[str]]]] = {
        "speed": ("124M parameters", _speed),
        "ensemble": ("Many models at once", _ensemble),
        "precision": ("float32 and bfloat16", _precision),
        "attention": ("Fused attention under vmap", _attention),
    }
    lines = [_HEAD]
    for part, (title, section) in sections.items():
        if part in found:
            figures = found[part]
            rehearsed = ", a rehearsal at toy size" if figures["toy"] else ""
            lines += [f"## {title}", "", f"{figures['device']}, {figures['took_s']:.0f} s{rehearsed}.", ""]
            lines += [*section(figures), ""]
    return "\n".join(lines)


def draw_curves(curves: Mapping[str, Figures], path: Path) -> None:
    """Training loss by step, a line for each dtype."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for dtype, curve in curves.items():
        axes.plot(curve["steps"], curve["losses"], label=f"{dtype}, held out {curve['loss']:.4f}", linewidth=1.0)
    axes.set(xlabel="step", ylabel="training loss (nats per byte)")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def _speed(figures: Figures) -> Iterator[str]:
    yield from (_SPEED.format(**figures["rows"][0]), "")
    rows = []
    for row in figures["rows"]:
        for name, step_s in row["step_s"].items():
            if isinstance(step_s, str):
                rows.append([name, str(row["batch"]), step_s, "", ""])
                continue
            share = mfu(row["flops"] / step_s, figures["device"])
            utilisation = "" if math.isnan(share) else f"{share:.0%}"
            speed = [f"{row['tokens'] / step_s:,.0f}", utilisation, f"{row['compile_s'][name]:.0f}"]
            rows.append([name, str(row["batch"]), *speed])
    yield from table(["", "sequences a step", "tokens/s", "MFU", "s to the first step"], rows)


def _ensemble(figures: Figures) -> Iterator[str]:
    yield from (_ENSEMBLE.format(**figures), "")
    step_s = {int(members): seconds for members, seconds in figures["step_s"].items()}
    rows = [
        [
            f"{members} stacked" if members else "by itself",
            f"{figures['tokens'] / seconds:,.0f}",
            f"{step_s[0] / seconds:.2f}",
        ]
        for members, seconds in step_s.items()
    ]
    yield from table(["", "tokens/s, all together", "times one after another"], rows)


def _precision(figures: Figures) -> Iterator[str]:
    yield from (_PRECISION, "", "![curves](precision.png)", "")
    rows = [
        [dtype, f"{curve['loss']:.4f}", f"{curve['losses'][-1]:.4f}", f"{curve['seconds']:.0f}"]
        for dtype, curve in figures["curves"].items()
    ]
    yield from table(["", "held-out loss", "last training loss", "s"], rows)
    yield ""
    apart = [abs(x - y) for x, y in zip(*(curve["losses"] for curve in figures["curves"].values()), strict=True)]
    yield f"Training losses differ by {sum(apart) / len(apart):.4f} on average, by {max(apart):.4f} at most."


def _attention(figures: Figures) -> Iterator[str]:
    yield from (_ATTENTION.format(shape=" x ".join(map(str, figures["shape"]))), "")
    names = list(next(iter(figures["errors"].values())))
    rows = [[name, *(f"{found[of]:.2g}" for of in names)] for name, found in figures["errors"].items()]
    yield from table(["", *names], rows)
