"""Speed of training: our step, with and without each trick, PyTorch's, and a whole sweep: writes ``train.md``.

    python benchmarks/train.py                 all parts, about 40 minutes on 2 cores
    python benchmarks/train.py --part sizes    that part alone, under 10 minutes; the page keeps the others' figures

Needs torch and transformers, and a machine that does nothing else. Figures are stored in ``train.json``, from which the
page is made. What is measured, and how, stands on the page.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

HERE = Path(__file__).parent
_PARTS = ("sizes", "tricks", "sweep", "one-by-one", "pytorch")


@click.command(help=__doc__)
@click.option("--part", "parts", multiple=True, type=click.Choice(_PARTS), help="Measure this part; may be repeated.")
@click.option("--rounds", default=5, show_default=True, help="Times that each variant is timed, in turn.")
@click.option("--seconds", default=1.0, show_default=True, help="Of training in each round, at least.")
@click.option("--out", default=HERE, type=click.Path(path_type=Path), help="Folder of train.json and train.md.")
def main(parts: tuple[str, ...], rounds: int, seconds: float, out: Path) -> None:
    # For ``python benchmarks/train.py``, which looks for modules in its own folder alone.
    sys.path.insert(0, str(HERE.parent))
    from benchmarks.training import page, sizes, sweeps

    measure: dict[str, Callable[[], dict[str, Any]]] = {
        "sizes": lambda: sizes.measure_sizes(sizes.all_sizes(), rounds, seconds),
        "tricks": lambda: sizes.measure_tricks(sizes.trick_sizes(), rounds, seconds),
        "sweep": lambda: sweeps.measure_sweep(sizes.QUICKSTART),
        "one-by-one": lambda: sweeps.measure_one_by_one(sizes.QUICKSTART),
        "pytorch": lambda: sweeps.measure_pytorch(sizes.QUICKSTART, seconds),
    }
    file = out / "train.json"
    figures = json.loads(file.read_text()) if file.exists() else {}
    for part in parts or _PARTS:
        print(f"== {part}", file=sys.stderr, flush=True)
        load, begun = os.getloadavg()[0], time.monotonic()
        found = measure[part]()
        took = time.monotonic() - begun
        figures[part] = {
            "command": f"python benchmarks/train.py --part {part}",
            "machine": f"{_machine()}, load {load:.1f} before, {took / 60:.0f} min",
            "rounds": rounds,
            **found,
        }
        out.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(figures, indent=1) + "\n")
        out.joinpath("train.md").write_text(page.page(figures))
    print(out.joinpath("train.md").read_text())


def _machine() -> str:
    from scaling.sweep.host.machine import cores

    versions = [f"{name} {version(name)}" for name in ("jax", "torch", "transformers")]
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {len(cores())} cores of {_processor()}, CPython {platform.python_version()}, "
        + ", ".join(versions)
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
