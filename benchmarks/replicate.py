"""Runs a sweep with other seeds, as an independent replicate of it.

    python benchmarks/replicate.py SWEEP.yaml REPLICATE [KEY=VALUE]... --out DIR

Every seed s of the file becomes 10 REPLICATE + s; replicate 0 is the file's own.
"""

import subprocess
import sys

from scaling.sweep.spec.sweep_file import load_sweep


def main(sweep: str, replicate: str, *rest: str) -> int:
    spec = load_sweep(sweep)
    blocks = {f"fit.{number}": block.seeds for number, block in enumerate(spec.fit)}
    if spec.target is not None:
        blocks["target"] = spec.target.seeds
    shifted = [f"{name}.seeds={[10 * int(replicate) + seed for seed in seeds]}" for name, seeds in blocks.items()]
    overrides = shifted if int(replicate) else []
    return subprocess.run([sys.executable, "-m", "scaling", "run", sweep, *overrides, *rest], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
