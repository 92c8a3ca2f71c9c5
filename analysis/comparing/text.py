"""What the commands of comparisons print."""

from typing import TYPE_CHECKING

from analysis.formatting import format_power, format_quantity

if TYPE_CHECKING:
    from analysis.comparing.backtest import ComparisonBacktest
    from analysis.comparing.comparison import Comparison, PairComparison, Span
    from analysis.comparing.score import ComparisonScore


def comparison_text(made: "Comparison") -> str:
    """The text of ``scaling compare``."""
    first = made.targets[made.contenders[0]]
    lines = [
        f"target       {format_quantity(first.params)} parameters, {format_quantity(first.tokens)} tokens, "
        f"{format_power(first.flops)} FLOPs: {made.extrapolation:.3g} times the largest paired runs"
    ]
    chances = ", ".join(f"{name} {_chance(share)}" for name, share in made.best.items())
    lines.append(f"best         {chances}")
    if len(made.contenders) > 2:
        lines.append(f"may be best  {', '.join(made.may_be_best)}")
    for each in made.pairs:
        lines += ["", *_pair(each, made)]
    return "\n".join(lines)


def score_text(result: "ComparisonScore") -> str:
    """The text of ``scaling score`` of a comparison."""
    losses = ", ".join(f"{name} {loss:.4f} ({result.runs[name]})" for name, loss in result.losses.items())
    verdict = "as forecast" if result.best == result.forecast_best else f"the forecast was {result.forecast_best}"
    lines = [f"losses      {losses} {result.unit} (runs)", f"best        {result.best}, {verdict}"]
    for each in result.pairs:
        chance = max(each.better, 1 - each.better)
        ahead = each.second if each.better >= 0.5 else each.first
        held = "inside" if each.inside else "outside"
        lines.append(
            f"{each.second} against {each.first}: {ahead} with probability {_chance(chance)}, "
            f"{'right' if each.right else 'wrong'}; difference {100 * each.difference:+.2f}%, actual "
            f"{100 * each.actual:+.2f}%, {held} the {100 * result.level:.4g}% interval"
        )
        if each.multiplier is not None and each.actual_multiplier is not None:
            held = "inside" if each.multiplier_inside else "outside"
            lines.append(
                f"  multiplier {each.multiplier:.3g}, actual {each.actual_multiplier:.3g}, {held} its interval"
            )
    lines.append(f"Brier score {result.brier:.3f} (0.25 for even chances)")
    return "\n".join(lines)


def _pair(each: "PairComparison", made: "Comparison") -> list[str]:
    ahead, behind = (each.second, each.first) if each.better >= 0.5 else (each.first, each.second)
    chance = max(each.better, 1 - each.better)
    lines = [f"{each.second} against {each.first}: {ahead} is better than {behind} with probability {_chance(chance)}"]
    lines.append(f"  difference  {_percent(each.difference)} of the loss{_absolute(each.loss, made.unit)}")
    lines.append(f"  multiplier  {_times(each.multiplier)} the compute for {each.first} to reach {each.second}'s loss")
    if each.trend.value is not None:
        lines.append(f"  trend       {_times(each.trend)} per tenfold compute, among the runs")
    for name, span in (("time", each.time), ("money", each.money)):
        if span is not None:
            lines.append(f"  {name:<10}  {_times(span)} that of {each.second}")
    for row in each.budgets:
        lines.append(
            f"  {format_power(row.flops):<10}  {_percent(row.difference)}, multiplier {_times(row.multiplier)}, "
            f"{row.pairs} pair{'s' * (row.pairs > 1)}"
        )
    crossing = "" if each.crossing is None else f", by the forecast at {format_power(each.crossing)} FLOPs"
    lines.append(f"  crossing    beyond the runs with probability {_chance(each.crosses)}{crossing}")
    if each.deciding is not None:
        lines.append(f"  undecided   {each.deciding}")
    return lines


def _chance(share: float) -> str:
    return f"{100 * share:.0f}%" if 0.005 <= share <= 0.995 else (">99%" if share > 0.5 else "<1%")


def _percent(span: "Span") -> str:
    if span.value is None:
        return "not known"
    return f"{100 * span.value:+.2f}%{_ends(span, lambda value: f'{100 * value:+.2f}%')}"


def _absolute(span: "Span", unit: str) -> str:
    if span.value is None:
        return ""
    return f", {span.value:+.4f} {unit}{_ends(span, lambda value: f'{value:+.4f}')}"


def _times(span: "Span") -> str:
    if span.value is None and span.low is None:
        return "not known:"
    value = "more than any" if span.value is None else f"{span.value:.3g} times"
    return f"{value}{_ends(span, lambda value: f'{value:.3g}')}"


def _ends(span: "Span", show: "object") -> str:
    assert callable(show)
    if span.low is None:
        return ""
    return f" ({show(span.low)} to {show(span.high) if span.high is not None else 'any'})"


def backtest_text(result: "ComparisonBacktest") -> str:
    """The text of ``scaling backtest --compare``."""
    lines = [
        f"{len(result.contenders)} contenders, {len(result.frame)} decisions at pairs of runs beyond the fitted ones",
        f"{'FLOPs':>7} {'decisions':>10} {'right':>6} {'by largest':>11} {'laws alone':>11} {'Brier':>6} "
        f"{'in interval':>12} {'error':>7}",
    ]
    for each in result.by_distance:
        alone = "" if each.alone is None else f"{100 * each.alone:.0f}%"
        lines.append(
            f"{each.factor:>6g}x {each.count:>10} {100 * each.right:>5.0f}% {100 * each.largest:>10.0f}% {alone:>11} "
            f"{each.brier:>6.3f} {100 * each.covered:>11.0f}% {100 * each.error:>6.2f}%"
        )
    lines += ["", f"{'stated':>12} {'decisions':>10} {'right':>6}"]
    for bin_ in result.calibration:
        if bin_.right is not None:
            stated = f"{100 * bin_.low:.0f} to {100 * bin_.high:.0f}%"
            lines.append(f"{stated:>12} {bin_.count:>10} {100 * bin_.right:>5.0f}%")
    return "\n".join(lines)
