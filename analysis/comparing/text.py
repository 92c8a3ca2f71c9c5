"""What the commands of comparisons print."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from analysis.formatting import format_power, format_quantity, listed
from analysis.table_text import table_text

if TYPE_CHECKING:
    from analysis.comparing.backtest import ComparisonBacktest
    from analysis.comparing.comparison import BudgetRow, Comparison, PairComparison, Span
    from analysis.comparing.design import ComparisonDesign, PairDesign
    from analysis.comparing.score import ComparisonScore, ScoredPair

_MOST_BUDGETS = 8  # in the text of two contenders; the JSON object and the page have all
_SHOWN_SEEDS = (1, 2, 4, 8)


def comparison_text(made: "Comparison") -> str:
    """The text of ``scaling compare``: the verdict first."""
    return "\n".join(_of_two(made.pairs[0], made) if len(made.pairs) == 1 else _of_several(made))


def verdict(made: "Comparison") -> str:
    """Which contender is best at the target, in a sentence."""
    if len(made.pairs) == 1:
        return pair_verdict(made.pairs[0], made.level)
    best = made.contenders[0]
    others = ", ".join(f"{name} {chance(made.best[name])}" for name in made.contenders[1:])
    if len(made.may_be_best) == 1:
        return f"{best} is the best of {len(made.contenders)} with probability {chance(made.best[best])}; {others}"
    also = listed([name for name in made.may_be_best if name != best])
    return (
        f"not decided: {best} is the best of {len(made.contenders)} with probability {chance(made.best[best])}; "
        f"{others}; {also} may be as good"
    )


def pair_verdict(each: "PairComparison", level: float) -> str:
    """Which of two contenders is better at the target, with what probability and worth how much, in a sentence."""
    ahead, behind = (each.second, each.first) if each.better >= 0.5 else (each.first, each.second)
    start = "" if each.enough else "not decided: "
    text = f"{start}{ahead} is better than {behind} at the target with probability {chance(share_of(each.better))}"
    value, low, high = worth(each)
    if math.isnan(value):
        return f"{text}; what that is worth in compute is not known"
    return f"{text}, worth {times(value)} the compute ({100 * level:.4g}% interval {factor(low)} to {factor(high)})"


def worth(each: "PairComparison") -> tuple[float, float, float]:
    """How many times the compute the contender behind needs for the same loss, with its interval; NaN if not known.

    Of a second contender that is behind it is at that one's own loss: the first has it with a part of the compute.
    """
    return turned(each.multiplier, each.better < 0.5)


def turned(span: "Span", turn: bool) -> tuple[float, float, float]:
    """A factor and its ends, or 1 / these; infinite where no compute suffices, NaN where it is not known."""
    if span.value is None and span.low is None and span.high is None:
        return math.nan, math.nan, math.nan
    value, low, high = (math.inf if end is None else end for end in (span.value, span.low, span.high))
    if not turn:
        return value, low, high
    value, low, high = (math.inf if end <= 0 else 1 / end for end in (value, high, low))
    return value, low, high


def chance(share: float) -> str:
    """A probability: ``97%``; at its ends ``>99%`` and ``<1%``."""
    return f"{100 * share:.0f}%" if 0.005 <= share <= 0.995 else (">99%" if share > 0.5 else "<1%")


def share_of(better: float) -> float:
    """The probability of the likelier contender."""
    return max(better, 1 - better)


def factor(value: float) -> str:
    """A factor of compute: ``1.31``; ``unlimited`` where no compute suffices."""
    return "unlimited" if math.isinf(value) or value > 1e6 else f"{value:.3g}"


def times(value: float) -> str:
    """A factor in words: ``1.31 times``."""
    return "more than any multiple of" if factor(value) == "unlimited" else f"{factor(value)} times"


def target_line(made: "Comparison") -> str:
    """The target, or each contender's own, and how far it is."""
    points = made.targets.values()
    far = f"{made.extrapolation:.3g} times the FLOPs of the largest paired runs"
    if made.extrapolation <= 1:
        far = "within the budgets of the paired runs"
    if len({(point.params, point.tokens) for point in points}) == 1:
        first = next(iter(points))
        ends = dict.fromkeys(format_power(end(point.flops for point in points)) for end in (min, max))
        size = f"{format_quantity(first.params)} parameters, {format_quantity(first.tokens)} tokens"
        return f"{size}, {' to '.join(ends)} FLOPs: {far}"
    each = (
        f"{name} {format_quantity(point.params)} parameters, {format_quantity(point.tokens)} tokens"
        for name, point in made.targets.items()
    )
    return f"{'; '.join(each)}: {far}"


def _of_two(each: "PairComparison", made: "Comparison") -> list[str]:
    level = f"{100 * made.level:.4g}%"
    rows = [("target", target_line(made))]
    rows.append(
        ("loss", f"{each.second} {percent(each.difference)}{_absolute(each.loss, made.unit)}: {level} intervals")
    )
    rows.append(("multiplier", f"{spanned(each.multiplier)}: compute that {each.first} needs for {each.second}'s loss"))
    if each.trend.value is not None:
        rows.append(("trend", f"times {spanned(each.trend)} per tenfold compute, among the runs"))
    other = (("time", each.time), ("money", each.money))
    rows += [(name, f"{spanned(span)}: the same in {name}") for name, span in other if span is not None]
    rows.append(("order", order_line(each)))
    if each.deciding is not None:
        rows.append(("to decide", each.deciding))
    lines = [pair_verdict(each, made.level), table_text("ll", ("", ""), rows)]
    if each.budgets:
        shown = thinned(each.budgets)
        more = f" ({len(shown)} of {len(each.budgets)} budgets)" if len(shown) < len(each.budgets) else ""
        lines += [f"what the runs show{more}:", budgets_text(shown)]
    return lines


def order_line(each: "PairComparison") -> str:
    """How likely the order changes between the runs and the target, and where by the forecast."""
    text = f"changes between the largest runs and the target with probability {chance(each.crosses)}"
    return text if each.crossing is None else f"{text}; by the forecast at {format_power(each.crossing)} FLOPs"


def thinned(rows: "Sequence[BudgetRow]") -> "list[BudgetRow]":
    """At most eight budgets, evenly chosen, the lowest and the largest among them."""
    if len(rows) <= _MOST_BUDGETS:
        return list(rows)
    places = {round(place * (len(rows) - 1) / (_MOST_BUDGETS - 1)) for place in range(_MOST_BUDGETS)}
    return [rows[place] for place in sorted(places)]


def budgets_text(rows: "Sequence[BudgetRow]") -> str:
    """A table of budgets as text."""
    cells = [
        (format_power(row.flops), str(row.pairs), percent(row.difference), spanned(row.multiplier)) for row in rows
    ]
    return table_text("rrll", ("FLOPs", "pairs", "difference", "multiplier"), cells, indent=2)


def _of_several(made: "Comparison") -> list[str]:
    rows = [("target", target_line(made))]
    if len(made.may_be_best) > 1:
        rows.append(("may be best", f"{', '.join(made.may_be_best)}: no other is better with 95%"))
    lines = [verdict(made), table_text("ll", ("", ""), rows), "", "probability that the row is better than the column"]
    lines.append(matrix_text(made))
    place = {name: number for number, name in enumerate(made.contenders)}
    pairs = sorted(made.pairs, key=lambda each: sorted((place[each.first], place[each.second])))
    head = ("contender", "against", "P(better)", "difference", "multiplier", "order changes")
    cells = [
        (
            *(each.second, each.first, chance(each.better), percent(each.difference), spanned(each.multiplier)),
            chance(each.crosses),
        )
        for each in pairs
    ]
    lines += ["", f"at the target, with {100 * made.level:.4g}% intervals"]
    lines.append(table_text("llrllr", head, cells, indent=2))
    undecided = [each for each in pairs if each.deciding is not None]
    leading = [each for each in undecided if made.contenders[0] in (each.first, each.second)]
    lines += [f"to decide between {each.first} and {each.second}: {each.deciding}" for each in leading]
    return lines


def matrix_text(made: "Comparison") -> str:
    """P(row better than column) as text."""
    rows = [
        (name, *(("-" if name == other else chance(better_than(made, name, other))) for other in made.contenders))
        for name in made.contenders
    ]
    return table_text("l" + "r" * len(made.contenders), ("", *made.contenders), rows, indent=2)


def better_than(made: "Comparison", name: str, other: str) -> float:
    """Probability that one contender's loss is lower than another's."""
    for each in made.pairs:
        if (each.first, each.second) == (other, name):
            return each.better
        if (each.first, each.second) == (name, other):
            return 1 - each.better
    raise KeyError(f"{name} and {other}")


def score_text(result: "ComparisonScore") -> str:
    """The text of ``scaling score`` of a comparison."""
    right = sum(each.right for each in result.pairs)
    verdict = "as forecast" if result.best == result.forecast_best else f"the forecast was {result.forecast_best}"
    losses = ", ".join(
        f"{name} {loss:.4f} ({result.runs[name]} run{'s' * (result.runs[name] > 1)})"
        for name, loss in sorted(result.losses.items(), key=lambda item: item[1])
    )
    lines = [f"{result.best} is best, {verdict}: {losses} {result.unit}", ""]
    head = ("contender", "against", "forecast", "", "difference", "actual", "", "multiplier", "actual", "")
    lines.append(table_text("lllllllll" + "l", head, [_scored(each) for each in result.pairs]))
    lines += [
        "",
        f"{right} of {len(result.pairs)} right; Brier score {result.brier:.3f}, of even chances 0.25; intervals of "
        f"{100 * result.level:.4g}%",
    ]
    return "\n".join(lines)


def _scored(each: "ScoredPair") -> tuple[str, ...]:
    ahead = each.second if each.better >= 0.5 else each.first
    made: tuple[str, ...] = (
        *(each.second, each.first, f"{ahead} {chance(share_of(each.better))}", "right" if each.right else "wrong"),
        *(f"{100 * each.difference:+.2f}%", f"{100 * each.actual:+.2f}%", "inside" if each.inside else "outside"),
    )
    if each.multiplier is None or each.actual_multiplier is None:
        return made
    held = "inside" if each.multiplier_inside else "outside"
    return (*made, factor(each.multiplier), factor(each.actual_multiplier), held)


def backtest_text(result: "ComparisonBacktest") -> str:
    """The text of ``scaling backtest --compare``."""
    head = ("FLOPs", "decisions", "right", "by largest", "laws alone", "Brier", "in interval", "error", "by largest")
    rows = [
        (
            *(f"{each.factor:g}x", str(each.count), _share(each.right), _share(each.largest)),
            *("" if each.alone is None else _share(each.alone), f"{each.brier:.3f}", _share(each.covered)),
            *(f"{100 * each.error:.2f}%", f"{100 * each.largest_error:.2f}%"),
        )
        for each in result.by_distance
    ]
    stated = [
        (f"{100 * each.low:.0f} to {100 * each.high:.0f}%", str(each.count), _share(each.stated), _share(each.right))
        for each in result.calibration
        if each.right is not None and each.stated is not None
    ]
    count = f"{len(result.contenders)} contenders, {len(result.frame)} decisions"
    return "\n".join(
        [
            f"{count} at pairs of runs beyond the fitted ones",
            table_text("r" * len(head), head, rows),
            "",
            "how often what was stated came out right",
            table_text("rrrr", ("stated", "decisions", "mean", "right"), stated),
        ]
    )


def design_text(result: "ComparisonDesign") -> str:
    """The text of ``scaling design --compare``."""
    if not result.pairs:
        return f"decided: one contender is better than every other with {100 * result.decided:.4g}% or more"
    lines = [line for each in result.pairs for line in ("", *_designed(each, result))]
    return "\n".join(lines[1:])


def _designed(each: "PairDesign", result: "ComparisonDesign") -> list[str]:
    rows = [
        (
            *(format_power(plan.flops), str(plan.seeds), format_power(plan.cost), chance(plan.confidence)),
            *(chance(plan.decides), "<- the cheapest that decides" if plan == each.chosen else ""),
        )
        for plan in each.further
        if plan.seeds in _SHOWN_SEEDS or plan == each.chosen
    ]
    head = ("FLOPs", "runs of each", "FLOPs in all", "then stated", f"above {100 * result.decided:.4g}%", "")
    title = f"{each.first} and {each.second}: {each.ahead} is better with probability {chance(each.confidence)}"
    table = [table_text("rrrrrl", head, rows, indent=2)] if rows else []
    return [title, *table, each.verdict]


def _share(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f}%"


def percent(span: "Span") -> str:
    """A difference of log losses and its interval, in percent."""
    if span.value is None:
        return "not known"
    return f"{100 * span.value:+.2f}%{_ends(span, lambda value: f'{100 * value:+.2f}%')}"


def _absolute(span: "Span", unit: str) -> str:
    if span.value is None:
        return ""
    return f", {span.value:+.4f} {unit}{_ends(span, lambda value: f'{value:+.4f}')}"


def spanned(span: "Span") -> str:
    """A factor and its interval."""
    if span.value is None and span.low is None and span.high is None:
        return "not known"
    value = math.inf if span.value is None else span.value
    return f"{factor(value)}{_ends(span, factor)}"


def _ends(span: "Span", show: Callable[[float], str]) -> str:
    if span.low is None:
        return ""
    return f" ({show(span.low)} to {show(math.inf if span.high is None else span.high)})"
