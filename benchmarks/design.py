"""Whether runs chosen by ``scaling design`` forecast as well as all runs of a table do: writes ``design.md``.

    SCALING_PUBLISHED=FOLDER python -m benchmarks.design

FOLDER holds the tables as CSV files. About an hour on 2 cores; fits are cached in ``SCALING_CACHE``, so that a second
call takes seconds. Every table is split 3, 10, 30 and 100 times below its largest run, as in ``forecast.md``: the
low-compute runs are the pool, of which runs are bought for at most a quarter of its FLOPs. ``auto`` forecasts the
high-compute runs from what was bought.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from analysis.design.posterior import default_law
from analysis.design.seeds import PlannedCell
from analysis.design.selection import candidate_laws, select_runs
from analysis.errors import InputError
from analysis.forecasting.ensemble import AUTO, ensemble_of_arrays
from analysis.runs.arrays import RunArrays
from analysis.runs.table import read_table
from benchmarks.forecast import FURTHER, JUDGED, Source

SHARE = 0.25
# Shares of what is spent, after each of which the rest is planned anew.
STAGES = (0.1, 0.4, 1.0)
DRAWS, FEW_DRAWS = 20, 4
FACTORS = (3.0, 10.0, 30.0, 100.0)
FAR = 100.0  # of the factors: half of a table or more is held out
FEWEST_POOL, FEWEST_HELD_OUT = 24, 3
Bought = Bool[np.ndarray, " rows"]


class Forecaster:
    """Forecasts by ``auto`` from the runs bought of a pool; every fit is cached in a file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.known: dict[str, float | None] = json.loads(file.read_text()) if file.exists() else {}

    def error(self, pool: RunArrays, bought: Bought, held_out: RunArrays) -> float | None:
        """Mean of |forecast / actual - 1|; None from too few runs for any law."""
        runs = pool.subset(bought)
        arrays = (x for part in (runs, held_out) for x in (part.inputs.n, part.inputs.d, part.log_loss))
        key = hashlib.sha256(b"".join(x.tobytes() for x in arrays)).hexdigest()[:20]
        if key not in self.known:
            try:
                loss = ensemble_of_arrays(runs, AUTO, 1).expect(held_out.inputs)
                self.known[key] = float(np.mean(np.abs(loss / np.exp(held_out.log_loss) - 1)))
            except InputError:
                self.known[key] = None
            self.file.write_text(json.dumps(self.known))
        return self.known[key]


def splits(points: RunArrays) -> Iterator[tuple[float, RunArrays, RunArrays]]:
    """Splits (factor below the largest run, pool, held-out runs) with enough runs on both sides."""
    flops, seen = points.inputs.c, set()
    for factor in FACTORS:
        low = flops <= flops.max() - np.log(factor) + 1e-9
        if low.sum() >= FEWEST_POOL and (~low).sum() >= FEWEST_HELD_OUT and low.sum() not in seen:
            seen.add(low.sum())
            yield factor, points.subset(low), points.subset(~low)


def designed(pool: RunArrays, held_out: RunArrays) -> Bought:
    """Runs that ``select_runs`` buys for a target in the middle of the held-out runs.

    A plan is made for all FLOPs, its smallest runs are bought, and then it is made again with their losses.
    """
    flops, x = np.exp(pool.inputs.c), held_out.inputs
    target = _cell(x.n.mean(), x.d.mean(), x.c.mean())
    spend = SHARE * float(flops.sum())
    bought = np.zeros(len(pool), bool)
    for share in STAGES:
        rest = np.flatnonzero(~bought)
        cells = [_cell(pool.inputs.n[row], pool.inputs.d[row], pool.inputs.c[row]) for row in rest]
        finished = pool.subset(bought) if bought.any() else None
        laws = [default_law(pool.inputs), *([] if finished is None else candidate_laws(finished))]
        choice = select_runs(cells, target, spend - float(flops[bought].sum()), laws, finished)
        plan = rest[choice.seeds > 0]
        plan = plan[np.argsort(flops[plan], kind="stable")]
        bought[plan[flops[bought].sum() + np.cumsum(flops[plan]) <= share * spend * (1 + 1e-9)]] = True
    return bought


def _cell(n: float, d: float, c: float) -> PlannedCell:
    return PlannedCell(float(np.exp(n)), float(np.exp(d)), float(np.exp(c)), 1)


def drawn(pool: RunArrays, seed: int) -> Bought:
    """Runs in random order, each bought if it can still be paid for."""
    flops = np.exp(pool.inputs.c)
    left = SHARE * flops.sum()
    bought = np.zeros(len(pool), bool)
    for row in np.random.default_rng(seed).permutation(len(pool)):
        if flops[row] <= left:
            bought[row] = True
            left -= flops[row]
    return bought


def spaced(pool: RunArrays) -> Bought:
    """As many runs as can be paid for at equal steps of log FLOPs from the smallest to the largest.

    Where several sizes are as near, they take turns, spread evenly. Where not even eight runs up to the largest can be
    paid for, they end at the next smaller.
    """
    c, flops = pool.inputs.c, np.exp(pool.inputs.c)
    for top in np.unique(c)[::-1]:
        for count in range(int((c <= top).sum()), 7, -1):
            bought = np.zeros(len(pool), bool)
            for turn, place in enumerate(np.linspace(c.min(), top, count)):
                away = np.where(bought, np.inf, np.abs(c - place))
                near = np.flatnonzero(away <= away.min() + 0.05)
                near = near[np.argsort(pool.inputs.n[near], kind="stable")]
                bought[near[int(turn * 0.618 * len(near)) % len(near)]] = True
            if flops[bought].sum() <= SHARE * flops.sum():
                return bought
    raise InputError("no eight runs can be paid for")


@dataclass(frozen=True)
class Split:
    """Errors of the forecasts of one split.

    Attributes:
        source: the table.
        factor: below its largest run.
        runs: of the pool, and bought by design.
        share: of the pool's FLOPs that design took.
        full: from the whole pool.
        designed: from what design bought.
        drawn: from each random draw that suffices for any law.
        spaced: from runs at equal spacing.
    """

    source: str
    factor: float
    runs: tuple[int, int]
    share: float
    full: float
    designed: float
    drawn: tuple[float, ...]
    spaced: float


def main() -> None:
    if "SCALING_PUBLISHED" not in os.environ:
        sys.exit("set SCALING_PUBLISHED to the folder of published tables")
    folder = Path(os.environ["SCALING_PUBLISHED"])
    cache = Path(os.environ.get("SCALING_CACHE", ".cache"))
    cache.mkdir(parents=True, exist_ok=True)
    forecaster = Forecaster(cache / "design-benchmark.json")
    judged = [_split(forecaster, *each, DRAWS if each[1] < FAR else FEW_DRAWS) for each in _splits(folder, JUDGED)]
    further = [_split(forecaster, *each, FEW_DRAWS) for each in _splits(folder, FURTHER)]
    text = _page(judged, further)
    Path(__file__).with_name("design.md").write_text(text)
    print(text)


def _splits(folder: Path, sources: Sequence[Source]) -> Iterator[tuple[str, float, RunArrays, RunArrays]]:
    for source in sources:
        points = read_table(folder / f"{source.file}.csv", where=source.where, best=source.best).arrays
        for factor, pool, held_out in splits(points):
            yield source.name, factor, pool, held_out


def _split(
    forecaster: Forecaster, source: str, factor: float, pool: RunArrays, held_out: RunArrays, draws: int
) -> Split:
    print(source, factor, file=sys.stderr, flush=True)

    def error(bought: Bought) -> float:
        found = forecaster.error(pool, bought, held_out)
        return np.nan if found is None else found

    flops, bought = np.exp(pool.inputs.c), designed(pool, held_out)
    errors = [error(drawn(pool, seed)) for seed in range(draws)]
    return Split(
        source=source,
        factor=factor,
        runs=(len(pool), int(bought.sum())),
        share=float(flops[bought].sum() / flops.sum()),
        full=error(np.ones(len(pool), bool)),
        designed=error(bought),
        drawn=tuple(each for each in errors if np.isfinite(each)),
        spaced=error(spaced(pool)),
    )


def _page(judged: Sequence[Split], further: Sequence[Split]) -> str:
    near, far = ([split for split in judged if (split.factor < FAR) == side] for side in (True, False))
    return "\n".join(
        [
            "# Forecasts from runs chosen by design",
            "",
            "In short: where runs within 3 to 30 times of the largest are held out, design forecasts from a quarter of",
            "the FLOPs as well as the whole pool on average, better than chance and equal steps on Llama 3, Gadre's",
            "and (Mis)fitting; on Chinchilla it is not clearly better than either. Where all within 100 times of the",
            "largest is held out it loses to the pool by far, and is only a little better than chance. On the further",
            "tables it is no better than chance, and loses to the pool and to equal steps.",
            "",
            "Written by `python -m benchmarks.design`. Each split holds out the runs above a threshold, 3, 10 or 30",
            "times below a table's largest run. From the rest, the pool, the choice of `scaling design` buys runs for",
            "at most a quarter of the pool's FLOPs: it plans for all of them, buys the smallest tenth, plans again by",
            "their losses, buys to two fifths, and plans again. Only this choice is measured, among a table's own",
            "cells: not which sizes and budgets `scaling design` offers. Then `auto` forecasts the held-out runs from",
            "what was bought; errors are the mean of |forecast / actual - 1| over them. Beside it, the same forecaster",
            f"on the whole pool, four times the FLOPs; on {DRAWS} random draws (runs in random order, each bought if",
            "it can still be paid for): their mean, and the share that miss by more than design, draws too poor",
            "for any law left out of both; and on as many runs as can be paid for at equal steps of log FLOPs, which",
            "take 19% to 25% of the FLOPs.",
            "",
            *_rows(near),
            "",
            "## By table",
            "",
            *_by_table(near),
            "",
            "## Held out: all within 100 times of the largest",
            "",
            f"Half of a table or so; a quarter of what is left is 19 to 65 runs. {FEW_DRAWS} random draws.",
            "",
            *_rows(far),
            "",
            "## Further tables",
            "",
            "Porian's hold many runs of less than a token per parameter, where laws fail, and the whole pool misses",
            "by several per cent too. Design is no better than chance there: what a law leaves of such runs it takes",
            "for noise, and buys breadth where high-compute runs are needed. These tables are why a design treats",
            "runs off the frontier as less informative; the tables above were looked at five times on the way. Nothing",
            f"else was chosen by any of them. {FEW_DRAWS} random draws.",
            "",
            *_rows(further),
            "",
        ]
    )


def _rows(splits: Sequence[Split]) -> list[str]:
    lines = [
        "| table | held out | pool | bought | of the FLOPs | design | whole pool | random | worse | equal steps |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for split in splits:
        worse = np.mean([error > split.designed for error in split.drawn])
        lines.append(
            f"| {split.source} | {split.factor:.0f}x | {split.runs[0]} | {split.runs[1]} | {split.share:.0%} | "
            f"{split.designed:.2%} | {split.full:.2%} | {np.mean(split.drawn):.2%} | {worse:.0%} | {split.spaced:.2%} |"
        )
    worse = np.mean([error > split.designed for split in splits for error in split.drawn])
    return [*lines, f"| mean | | | | | {' | '.join(_means(splits))} | {worse:.0%} | {_spaced(splits)} |"]


def _by_table(splits: Sequence[Split]) -> list[str]:
    lines = ["| table | splits | design | whole pool | random | equal steps |", "| --- | --- | --- | --- | --- | --- |"]
    for source in dict.fromkeys(split.source for split in splits):
        own = [split for split in splits if split.source == source]
        lines.append(f"| {source} | {len(own)} | {' | '.join(_means(own))} | {_spaced(own)} |")
    return lines


def _means(splits: Sequence[Split]) -> list[str]:
    """Mean errors of the design, the whole pool and random draws."""
    columns = zip(*((split.designed, split.full, float(np.mean(split.drawn))) for split in splits), strict=True)
    return [f"{np.mean(column):.2%}" for column in columns]


def _spaced(splits: Sequence[Split]) -> str:
    return f"{np.mean([split.spaced for split in splits]):.2%}"


if __name__ == "__main__":
    main()
