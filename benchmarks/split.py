"""How far the best size forecast by ``scaling allocate`` is from the one measured later.

    SCALING_PUBLISHED=FOLDER python -m benchmarks.split

FOLDER holds the tables as CSV files. The runs below a tenth, a thirtieth and a hundredth of a table's largest budget
with an accepted parabola forecast N* at that budget. The measured N* is the minimum of that parabola, of all runs. For
each law, for ``auto``, and for approach 2: the mean of |log(forecast / measured)| in percent, the worst, and the share
of 90 % intervals that hold the measured size. About five minutes on two cores.
"""

import os
from pathlib import Path

import numpy as np

from analysis.allocation.allocate import allocate
from analysis.allocation.approaches import allocate_by
from analysis.allocation.estimate import estimate_surface
from analysis.allocation.isoflop import isoflop
from analysis.allocation.results import Allocation, Request
from analysis.errors import InputError
from analysis.forecasting.ensemble import AUTO
from analysis.runs.table import RunTable, read_table

APPROACH = "isoflop"
METHODS = (AUTO, "chinchilla", "chinchilla-tied", "skaling", "data-constrained", "kaplan", "farseer", APPROACH)
FACTORS = (10.0, 30.0, 100.0)
_STAGE = "main{}:rw/{}/count-standard/val"
TABLES = (
    ("llama3_isoflop.csv", None),
    ("epoch_chinchilla.csv", "excluded_by_epoch == 0"),
    *(
        ("porian2024_isoflop.csv", f"stage == '{_STAGE.format(i, recipe)}'")
        for i, recipe in enumerate(
            (
                "base/warmup-long/kaplan",
                "base/warmup-short/kaplan",
                "base/warmup-short/chinchilla",
                "tuned/warmup-short/const",
            ),
            1,
        )
    ),
)


def forecast(method: str, table: RunTable, flops: float) -> tuple[float, tuple[float, float]]:
    """Best size N* and its 90 % interval; without an interval, all or none of the sizes."""
    made: Allocation
    if method == APPROACH:
        made = allocate_by(method, table, flops)
    else:
        made = allocate(estimate_surface(table, method), Request(flops=flops))
    if made.interval is None:
        return made.params, (0.0, np.inf)
    low, high = made.interval["params"]
    return made.params, (0.0 if low is None else low, np.inf if high is None else high)


def main() -> None:
    folder = Path(os.environ["SCALING_PUBLISHED"])
    found: dict[str, list[tuple[float, bool]]] = {method: [] for method in METHODS}
    for name, where in TABLES:
        minima = isoflop(read_table(folder / name, where=where).arrays).minima
        target = int(np.argmax(minima.c))
        flops, measured = np.exp([minima.c[target], minima.n[target]]).tolist()
        for factor in FACTORS:
            below = f"flops < {flops / factor!r}"
            table = read_table(folder / name, where=below if where is None else f"{where} and {below}")
            for method in METHODS:
                try:
                    params, (low, high) = forecast(method, table, flops)
                except InputError:
                    continue  # too few runs for this law, or too few budgets for the approach
                found[method].append((float(abs(np.log(params / measured))), low <= measured <= high))
    print("| method | forecasts | mean miss | worst | inside 90 % intervals |\n|---|---|---|---|---|")
    for method, pairs in found.items():
        miss, inside = np.array(pairs).T
        print(f"| {method} | {len(pairs)} | {miss.mean():.0%} | {miss.max():.0%} | {inside.sum():.0f} |")


if __name__ == "__main__":
    main()
