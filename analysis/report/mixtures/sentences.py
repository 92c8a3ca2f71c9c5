"""The verdict on a mixture in plain sentences: what is chosen, what it is worth, what is not decided, what came."""

from collections.abc import Iterator, Mapping

from analysis.formatting import format_quantity, listed
from analysis.mixing.choice import CHOSEN, Choice, Span
from analysis.mixing.score import ChoiceScore
from analysis.mixing.text import chance, mixture_text, objective_text
from analysis.report.words import change, count

NAMES = {"proportional": "the proportional mixture", "uniform": "the uniform mixture", "best_run": "the best one tried"}
LEVEL_AND_CONTRAST = (
    "A forecast has two parts: the level, which is the loss on a domain whatever the mixture and forecast as that of "
    "any run, and the contrast, which is what a mixture changes and follows the laws of mixtures. All candidates share "
    "the level's error, so the differences between them are surer than their losses."
)
_SAME = 5e-4  # of a share
_MOST_RANGES = 8


def verdict(choice: Choice) -> str:
    """The chosen mixture and its objective."""
    return (
        f"For {format_quantity(choice.params)} parameters on {format_quantity(choice.tokens)} tokens, {_far(choice)}, "
        f"the mixture to train on is {mixture_text(choice.shares)}. Its objective ({objective_text(choice.objective)}) "
        f"is expected to be {_spanned(choice.candidates[CHOSEN].objective, choice.level)} nats per token."
    )


def _far(choice: Choice) -> str:
    if choice.extrapolation <= 1:
        return "within the FLOPs of the fitted runs"
    return f"{choice.extrapolation:.3g} times the FLOPs of the largest fitted run"


def _spanned(span: Span, level: float) -> str:
    return f"{span.value:.4f} ({100 * level:.4g}% interval {span.low:.4f} to {span.high:.4f})"


def worth(choice: Choice) -> Iterator[str]:
    """What the chosen mixture is worth against each other candidate, and what cannot be told from it."""
    for name, better in choice.p_better.items():
        other = NAMES.get(name, name)
        if same(choice.shares, choice.candidates[name].shares):
            yield f"It is {other}."
            continue
        gain = choice.gain[name]
        yield (
            f"It is better than {other} with probability {chance(better)}: the objective of that one is expected to be "
            f"{_apart(gain.value)} ({100 * choice.level:.4g}% interval {change(gain.low)} to {change(gain.high)})."
        )
    yield _not_told(choice)
    if choice.flat:
        yield f"The share of {listed(choice.flat, 12)} hardly matters."
    if choice.scarce is not None:
        yield (
            f"Were no source to run out, the mixture would be {mixture_text(choice.scarce.endless)}; a source that is "
            f"repeated {choice.scarce.repeat:.3g} times and more is worth little further."
        )


def same(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Whether two mixtures are one."""
    return all(abs(share - other[name]) < _SAME for name, share in one.items())


def _apart(gain: float) -> str:
    return f"{change(abs(gain)).lstrip('+')} {'higher' if gain >= 0 else 'lower'}"


def _not_told(choice: Choice) -> str:
    spans = sorted(choice.ranges.items(), key=lambda item: item[1][0] - item[1][1])
    wide = [f"{name} {100 * low:.0f} to {100 * high:.0f}%" for name, (low, high) in spans if high - low >= 0.005]
    if not wide:
        return "Every other mixture can be told from it."
    return f"What cannot be told from it has {listed(wide, _MOST_RANGES)}."


def outcome(score: ChoiceScore | None) -> str:
    """What came of the choice at the target."""
    if score is None:
        return "The target has not been trained and scored yet."
    names = {**NAMES, CHOSEN: "the chosen mixture"}
    others = score.decisions
    text = ""
    if len(score.candidates) > 1:
        best = names.get(score.best, score.best)
        text = f"Of {len(score.candidates)} candidates trained at the target {best} came out best"
        if score.best != CHOSEN and score.regret is not None:
            text += f", and the chosen one {change(score.regret).lstrip('+')} above it"
        text += ". "
    if CHOSEN in score.candidates:
        found = score.candidates[CHOSEN].objective
        held = "inside" if found.covered else "outside"
        text += (
            f"The objective of the chosen mixture came to {found.actual:.4f}, {held} its interval; the forecast missed "
            f"by {found.error:+.2%}. "
        )
    else:
        text += "The chosen mixture itself was not trained. "
    if others:
        right = sum(each.right for each in others)
        text += f"{right} of {count(len(others), 'decision')} {'was' if right == 1 else 'were'} right. "
    return text + (
        f"By domain the forecasts missed by {score.domain_error:.2%} on average, and {score.coverage:.0%} of the "
        "intervals held the loss."
    )
