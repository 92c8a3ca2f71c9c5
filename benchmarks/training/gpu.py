"""Benchmarks on a GPU: a 124M-parameter Llama and PyTorch's, stacked models, bfloat16 and float32, fused attention.

    python -m benchmarks.training.gpu PART [--toy] [--out DIR]

PART is ``speed``, ``ensemble``, ``precision`` or ``attention``: each writes ``PART.json``; ``page`` makes ``gpu.md`` of
those there are. ``--toy`` rehearses it at a size for a CPU. ``benchmarks/gpu.sh`` calls them all.
"""

import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import click

from benchmarks.training.clock import Failed, Variant, clocks, in_turn, train_for
from benchmarks.training.gpu_page import draw_curves, gpu_page
from benchmarks.training.sizes import describe, llama
from benchmarks.training.steps import Ours, Stacked, Step, make_run
from scaling.sweep.host.machine import accelerator

Figures = dict[str, Any]
Dtype = Literal["float32", "bfloat16"]
_DTYPES: tuple[Dtype, ...] = get_args(Dtype)


def measure_speed(toy: bool) -> Iterator[Figures]:
    """A 124M-parameter Llama in bfloat16: ours with cuDNN's attention and XLA's, PyTorch eager and compiled.

    Yields:
        ``rows``, one more each time: for a batch its description, by variant ``step_s`` or a string, why there is none,
        and ``compile_s``.
    """
    model = llama(32, 2, 2, 64, 512) if toy else llama(768, 12, 12, 1024, 50304)
    everything = {
        "ours": Variant("ours"),
        "XLA's attention": Variant("ours", "attention"),
        "PyTorch eager": Variant("eager"),
        "torch.compile": Variant("compile"),
    }
    ours_alone = {"ours": everything["ours"]}
    rows = []
    # Larger batches take all memory, so nobody else is there then.
    for batch, variants in ((16, everything), (32, ours_alone), (64, ours_alone)):
        config = make_run(model, batch, "bfloat16")
        step_s: dict[str, float | str] = {}
        compile_s = {}
        with clocks(list(variants.values())) as started:
            timers = dict(zip(variants, started, strict=True))
            for name in list(timers):
                try:
                    compile_s[name] = timers[name].prepare(config)
                    timers[name].step_s(0.5)
                except Failed as failed:
                    step_s[name] = str(failed)
                    del timers[name]
            step_s |= zip(timers, in_turn(list(timers.values()), 5, 0.2 if toy else 1.0), strict=True)
        rows.append(describe(config) | {"compile_s": compile_s, "step_s": step_s})
        yield {"rows": rows}


def measure_ensemble(toy: bool) -> Iterator[Figures]:
    """Seeds of one shape stacked, and by themselves, in turn.

    Yields:
        Its description, and by number of members ``step_s``, seconds of a member's step; 0 is a run by itself.
    """
    config = make_run(llama(32, 2, 2, 64), 2) if toy else make_run(llama(256, 4, 4, 256), 8, "bfloat16")
    seconds = 0.2 if toy else 1.0
    steps: dict[int, Step] = {0: Ours(config)} | {members: Stacked(config, members) for members in (4, 16)}
    for step in steps.values():
        train_for(step, seconds)
    rounds = [{members: train_for(step, seconds) for members, step in steps.items()} for _ in range(5)]
    yield describe(config) | {"step_s": {members: statistics.median(r[members] for r in rounds) for members in steps}}


def measure_precision(toy: bool) -> Iterator[Figures]:
    """The curve of one run in float32 and in bfloat16, on Python source.

    Yields:
        By dtype ``losses`` (a mean over each dispatch), their ``steps``, and the held-out ``loss`` with ``seconds``.
    """
    from scaling.data.corpus import CorpusSpec
    from scaling.sweep.plan.corpus_text import load_text
    from scaling.train.loop import Progress, train_run

    corpus = CorpusSpec(name="python")
    text = load_text(corpus)
    model, batch, steps = (llama(32, 2, 2, 64), 4, 200) if toy else (llama(384, 6, 6, 256), 32, 1500)
    found: Figures = {}
    for dtype in _DTYPES:
        config = make_run(model, batch, dtype)
        data = replace(config.data, corpus=corpus.model_dump(mode="json"), eval_tokens=2**12 if toy else 2**18)
        config = replace(config, data=data, steps=steps)
        curve: list[Progress] = []
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            checkpoints = Path(folder, "checkpoints")
            outcome = train_run(config, text.of_run(config), checkpoints, (math.inf, math.inf), curve.append)
        found[dtype] = {
            "steps": [progress.step for progress in curve],
            "losses": [progress.loss for progress in curve],
            "loss": outcome.loss,
            "seconds": time.perf_counter() - begun,
        }
    yield describe(config) | {"curves": found}


def measure_attention(toy: bool) -> Iterator[Figures]:
    """Errors of the fused kernel under vmap over models, and of XLA's, against XLA's in float32.

    Yields:
        By implementation the largest error of the output and of the three gradients, over the largest entry.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from scaling.llama.attention.dispatch import attention

    fused = "cudnn" if jax.default_backend() == "gpu" else "chunked"
    models, batch, seq, heads, head_dim = (3, 2, 64, 2, 16) if toy else (16, 4, 1024, 8, 64)
    shape = (models, batch, seq, heads, head_dim)
    arrays = [jax.random.normal(key, shape, jnp.bfloat16) for key in jax.random.split(jax.random.key(0), 4)]

    def run(implementation: Any, dtype: Any) -> list[np.ndarray]:
        query, key, value, change = (x.astype(dtype) for x in arrays)
        attend = jax.vmap(lambda q, k, v: attention(q, k, v, implementation, stacked=True))
        mixed, back = jax.jit(lambda *x: jax.vjp(attend, *x))(query, key, value)
        return [np.asarray(x, np.float32) for x in (mixed, *back(change))]

    truth = run("xla", jnp.float32)
    names = ("output", "query", "key", "value")

    def errors(implementation: str) -> Figures:
        worst = (abs(x - y).max() / abs(y).max() for x, y in zip(run(implementation, jnp.bfloat16), truth, strict=True))
        return dict(zip(names, map(float, worst), strict=True))

    yield {"shape": shape, "errors": {name: errors(name) for name in (fused, "xla")}}


_MEASURES: dict[str, Callable[[bool], Iterator[Figures]]] = {
    "speed": measure_speed,
    "ensemble": measure_ensemble,
    "precision": measure_precision,
    "attention": measure_attention,
}


@click.command(help=__doc__)
@click.argument("part", type=click.Choice([*_MEASURES, "page"]))
@click.option("--toy", is_flag=True, help="At a size for a CPU.")
@click.option("--out", default="benchmarks/gpu", show_default=True, type=click.Path(path_type=Path))
def main(part: str, toy: bool, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if part != "page":
        begun, device = time.monotonic(), accelerator() or "cpu"
        for figures in _MEASURES[part](toy):
            measured = figures | {"device": device, "toy": toy, "took_s": time.monotonic() - begun}
            out.joinpath(f"{part}.json").write_text(json.dumps(measured, indent=1) + "\n")
        return
    found = {file.stem: json.loads(file.read_text()) for name in _MEASURES if (file := out / f"{name}.json").exists()}
    if "precision" in found:
        draw_curves(found["precision"]["curves"], out / "precision.png")
    out.joinpath("gpu.md").write_text(gpu_page(found))
    print(gpu_page(found))


if __name__ == "__main__":
    main()
