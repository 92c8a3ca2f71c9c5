"""How well laws forecast the high-compute runs of published tables from the low-compute runs: writes ``forecast.md``.

    SCALING_PUBLISHED=FOLDER python benchmarks/forecast.py

FOLDER holds the tables as CSV files. About 5 minutes on 2 cores. Every table is split 3, 10, 30 and 100 times below its
largest run, wherever 12 runs remain to train on and 3 to test; one configuration serves all. What each line of the
result holds is also what ``scaling backtest TABLE`` prints.
"""

import os
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from analysis.forecasting.backtest import Backtest, LawScore, backtest
from analysis.runs.table import read_table


@dataclass(frozen=True)
class Source:
    """A published table: its file, the rows and the options of ``scaling backtest``."""

    name: str
    file: str
    where: str | None = None
    best: bool = False

    @property
    def command(self) -> str:
        options = (f" --where '{self.where}'" if self.where else "") + (" --best" if self.best else "")
        return f"scaling backtest $SCALING_PUBLISHED/{self.file}.csv{options}"


GADRE = {"C4": "c4_original", "RedPajama": "rpj", "RefinedWeb": "rw_original"}
JUDGED = (
    Source("Chinchilla, digitised (2404.10102)", "epoch_chinchilla", "excluded_by_epoch == 0"),
    Source("Llama 3 isoFLOPs, digitised (2407.21783)", "llama3_isoflop"),
    *(Source(f"Gadre, {n} (2403.08540)", "gadre2024", f'train_data == "{t}"') for n, t in GADRE.items()),
    Source("(Mis)fitting (Li et al. 2025)", "misfitting2025_final", best=True),
)
# Further tables. Porian's hold runs of less than a token per parameter, where laws fail.
STAGES = (
    "main0:rw/base/warmup-long/kaplan/count-kaplan/train",
    "main1:rw/base/warmup-long/kaplan/count-standard/val",
    "main2:rw/base/warmup-short/kaplan/count-standard/val",
    "main3:rw/base/warmup-short/chinchilla/count-standard/val",
    "main4:rw/tuned/warmup-short/const/count-standard/val",
)
FURTHER = (
    Source("Muennighoff, one epoch (2305.16264)", "muennighoff2023_paper182", "epochs <= 1.05"),
    *(Source(f"Porian, stage {i} (2406.19146)", "porian2024_isoflop", f'stage == "{s}"') for i, s in enumerate(STAGES)),
)
AUTO = "auto"
FACTORS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


def main() -> None:
    if "SCALING_PUBLISHED" not in os.environ:
        sys.exit("set SCALING_PUBLISHED to the folder of published tables")
    folder = Path(os.environ["SCALING_PUBLISHED"])
    judged, further = ({source: _run(folder, source) for source in sources} for sources in (JUDGED, FURTHER))
    text = _page(judged, further)
    Path(__file__).with_name("forecast.md").write_text(text)
    print(text)


def _run(folder: Path, source: Source) -> Backtest:
    print(source.command, file=sys.stderr, flush=True)
    return backtest(read_table(folder / f"{source.file}.csv", where=source.where, best=source.best))


def _page(judged: dict[Source, Backtest], further: dict[Source, Backtest]) -> str:
    return "\n".join(
        [
            "# Forecasts of published runs",
            "",
            "Written by `python benchmarks/forecast.py`. Each split trains on the runs below a threshold and forecasts",
            "every run above it. Error is the mean of |forecast / actual - 1| over these, signed the same with its",
            "sign, covered the share inside the 90 % interval, half-width the mean of (high - low) / (2 forecast).",
            "",
            "## Every law",
            "",
            *_laws(judged),
            "",
            "## auto, split by split",
            "",
            *_splits(judged),
            "",
            "## auto on further tables",
            "",
            *_splits(further),
            "",
            "## auto, by extrapolation factor",
            "",
            "Every held-out run of every split, by its FLOPs / the largest fitted run's.",
            "",
            *_factors(judged, further),
            "",
            "## Commands",
            "",
            "```",
            *(source.command for source in (*judged, *further)),
            "```",
            "",
        ]
    )


def _laws(results: dict[Source, Backtest]) -> list[str]:
    splits = [split for result in results.values() for split in result.splits]
    names = [n for n in splits[0].laws if all(n in split.laws for split in splits)]
    rows = {name: _summary([split.laws[name] for split in splits]) for name in names}
    lines = [
        f"Means over {len(splits)} splits of {len(results)} tables; the half-width is their median.",
        "",
        "| law | mean error | worst error | coverage | half-width | half-width / mean error |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, (mean, worst, coverage, width) in sorted(rows.items(), key=lambda row: row[1][0]):
        lines.append(f"| {name} | {mean:.2%} | {worst:.2%} | {coverage:.1%} | {width:.2%} | {width / mean:.2f} |")
    return lines


def _splits(results: dict[Source, Backtest]) -> list[str]:
    lines = [
        "| table | below FLOPs | reach | train | test | error | signed | covered | half-width |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for source, result in results.items():
        for split in result.splits:
            s = split.laws[AUTO]
            lines.append(
                f"| {source.name} | {split.train_below:.2g} | {split.extrapolation:.0f}x | {split.n_train} | "
                f"{split.n_test} | {s.are:.2%} | {s.signed:+.2%} | {s.covered:.0%} | {s.half_width:.2%} |"
            )
    mean, worst, coverage, width = _summary([s.laws[AUTO] for r in results.values() for s in r.splits])
    lines.append(f"| all | | | | | {mean:.2%}, worst {worst:.2%} | | {coverage:.1%} | {width:.2%} |")
    return lines


def _factors(*groups: dict[Source, Backtest]) -> list[str]:
    figures = "mean error | covered | half-width"
    lines = [f"| factor | judged: runs | {figures} | further: runs | {figures} |", "| --- " * 9 + "|"]
    runs = [[split.held_out[AUTO] for result in group.values() for split in result.splits] for group in groups]
    for low, high in pairwise(FACTORS):
        cells = []
        for held_out in runs:
            reach, error, covered, width = (
                np.concatenate([getattr(each, name) for each in held_out])
                for name in ("reach", "error", "covered", "half_width")
            )
            here = (reach > low) & (reach <= high)
            means = (np.abs(error[here]).mean(), covered[here].mean(), width[here].mean())
            cells += [f"{here.sum()}", *(f"{mean:.2%}" for mean in means)]
        lines.append(f"| {low:g}x to {high:g}x | " + " | ".join(cells) + " |")
    return lines


def _summary(scores: list[LawScore]) -> tuple[float, float, float, float]:
    return (
        float(np.mean([s.are for s in scores])),
        max(s.are for s in scores),
        float(np.mean([s.covered for s in scores])),
        float(np.median([s.half_width for s in scores])),
    )


if __name__ == "__main__":
    main()
