"""A mixture of our own domains, chosen by small runs before the target is trained: a section of ``mixtures.md``.

    python -m benchmarks.mixing.own                 from the root of the project; about 15 minutes on 2 cores

It carries out ``sweeps/mixture.yaml`` and keeps what the page needs in ``benchmarks/mixing/own``. With ``--kept`` the
section is written from that alone.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from analysis.mixing.choice import CHOSEN, Choice, read_choice
from analysis.mixing.score import ChoiceScore, ScoredLoss, read_choice_score
from benchmarks.mixing.page import error, filled, share, write
from benchmarks.pages.kept import keep_frozen, keep_tables
from benchmarks.pages.page import table

TITLE = "## Our own domains"
KEPT = Path(__file__).with_name("own")
SWEEP, OUT = Path("sweeps/mixture.yaml"), Path("runs/mixture")
FROZEN = ("choice.json", "choice_score.json")
INTRO = """\
Written by `python -m benchmarks.mixing.own`, which carries out `sweeps/mixture.yaml`. The mixture was chosen from the
small runs and frozen before any run of the target, which was then trained on it and on the mixtures beside it. Errors
are forecast over actual loss, less 1; actual losses are means over seeds."""


def keep(here: Path, there: Path = KEPT) -> None:
    """Keeps what the page needs of a finished sweep's folder."""
    keep_tables(here, there, ("runs.parquet",))
    keep_frozen(here, there, FROZEN)


def _summary(made: Choice, score: ChoiceScore) -> Iterator[tuple[str, str, str]]:
    yield "target's FLOPs over those of the largest fitted run", f"{score.extrapolation:.1f}", ">= 8"
    yield "mean error on a domain", error(score.domain_error), "<= 1.5 %"
    if score.contrast_error is not None:
        yield "of differences between mixtures", error(score.contrast_error), ""
    yield f"{made.level:.0%} intervals that hold, of domains", share(score.coverage), ">= 85 %"
    if score.ranked is not None:
        yield "pairs of mixtures ranked right, on each domain", share(score.ranked), ">= 93 %"
    if score.regret is not None:
        yield "the chosen mixture above the best of those trained", error(score.regret), "<= .5 %"


def _loss(name: str, what: str, each: ScoredLoss) -> tuple[str, ...]:
    low, high = each.interval
    spanned = f"{each.predicted:.4f} [{low:.4f}, {high:.4f}]"
    return name, what, spanned, f"{each.actual:.4f}", f"{each.error:+.2%}", "yes" if each.covered else "**no**"


def _losses(score: ChoiceScore) -> Iterator[tuple[str, ...]]:
    for name, candidate in score.candidates.items():
        yield _loss(name, "objective", candidate.objective)
        for domain, each in candidate.losses.items():
            yield _loss(name, domain, each)


def _shares(made: Choice) -> Iterator[tuple[str, ...]]:
    for source in made.shares:
        low, high = made.ranges[source]
        each = (share(candidate.shares[source]) for candidate in made.candidates.values())
        yield source, *each, f"{low:.0%} to {high:.0%}"


def _decisions(made: Choice, score: ChoiceScore) -> Iterator[tuple[str, ...]]:
    for each in score.decisions:
        gain = made.gain[each.other]
        yield (
            f"{CHOSEN} or {each.other}",
            f"{each.better:.3f}",
            "yes" if each.right else "**no**",
            f"{gain.value:+.2%} [{gain.low:+.2%}, {gain.high:+.2%}]",
            f"{each.actual:+.2%}",
            "yes" if each.inside else "**no**",
        )


def section(place: Path = KEPT) -> str:
    """The section of the page, from a folder of what was kept."""
    made, score = read_choice(place / "choice.json"), read_choice_score(place / "choice_score.json")
    objective = ", ".join(f"{name} {weight:.0%}" for name, weight in made.objective.items() if weight)
    head = ("mixture", "loss", "forecast", "actual", "error", "inside")
    return "\n".join(
        [
            TITLE,
            "",
            INTRO,
            "",
            filled(f"{made.n_runs} runs on {made.n_mixtures} mixtures were fitted; the objective is {objective}."),
            "",
            *table(("", "found", "aim"), _summary(made, score)),
            "",
            "Shares, and the range of each that cannot be told from the chosen one:",
            "",
            *table(("source", *made.candidates, "range"), _shares(made)),
            "",
            *table(("", "P(better)", "right", "gain", "actual", "inside"), _decisions(made, score)),
            "",
            *table(head, _losses(score)),
            "",
        ]
    )


def main(*options: str) -> None:
    if "--kept" not in options:
        subprocess.run([sys.executable, "-m", "scaling", "run", SWEEP, "--out", OUT], check=True)
        keep(OUT)
    write(TITLE, section())


if __name__ == "__main__":
    main(*sys.argv[1:])
