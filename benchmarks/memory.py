"""Does a worker's memory stay flat? Trains 200 small runs of several shapes in one process.

    python benchmarks/memory.py [RUNS] [SHAPES]

Prints the resident memory after the first four runs of every shape, by when everything is compiled and every pool has
grown, and at the end. A worker takes a shape's runs one after another, so that after those four of the last shape only
a share of the runs is left; therefore each shape comes in twice: a first sweep of four runs each, then one of the rest.
"""

import gc
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.host.machine import use_compile_cache
from scaling.sweep.plan.corpus_text import load_text
from scaling.sweep.plan.expand import expand
from scaling.sweep.spec.sweep_file import parse_sweep
from scaling.sweep.workers.worker import Worker

_WARM = 4
_SWEEP = """\
name: memory
model: {{seq_len: 64, heads: 2, depth: 2}}
corpus: sotu
fit: {{sizes: [{sizes}], flops: 2e8, seeds: [{seeds}]}}
target: {{size: {{width: 64, depth: 2}}, flops: 1e9}}
"""


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


def train(shapes: int, seeds: Sequence[int]) -> list[int]:
    """Trains one run per shape and seed in a new folder; the resident memory before each."""
    sizes = ", ".join(f"{{width: {16 + 8 * index}, depth: 2}}" for index in range(shapes))
    source = _SWEEP.format(sizes=sizes, seeds=", ".join(map(str, seeds)))
    spec = parse_sweep(source, "memory.yaml")
    text, seen = load_text(spec.corpus), []
    with tempfile.TemporaryDirectory() as folder:
        sweep = SweepFolder(Path(folder))
        sweep.prepare(spec.canonical(), source, expand(spec, text))

        def look(_: Sequence[str]) -> None:
            gc.collect()
            seen.append(resident_bytes())

        Worker(sweep, text, announce=look).work("fit")
        look(())
    return seen


def growth(runs: int, shapes: int) -> tuple[int, int]:
    """Bytes after the first four runs of each shape, and after all runs."""
    use_compile_cache()
    warm = train(shapes, range(_WARM))[-1]
    rest = train(shapes, range(_WARM, runs // shapes))
    for number in range(0, len(rest), max(1, len(rest) // 10)):
        print(f"{_WARM * shapes + number:4d} runs  {rest[number] / 2**20:7.1f} MiB", flush=True)
    return warm, rest[-1]


if __name__ == "__main__":
    runs, shapes = (int(given) for given in (*sys.argv[1:], *("200", "5")[len(sys.argv) - 1 :]))
    before, after = growth(runs, shapes)
    print(f"from {before / 2**20:.1f} to {after / 2**20:.1f} MiB: {after / before - 1:+.1%} over {runs} runs")
