"""AdamW against Muon on two corpora, compared before their targets are trained: a section of ``comparing.md``.

    python -m benchmarks.comparing.optimizers       from the root of the project; about 25 minutes on 2 cores

It carries out ``sweeps/compare.yaml`` on each corpus, and keeps what the page and the notebook need in
``benchmarks/comparing/optimizers``. With ``--kept`` the section is written from that alone.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import scaling as sl
from analysis.comparing.backtest import Decisions
from analysis.comparing.comparison import Comparison, PairComparison, Span, read_comparison
from analysis.comparing.score import ScoredPair
from analysis.formatting import format_power
from benchmarks.comparing.page import filled, percent, write
from benchmarks.pages.kept import keep_frozen, keep_tables
from benchmarks.pages.page import table

TITLE = "## AdamW against Muon"
KEPT = Path(__file__).with_name("optimizers")
SWEEP = Path("sweeps/compare.yaml")
CORPORA = {"sotu": "compare", "python": "compare-python"}  # the sweep on each
FIRST, SECOND = "adamw", "muon"
INTRO = """\
Written by `python -m benchmarks.comparing.optimizers`, which carries out `sweeps/compare.yaml` on English text and on
code. Two seeds of each cell are fitted, with a tenth of the FLOPs of the targets at most; both optimizers train the
same models on the same text in the same order, seed by seed. The comparison was frozen before any target's first
step. Differences are of log losses, Muon's less AdamW's, and multipliers are how many times Muon's compute AdamW needs
for its loss: above 1 Muon is better. An actual multiplier is that of the measured difference, by what compute was
forecast to buy AdamW; no AdamW of so much compute was trained. Intervals are of 90 %."""
TUNED = """\
Both are tuned. AdamW's rate in the recipe loses at most 0.12 % against the best, on both corpora and at the target's
size ([recipe.md](recipe.md)). Muon's was found on `sotu` at 11k to 80k parameters and at most 3e11 FLOPs
([optimizers.md](optimizers.md)), so none was tried on `python` or at the target: if tuning favours one, it is AdamW.
`scaling recipe check` finds that each recipe holds, Muon's at the sizes of `sweeps/smoke.yaml`. FLOPs leave out Muon's
orthogonalisations; seconds hold them."""


@dataclass(frozen=True)
class Corpus:
    """The comparison on one corpus, and what came of it.

    Attributes:
        name: of the corpus.
        place: what is kept of it.
    """

    name: str
    place: Path

    @property
    def made(self) -> Comparison:
        """As frozen."""
        return read_comparison(self.place / "comparison.json")

    @property
    def pair(self) -> PairComparison:
        """Muon against AdamW, as frozen."""
        return self.made.pair(FIRST, SECOND)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The runs of each, by name."""
        return {name: pd.read_parquet(self.place / name / "runs.parquet") for name in (FIRST, SECOND)}

    def score(self, seed: int | None = None) -> ScoredPair:
        """The score by all targets, or by the two of one seed."""
        kept = {
            name: rows if seed is None else rows[(rows["role"] == "fit") | (rows["seed"] == seed)]
            for name, rows in self.tables.items()
        }
        return sl.score_comparison(self.made, kept).pairs[0]

    @property
    def targets(self) -> pd.DataFrame:
        """Loss and seconds of each target, by seed and contender."""
        rows = {name: own[own["role"] == "target"].set_index("seed") for name, own in self.tables.items()}
        return pd.concat({name: own[["loss", "wall_s"]] for name, own in rows.items()}, axis=1)

    def of_one_run(self) -> PairComparison:
        """The comparison made again from the same rows, of one run of each at the target in place of the mean."""
        fitted = {name: rows[rows["role"] == "fit"] for name, rows in self.tables.items()}
        point = self.made.targets[FIRST]
        return sl.compare(fitted, params=point.params, tokens=point.tokens, flops=point.flops, seeds=1).pairs[0]

    def backtest(self) -> tuple[Decisions, ...]:
        """How comparisons from the cheaper of the fitted runs rank the dearer ones."""
        return sl.backtest_comparisons(self.tables).by_distance


def corpora() -> list[Corpus]:
    """Those that are kept."""
    return [Corpus(name, KEPT / name) for name in CORPORA]


def keep(run: Path, place: Path) -> None:
    """Copies what the page and the notebook need.

    Args:
        run: the folder of a finished sweep with contenders.
        place: a folder; what it holds of these names is replaced.
    """
    keep_frozen(run, place, ("comparison.json", "comparison_score.json"))
    for name in read_comparison(run / "comparison.json").contenders:
        keep_tables(run / name, place / name, ("runs.parquet",))
        keep_frozen(run / name, place / name, ("forecast.json", "score.json"))


def train() -> None:
    """Carries out the sweeps, and keeps them; goes on where it stopped."""
    for corpus, name in CORPORA.items():
        out = Path("runs") / name
        overrides = (f"corpus={corpus}", f"name={name}")
        subprocess.run([sys.executable, "-m", "scaling", "run", SWEEP, *overrides, "--out", out], check=True)
        keep(out, KEPT / corpus)


def of(span: Span, form: str) -> str:
    """A value with its interval."""
    value, low, high = ("-" if each is None else format(each, form) for each in (span.value, span.low, span.high))
    return f"{value} [{low}, {high}]"


def holds(span: Span, value: float | None) -> bool | None:
    """Whether an interval holds a value; None without one. An end that is None is without bound."""
    if value is None or span.low is None:
        return None
    return span.low <= value and (span.high is None or value <= span.high)


def shown(held: bool | None) -> str:
    """Yes or no."""
    return {True: "yes", False: "**no**", None: "-"}[held]


def factor(value: float | None) -> str:
    """A multiplier, or a dash for none."""
    return "-" if value is None else f"{value:.2f}"


def at_target(found: list[Corpus]) -> Iterator[str]:
    """What was frozen and what came."""
    rows = []
    for each in found:
        pair, score = each.pair, each.score()
        rows.append(
            (
                *(each.name, f"{pair.better:.3f}", shown(score.right)),
                *(of(pair.difference, "+.2%"), f"{score.actual:+.2%}", shown(score.inside)),
                *(of(pair.multiplier, ".2f"), factor(score.actual_multiplier), shown(score.multiplier_inside)),
            )
        )
    yield filled(
        f"**At the target**, {found[0].made.extrapolation:.0f} times the FLOPs of the largest fitted runs. The actual "
        "difference and multiplier are of the means of three runs of each."
    )
    yield ""
    head = ("corpus", "P(Muon)", "right", "difference", "actual", "inside", "multiplier", "actual", "inside")
    yield from table(head, rows)


def by_budget(found: list[Corpus]) -> Iterator[str]:
    """Differences and multipliers among the fitted runs, then the forecast and the target."""
    head = ["FLOPs", *(f"{each.name}, {what}" for each in found for what in ("difference", "multiplier"))]
    rows = []
    for flops in zip(*(each.pair.budgets for each in found), strict=True):
        cells = [(of(row.difference, "+.2%"), of(row.multiplier, ".2f")) for row in flops]
        rows.append([format_power(flops[0].flops), *(cell for both in cells for cell in both)])
    target = format_power(found[0].made.targets[FIRST].flops)
    forecast = [(of(each.pair.difference, "+.2%"), of(each.pair.multiplier, ".2f")) for each in found]
    rows.append([f"{target}, forecast", *(cell for both in forecast for cell in both)])
    scores = [each.score() for each in found]
    actual = [(f"{score.actual:+.2%}", factor(score.actual_multiplier)) for score in scores]
    rows.append([f"{target}, actual", *(cell for both in actual for cell in both)])
    yield "**By budget**: what the fitted runs show, the forecast, and what came."
    yield ""
    yield from table(head, rows)
    yield ""
    trends = "; ".join(f"{of(each.pair.trend, '.3f')} on `{each.name}`" for each in found)
    yield filled(f"Among the fitted runs the multiplier changes per tenfold compute by a factor of {trends}.")


def replicates(found: list[Corpus]) -> Iterator[str]:
    """Each seed's two targets against what was frozen."""
    rows, right, frozen, single = [], [], [], []
    for each in found:
        pair, one = each.pair, each.of_one_run()
        for seed, losses in each.targets.iterrows():
            score = each.score(int(str(seed)))
            right.append(score.right)
            frozen.append(score.multiplier_inside)
            single.append(holds(one.multiplier, score.actual_multiplier))
            rows.append(
                (
                    *(each.name, str(seed), f"{losses[FIRST, 'loss']:.4f}", f"{losses[SECOND, 'loss']:.4f}"),
                    *(f"{score.actual:+.2%}", shown(score.right), shown(score.inside)),
                    *(factor(score.actual_multiplier), of(pair.multiplier, ".2f"), shown(frozen[-1])),
                    *(of(one.multiplier, ".2f"), shown(single[-1])),
                )
            )
    yield filled(
        "**Three seeds as replicates**: each seed's two targets alone. The frozen interval is of means of three; "
        "that of the same comparison for one run of each stands beside it."
    )
    yield ""
    head = ("corpus", "seed", "AdamW", "Muon", "difference", "P right", "inside")
    yield from table((*head, "multiplier", "frozen", "inside", "of one run", "inside"), rows)
    yield ""
    count = len(rows)
    yield filled(
        f"P(Muon) was right in {sum(right)} of {count} replicates. Their own multiplier is inside the frozen interval "
        f"in {sum(held is True for held in frozen)} of {count}, and inside that of one run in "
        f"{sum(held is True for held in single)} of {count}. Replicates of one corpus are judged by one forecast, so "
        f"that these are {len(found)} forecasts, not {count}."
    )


def in_time(found: list[Corpus]) -> Iterator[str]:
    """The multiplier in seconds, as frozen and by the targets' own."""
    rows = []
    for each in found:
        seconds = each.targets.xs("wall_s", axis=1, level=1).mean()
        cost, actual = seconds[SECOND] / seconds[FIRST], each.score().actual_multiplier
        came = None if actual is None else actual / cost
        span = each.pair.time
        rows.append(
            (
                *(each.name, of(each.pair.multiplier, ".2f"), "-" if span is None else of(span, ".2f")),
                *(f"{seconds[FIRST]:.0f}", f"{seconds[SECOND]:.0f}", f"{cost:.2f}", factor(came)),
                "-" if span is None else shown(holds(span, came)),
            )
        )
    yield filled(
        "**In time**: how many times Muon's seconds AdamW needs for its loss. Muon pays where the ratio of seconds is "
        "below the multiplier in FLOPs. These seconds hold whatever else the machine did at the time, more for some "
        "runs than for others; ratios of steps that were timed in turn are in [optimizers.md](optimizers.md)."
    )
    yield ""
    head = ("corpus", "in FLOPs", "in time", "AdamW's target, s", "Muon's, s", "ratio", "in time, actual", "inside")
    yield from table(head, rows)


def naive(found: list[Corpus]) -> Iterator[str]:
    """The two ways without a comparison."""
    rows = []
    for each in found:
        actual, pair = each.score().actual, each.pair
        alone = [sl.score(each.place / name / "forecast.json", each.place / name) for name in (FIRST, SECOND)]
        apart = float(np.log(alone[1].predicted / alone[0].predicted))
        assert pair.difference.value is not None
        largest = pair.budgets[-1].difference.value
        assert largest is not None
        ends = "; ".join(f"{own.predicted:.4f} [{own.interval[0]:.4f}, {own.interval[1]:.4f}]" for own in alone)
        misses = [f"{value:+.2%} ({value - actual:+.2%})" for value in (pair.difference.value, largest, apart)]
        rows.append((each.name, f"{actual:+.2%}", *misses, ends))
    yield filled(
        "**Beside two naive ways**: differences, and in brackets how far they miss. Each extrapolated alone has an "
        "interval of its loss, and none of the difference."
    )
    yield ""
    head = ("corpus", "actual", "compared", "at the largest budget", "each alone", "losses alone, AdamW; Muon")
    yield from table(head, rows)


def backtested(found: list[Corpus]) -> Iterator[str]:
    """How good such statements are, by the fitted runs themselves."""
    rows = [
        (
            *(each.name, f"{row.factor:g}x", str(row.count), percent(row.right), percent(row.largest)),
            *(percent(row.alone), f"{row.brier:.3f}", percent(row.covered)),
            *(f"{row.error:.2%}", f"{row.largest_error:.2%}"),
        )
        for each in found
        for row in each.backtest()
    ]
    yield filled(
        "**How good such statements are**: the cheaper of the fitted runs are compared, up to each of five budgets, "
        "and each pair of runs beyond judges that. At ten times the compute few pairs are left to fit."
    )
    yield ""
    head = ("corpus", "distance", "decisions", "right", "largest budget", "laws apart", "Brier", "90 % holds")
    yield from table((*head, "error", "error of largest"), rows)


def section() -> str:
    """The section of the page, from what is kept."""
    found = corpora()
    parts = (at_target, by_budget, replicates, in_time, naive, backtested)
    return "\n\n".join([TITLE, INTRO, TUNED, *("\n".join(part(found)) for part in parts)]) + "\n"


def main(*options: str) -> None:
    if "--kept" not in options:
        train()
    write(TITLE, section())


if __name__ == "__main__":
    main(*sys.argv[1:])
