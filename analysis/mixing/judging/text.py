"""What ``scaling score`` prints of a choice of a mixture."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from analysis.mixing.choice import CHOSEN
from analysis.mixing.text import chance
from analysis.table_text import table_text

if TYPE_CHECKING:
    from analysis.mixing.score import ChoiceScore


def score_text(score: "ChoiceScore") -> str:
    """The text of ``scaling score`` of a choice."""
    return "\n".join(_lines(score))


def _lines(score: "ChoiceScore") -> Iterator[str]:
    yield f"objective at {score.extrapolation:.3g} times the largest fitted compute, nats per token"
    rows = []
    for name, each in sorted(score.candidates.items(), key=lambda item: item[1].objective.actual):
        found = each.objective
        low, high = found.interval
        inside = "inside" if found.covered else "outside"
        runs = f"{len(each.runs)} run{'s' if len(each.runs) != 1 else ''}"
        values = (f"{found.predicted:.4f}", f"{low:.4f} to {high:.4f}", f"{found.actual:.4f}", f"{found.error:+.2%}")
        rows.append((name, *values, inside, runs))
    head = ("", "forecast", f"{score.level:.0%} interval", "actual", "error", "", "")
    yield table_text("lrrrrll", head, rows, indent=2)
    for made in score.decisions:
        verdict = "right" if made.right else "wrong"
        yield (
            f"chosen against {made.other}: better with probability {chance(made.better)}, which was {verdict}; gain "
            f"forecast {made.gain:+.2%}, actual {made.actual:+.2%} ({'inside' if made.inside else 'outside'})"
        )
    if score.regret is not None:
        above = "" if score.best == CHOSEN else f"; the chosen one is {score.regret:.2%} above it"
        yield f"best of those trained: {score.best}{above}"
    yield (
        f"mean error on a domain {score.domain_error:.2%}; {score.coverage:.0%} of the {score.level:.0%} intervals hold"
    )
    if score.contrast_error is not None and score.ranked is not None:
        yield (
            f"of differences between mixtures {score.contrast_error:.2%}, of the level {score.level_error:.2%}; "
            f"{score.ranked:.0%} of pairs ranked right"
        )
