"""Backtests of published runs on mixtures: writes a section of ``mixtures.md``.

    SCALING_PUBLISHED=FOLDER python -m benchmarks.mixing.published

About five minutes on a core. With ``--kept`` the section is written from the results kept.
"""

import sys
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from analysis.mixing.backtest import AUTO, backtest_mixtures
from benchmarks.mixing.page import error, keep, kept, share, write
from benchmarks.mixing.tables import published
from benchmarks.pages.page import published_tables, table

TITLE = "## Published runs"
LAWS = (AUTO, "inverse", "exponential")
INTRO = """\
Written by `python -m benchmarks.mixing.published`, as `scaling backtest TABLE --mixtures` does: what mixtures change,
and where the losses lie, from the cheaper runs of a table, judged by its dearer ones. Two and three domains are of
2403.16952, with checkpoints of one run; RegMix is 2407.01492. `contrast` is the mean absolute error of the log loss as
a difference from the mean of all mixtures of one size and length, `level` the error of that mean, `ranked` the share of
pairs of mixtures in the right order on each domain, and the last two are how many of the 90 % intervals hold, of losses
and of the differences. `auto` weighs all laws and forecasts levels by the ensemble; a law alone has its level by
Chinchilla's form. The method was chosen while looking at these tables: others may come out worse."""
NOTE = """\
The levels of four domains of the Pile jump by 3 to 5 % from one length to the next, for all mixtures alike: no law
tells them. Of three domains, six mixtures at 85M parameters are to tell 32 others at 302M: the intervals are as wide as
that needs."""


def results(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Figures of each law, of each split, and by the probability stated."""
    laws, parts, stated = [], [], []
    for name, read in published(folder).items():
        made = backtest_mixtures(read, LAWS)
        laws += [{"runs": name, "law": law, **asdict(each)} for law, each in made.summary.items()]
        parts += [{"runs": name, **each} for each in made.to_dict()["splits"] if each["law"] == AUTO]
        stated += [{"runs": name, **asdict(each)} for each in made.calibration]
    return pd.DataFrame(laws), pd.DataFrame(parts), pd.DataFrame(stated)


def _figures(row: pd.Series) -> tuple[str, ...]:
    errors = (error(row["contrast_error"]), error(row["level_error"]))
    return (*errors, share(row["decisions"]), share(row["coverage"]), share(row["contrast_coverage"]))


def section() -> str:
    """The section of the page, from the results kept."""
    laws, parts, stated = (kept(f"published_{name}") for name in ("laws", "splits", "stated"))
    head = ("contrast", "level", "ranked", "90 % holds", "of differences")
    by_law = [(row["runs"], row["law"], str(row["cells"]), *_figures(row)) for _, row in laws.iterrows()]
    by_split = [
        (
            row["runs"],
            f"{row['fitted_runs']} of {row['fitted_mixtures']}",
            "others" if row["unseen"] else "any",
            f"{row['flops'] / row['fitted_flops']:.3g}x",
            *_figures(row),
        )
        for _, row in parts.iterrows()
    ]
    said = [
        (
            row["runs"],
            f"{row['low']:.0%} to {row['high']:.0%}",
            str(row["count"]),
            share(row["stated"]),
            share(row["right"]),
        )
        for _, row in stated[stated["count"] > 0].iterrows()
    ]
    return "\n".join(
        [
            TITLE,
            "",
            INTRO,
            "",
            *table(("runs", "law", "cells", *head), by_law),
            "",
            NOTE,
            "",
            "Split by split: how many runs of how many mixtures were fitted, which were tested, and at how many times",
            "the compute:",
            "",
            *table(("runs", "fitted", "tested", "compute", *head), by_split),
            "",
            "By the probability that was stated for the order of two mixtures on a domain:",
            "",
            *table(("runs", "stated", "pairs", "mean", "right"), said),
            "",
        ]
    )


def main(*options: str) -> None:
    if "--kept" not in options:
        for name, frame in zip(("laws", "splits", "stated"), results(published_tables()), strict=True):
            keep(f"published_{name}", frame)
    write(TITLE, section())


if __name__ == "__main__":
    main(*sys.argv[1:])
