"""How comparisons of published runs come out at 3 to 100 times their compute: writes a section of ``comparing.md``.

    SCALING_PUBLISHED=FOLDER python -m benchmarks.comparing.published

Every two contenders of a table are compared by their runs up to a budget, for up to five budgets, and judged by each
pair of runs beyond it. About five minutes on a core.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.comparing.backtest import Decisions, Stated, backtest_comparisons, calibration_of, decisions_by_distance
from analysis.comparing.contenders import contenders_by
from analysis.formatting import listed
from analysis.runs.table import read_table
from benchmarks.comparing.page import filled, percent, write
from benchmarks.pages.page import published_tables, table

TITLE = "## Published runs"
INTRO = """\
Written by `python -m benchmarks.comparing.published`: training sets of 2403.08540, learning rates .001, .002 and .004
of (Mis)fitting, and recipes of 2406.19146. Every two contenders are compared by their runs up to a budget, for up to
five budgets, and judged by each pair of runs beyond. `right` is the share in which the likelier contender had the
lower loss, beside the same of two baselines: to rank by the pairs of the largest fitted budget, and by a law of each
contender alone, where there are runs enough for laws. Errors are of the difference of log losses. Decisions of one
table have runs in common, so their shares are less certain than their number suggests. The method was chosen while
looking at these tables: others may come out worse."""


@dataclass(frozen=True)
class Source:
    """Contenders of a published table.

    Attributes:
        name: on the page.
        file: of the table.
        by: the column that tells contenders apart.
        family: of sources whose decisions are counted together.
        loss: the column to compare.
        corpus: the column of the training set, where there are several.
        where: which rows.
    """

    name: str
    file: str
    by: str
    family: str
    loss: str | None = None
    corpus: str | None = None
    where: str | None = None

    def decisions(self, folder: Path) -> pd.DataFrame:
        """One row a decision."""
        named = {"loss": self.loss, "corpus": self.corpus}
        columns = {name: column for name, column in named.items() if column is not None}
        read = read_table(folder / f"{self.file}.csv", columns or None, self.where, kept=(self.by,))
        by = "corpus" if self.corpus == self.by else self.by
        return backtest_comparisons(contenders_by(read, by)).frame


def _gadre(name: str, column: str) -> Source:
    family = "Gadre: training sets"
    return Source(f"{family}, loss on {name}", "gadre2024", "train_data", family, column, "train_data")


def _porian(name: str, loss: str, count: str, data: str) -> Source:
    where = f"loss_kind == '{loss}' and count == '{count}' and dataset == '{data}'"
    family = "Porian: recipes"
    return Source(f"{family}, {name}", "porian2024_isoflop", "stage", family, where=where)


SOURCES = (
    _gadre("C4", "loss_c4_val"),
    _gadre("RedPajama", "loss_00000001@paloma_redpajama"),
    _gadre("RefinedWeb", "loss_00000001@paloma_falcon-refinedweb"),
    Source(
        "(Mis)fitting: learning rates",
        "misfitting2025_final",
        "lr",
        "(Mis)fitting: learning rates",
        where="lr in [0.001, 0.002, 0.004]",
    ),
    _porian("validation on RefinedWeb", "val", "standard", "rw"),
    _porian("validation on OpenWebText2", "val", "standard", "owt2"),
    _porian("training on RefinedWeb", "train", "attention", "rw"),
)

HEAD = (
    "runs",
    "distance",
    "decisions",
    "right",
    "largest budget",
    "laws apart",
    "Brier",
    "90 % holds",
    "error",
    "error of largest",
)


def _rows(name: str, found: tuple[Decisions, ...]) -> Iterator[tuple[str, ...]]:
    for each in found:
        yield (
            name,
            f"{each.factor:g}x",
            str(each.count),
            percent(each.right),
            percent(each.largest),
            percent(each.alone),
            f"{each.brier:.3f}",
            percent(each.covered),
            f"{each.error:.2%}",
            f"{each.largest_error:.2%}",
        )


def _stated(name: str, found: tuple[Stated, ...]) -> Iterator[tuple[str, ...]]:
    for each in found:
        if each.count:
            yield name, f"{each.low:.0%} to {each.high:.0%}", str(each.count), percent(each.stated), percent(each.right)


def _verdict(every: tuple[Decisions, ...], with_laws: tuple[Decisions, ...]) -> str:
    """At which distances a baseline is right more often."""
    largest = [f"{each.factor:g}x" for each in every if each.largest > each.right]
    alone = [f"{each.factor:g}x" for each in with_laws if (each.alone or 0.0) > each.right]
    return filled(
        f"To rank by the largest budget is right more often at {listed(largest) or 'no distance'}, and laws apart at "
        f"{listed(alone) or 'no distance'}. The latter is counted where there are laws of both contenders:"
    )


def section(folder: Path) -> str:
    """The section of the page."""
    made = {source: source.decisions(folder) for source in SOURCES}
    every = pd.concat(made.values(), ignore_index=True)
    with_laws = decisions_by_distance(every[every["alone"].notna()])
    families = {
        family: pd.concat([frame for source, frame in made.items() if source.family == family], ignore_index=True)
        for family in dict.fromkeys(source.family for source in SOURCES)
    }
    by_table = [row for source, frame in made.items() for row in _rows(source.name, decisions_by_distance(frame))]
    stated = [row for name, frame in families.items() for row in _stated(name, calibration_of(frame))]
    return "\n".join(
        [
            TITLE,
            "",
            INTRO,
            "",
            "**All tables together.**",
            "",
            *table(HEAD, _rows("all", decisions_by_distance(every))),
            "",
            _verdict(decisions_by_distance(every), with_laws),
            "",
            *table(HEAD, _rows("all with laws", with_laws)),
            "",
            "By the probability that was stated:",
            "",
            *table(("runs", "stated", "decisions", "mean", "right"), [*_stated("all", calibration_of(every)), *stated]),
            "",
            "**Each table.**",
            "",
            *table(HEAD, by_table),
            "",
        ]
    )


def main() -> None:
    write(TITLE, section(published_tables()))


if __name__ == "__main__":
    main()
