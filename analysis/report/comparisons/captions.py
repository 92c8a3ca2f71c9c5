"""The sentence under each figure of a comparison, made from its numbers."""

from collections.abc import Sequence

from analysis.comparing.comparison import Comparison
from analysis.comparing.text import better_than, chance, factor
from analysis.formatting import format_power
from analysis.plots.comparisons import Line
from analysis.report.words import count


def of_multiplier(lines: Sequence[Line], made: Comparison) -> str:
    """Caption of multipliers over compute: at the target and at the largest budget, of the next best contender."""
    best, line = made.contenders[0], lines[0]
    text = (
        f"For {best}'s loss at the target {line.other} needs {factor(line.value[-1])} times {best}'s compute "
        f"({factor(line.low[-1])} to {factor(line.high[-1])})"
    )
    if len(line.flops) > 1:
        text += f"; at {_largest(line)} it was {factor(line.value[-2])}"
    return f"{text}. Above 1 {best} is better.{_scored(line, factor)}"


def of_difference(lines: Sequence[Line], made: Comparison) -> str:
    """Caption of differences over compute, of the contender that is next best."""
    best, line = made.contenders[0], lines[0]
    text = (
        f"At the target the loss of {best} is expected {_apart(line.value[-1])} that of {line.other} "
        f"({line.low[-1]:+.2f}% to {line.high[-1]:+.2f}%)"
    )
    if len(line.flops) > 1:
        text += f"; at {_largest(line)} it was {_apart(line.value[-2])} it"
    return f"{text}. Below 0 {best} is better.{_scored(line, lambda value: f'{value:+.2f}%')}"


def _largest(line: Line) -> str:
    return f"the largest budget of both, {format_power(line.flops[-2])} FLOPs,"


def _apart(value: float) -> str:
    return f"{abs(value):.2f}% {'below' if value < 0 else 'above'}"


def _scored(line: Line, show: object) -> str:
    if line.actual is None:
        return ""
    assert callable(show)
    held = "inside" if line.low[-1] <= line.actual <= line.high[-1] else "outside"
    return f" It came to {show(line.actual)}, {held} the interval."


def of_matrix(made: Comparison) -> str:
    """Caption of the matrix: how many pairs are decided, and which is least."""
    decided = [each for each in made.pairs if each.enough]
    least = min(made.pairs, key=lambda each: abs(each.better - 0.5))
    ahead, behind = (least.second, least.first) if least.better >= 0.5 else (least.first, least.second)
    share = chance(better_than(made, ahead, behind))
    are = f"{count(len(made.pairs), 'pair')} {'is' if len(decided) == 1 else 'are'}"
    return (
        f"{len(decided)} of {are} decided with 95% or more. The closest is {ahead}, better than {behind} with "
        f"probability {share}."
    )
