"""Forecasts and scores of rewards as text."""

from typing import TYPE_CHECKING

from analysis.formatting import format_quantity, format_reward
from analysis.table_text import table_text

if TYPE_CHECKING:
    from analysis.rewards.forecasting.forecast import RewardForecast
    from analysis.rewards.forecasting.score import RewardScore

_SHOWN = 12  # points


def reward_forecast_text(made: "RewardForecast") -> str:
    """Text of a forecast: its peak, gains along the curve, the ways with their backtest errors, and the target."""
    size = "" if made.reward_params is None else f", {format_quantity(made.reward_params)} parameters"
    loss = "" if made.loss is None else f", held-out loss {made.loss:.3f}"
    level = f"{100 * made.level:.4g}% interval"
    lines = [
        f"peak           {_signed(made.peak_gain)} {made.reward} over the start"
        + ("" if made.peak_interval is None else f", {level} {_ends(made.peak_interval)}"),
        f"at {made.axis:<12}{made.peak_at:.3g}"
        + ("" if made.peak_at_interval is None else f", {level} {_range(made.peak_at_interval)}"),
        f"target         a proxy of {format_quantity(made.pairs)} pairs{size}{loss}: {made.extrapolation:.3g} times "
        "the most pairs fitted",
    ]
    if made.refused is not None:
        lines.append(f"refused        {made.refused}; what is shown is the naive forecast")
    else:
        lines.append(
            f"backtest       misses by {_plain(made.backtest_error)} on fitted proxies of more pairs; the best naive "
            f"way by {_plain(made.naive_error)}"
        )
    lines.append(f"fitted         {made.n_runs} runs of {made.source}, table {made.table_hash[:12]}")
    return "\n".join([*lines, "", _curve(made), "", _ways(made)])


def _curve(made: "RewardForecast") -> str:
    step = max(1, -(-len(made.points) // _SHOWN))
    rows = [
        [f"{made.points[i]:.4g}", _signed(made.gain[i]), *([_ends((made.low[i], made.high[i]))] if made.low else [])]
        for i in range(0, len(made.points), step)
    ]
    return table_text("rrr" if made.low else "rr", [made.axis, "gain", *(["interval"] if made.low else [])], rows)


def _ways(made: "RewardForecast") -> str:
    rows = [
        [
            name,
            _signed(way.peak_gain),
            f"{way.peak_at:.3g}",
            _plain(way.backtest_error),
            f"{way.weight:.0%}" if way.weight else "",
        ]
        for name, way in made.ways.items()
    ]
    return table_text("lrrrr", ["way", "peak", f"at {made.axis}", "backtest error", "weight"], rows)


def reward_score_text(found: "RewardScore") -> str:
    """Text of a score: forecast and actual peak, where they lie, the regret, and the naive ways beside it."""
    level = f"{100 * found.level:.4g}% interval"
    rows = [
        [name, _signed(way.peak_gain), _signed(way.peak_error), _plain(way.rms), _plain(way.regret)]
        for name, way in found.ways.items()
    ]
    return "\n".join(
        [
            f"peak           forecast {_signed(found.peak_gain)}, actual {_signed(found.actual_peak)}: error "
            f"{_signed(found.peak_error)}{_held(found.peak_covered, level)}",
            f"at {found.axis:<12}forecast {found.peak_at:.3g}, actual {found.actual_at:.3g}"
            f"{_held(found.at_covered, level)}",
            f"regret         {_plain(found.regret)}: {found.reward} lost by stopping where the forecast has its peak",
            f"curve          misses by {_plain(found.rms)} over {found.n_points} points"
            + ("" if found.inside is None else f", of which {found.inside:.0%} lie inside their intervals"),
            f"runs           {found.n_runs}",
            *([f"refused        {found.refused}"] if found.refused is not None else []),
            "",
            table_text("lrrrr", ["way", "peak", "error", "curve", "regret"], rows),
        ]
    )


def _held(covered: bool | None, level: str) -> str:
    if covered is None:
        return ""
    return f", {'inside' if covered else 'outside'} the {level}"


def _signed(value: float) -> str:
    return format_reward(value, "+")


def _plain(value: float | None) -> str:
    return "" if value is None else format_reward(value)


def _ends(ends: tuple[float, float]) -> str:
    return f"{_signed(ends[0])} to {_signed(ends[1])}"


def _range(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.3g} to {ends[1]:.3g}"
