"""Whether a comparison prefers the cleaner of two corpora at ten times the compute: a section of ``comparing.md``.

    python -m benchmarks.comparing.planted          from the root of the project; about 15 minutes on 2 cores

It makes the corpora below ``runs/corpora``, trains ``planted.yaml`` in ``runs/planted``, ``scrambled.yaml`` and
``larger.yaml`` likewise, and keeps what the page needs beside itself. With ``--kept`` the section is written from that
alone.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from analysis.comparing.comparison import Comparison, PairComparison, Span, read_comparison
from analysis.comparing.score import ComparisonScore, ScoredPair, read_comparison_score
from benchmarks.comparing.damage import KINDS, damaged, held_out, pieces, write_corpus
from benchmarks.comparing.page import filled, runs_of, write
from benchmarks.pages.page import table

TITLE = "## Corpora with planted damage"
HERE, CORPORA, RUNS = Path(__file__).parent, Path("runs/corpora"), Path("runs")
SWEEPS = ("planted", "scrambled", "larger")
LARGER_PIECES = 800
SHARES = (0.1, 0.3)
CLEAN, NEEDED = "clean", 0.9
INTRO = """\
Written by `python -m benchmarks.comparing.planted`, which trains [comparing/planted.yaml](comparing/planted.yaml).
Each corpus is 160 pieces of State of the Union addresses, of 1,000 bytes each: all clean, or 10 or 30 % of them with
their words shuffled, or 10 or 30 % copies of others. Losses are on the same clean addresses, which none is trained
on. Two seeds of fifteen cells are fitted, with at most a tenth of the FLOPs of the targets, of which there are three
seeds each. The comparison was frozen before any target's first step. P(first) is the probability that the cleaner
one, named first, has the lower loss at the target, and the multiplier how many times its compute it would need for
the loss of the other. `first lower` counts the pairs of target runs of one seed."""
SCRAMBLED = """\
At this size neither shuffled words nor copies change the loss by more than the noise of the fitted runs hides, though
most targets show it. So the same was done, afterwards, with coarser damage: 10 or 30 % of the pieces have their
characters in random order
([comparing/scrambled.yaml](comparing/scrambled.yaml))."""


LARGER = """\
The damage costs more the more a model could learn from the text: the clean corpus's lead over the damaged ones grows
with compute. So the same was done, again afterwards, at ten times the compute, with corpora of 800 pieces
([comparing/larger.yaml](comparing/larger.yaml))."""


def train() -> None:
    """Makes the corpora, trains the sweeps, and keeps comparisons, scores and losses; goes on where it stopped."""
    for folder, documents in ((CORPORA, pieces()), (CORPORA / "larger", pieces(LARGER_PIECES))):
        unseen = held_out()
        write_corpus(folder / CLEAN, documents, unseen)
        for kind in KINDS:
            for share in SHARES:
                write_corpus(folder / f"{kind}-{share * 100:.0f}", damaged(documents, kind, share), unseen)
    for sweep in SWEEPS:
        out, kept = RUNS / sweep, HERE / sweep
        subprocess.run([sys.executable, "-m", "scaling", "run", HERE / f"{sweep}.yaml", "--out", out], check=True)
        kept.mkdir(exist_ok=True)
        for name in ("comparison.json", "comparison_score.json"):
            shutil.copyfile(out / name, kept / name)
        names = read_comparison(out / "comparison.json").contenders
        pd.concat([runs_of(out / name).assign(contender=name) for name in names]).to_csv(kept / "runs.csv", index=False)


def cleaner_first(pair: PairComparison | ScoredPair) -> bool:
    """Whether the second of a pair is the first with more damage, of one kind."""
    first, second = pair.first.split("-"), pair.second.split("-")
    return first[0] in (CLEAN, second[0])


def lower(runs: pd.DataFrame, first: str, second: str) -> str:
    """In how many pairs of target runs of one seed the first has the lower loss."""
    targets = runs[runs["role"] == "target"]
    ours, theirs = (targets[targets["contender"] == name].set_index("seed")["loss"] for name in (first, second))
    return f"{int((ours < theirs).sum())} of {len(ours)}"


def _span(span: Span, form: str) -> str:
    value, low, high = ("-" if each is None else format(each, form) for each in (span.value, span.low, span.high))
    return f"{value} [{low}, {high}]"


def _rows(made: Comparison, scored: ComparisonScore, runs: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    for each in made.pairs:
        if not cleaner_first(each):
            continue
        actual = next(pair for pair in scored.pairs if (pair.first, pair.second) == (each.first, each.second))
        yield (
            f"{each.first} or {each.second}",
            f"{1 - each.better:.3f}",
            _span(each.difference, "+.2%"),
            f"{actual.actual:+.2%}",
            "yes" if actual.inside else "**no**",
            lower(runs, each.first, each.second),
            _span(each.multiplier, ".2f"),
            "-" if actual.actual_multiplier is None else f"{actual.actual_multiplier:.2f}",
            {True: "yes", False: "**no**", None: "-"}[actual.multiplier_inside],
        )


def _budgets(made: Comparison) -> Iterator[tuple[str, ...]]:
    for each in made.pairs:
        if cleaner_first(each):
            means = (f"{row.difference.value:+.2%}" for row in each.budgets)
            yield f"{each.first} or {each.second}", *means, f"{each.scatter:.2%}", f"{each.drift:.2%}"


def _summary(pairs: Sequence[PairComparison], scored: ComparisonScore) -> str:
    judged = [each for each in scored.pairs if cleaner_first(each)]
    sure = [f"{each.first} over {each.second}" for each in pairs if 1 - each.better >= NEEDED]
    against = [f"{each.first} over {each.second}" for each in judged if not each.right]
    losses = ", ".join(
        f"{name} {scored.losses[name]:.4f}" for name in sorted(scored.losses, key=lambda name: scored.losses[name])
    )
    inside, brier = sum(each.inside for each in judged), sum(each.brier for each in judged) / len(judged)
    return filled(
        f"Preferred with P of {NEEDED:g} or more: {len(sure)} of {len(pairs)} ({', '.join(sure) or 'none'}). The order "
        f"of the targets is against the likelier one in {len(against)} ({', '.join(against) or 'none'}). Inside are "
        f"{inside} of {len(judged)} differences; the Brier score is {brier:.3f}. Losses of the targets: {losses}."
    )


def _results(kept: Path) -> list[str]:
    """Lines of the page on one sweep, from what is kept of it."""
    made, scored = read_comparison(kept / "comparison.json"), read_comparison_score(kept / "comparison_score.json")
    pairs = [each for each in made.pairs if cleaner_first(each)]
    head = ("corpora", "P(first)", "difference", "actual", "inside", "first lower", "multiplier", "actual", "inside")
    flops = [f"{row.flops:.2g}" for row in pairs[0].budgets]
    return [
        *table(head, _rows(made, scored, pd.read_csv(kept / "runs.csv"))),
        "",
        _summary(pairs, scored),
        "",
        "What the fitted runs show: the mean difference of log losses by FLOPs, six pairs of runs each; the standard",
        "deviation of one such pair; and the drift of differences that the comparison believes in, per factor e:",
        "",
        *table(("corpora", *flops, "of a pair", "drift"), _budgets(made)),
        "",
    ]


def section() -> str:
    """The section of the page, from what is kept."""
    planted, scrambled, larger = (_results(HERE / sweep) for sweep in SWEEPS)
    return "\n".join([TITLE, "", INTRO, "", *planted, SCRAMBLED, "", *scrambled, LARGER, "", *larger])


def main(*options: str) -> None:
    if "--kept" not in options:
        train()
    write(TITLE, section())


if __name__ == "__main__":
    main(*sys.argv[1:])
