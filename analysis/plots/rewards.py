"""Gold and proxy reward as a policy moves from its start: over the KL divergence, and over n of best-of-n."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from analysis.formatting import format_quantity
from analysis.plots.style import FORECAST, INK, SIZES, log_axis, si
from analysis.rewards.best_of_n import kl_bound
from analysis.rewards.forecasting import RewardForecast
from analysis.rewards.proxies import Proxy

_MOST_NAMED = 7  # proxies in a legend
_FAINT = 0.35


def rewards_vs_kl(proxies: Sequence[Proxy], reward: str, forecast: RewardForecast | None, axes: Axes) -> Axes:
    """Draws the gain of gold (solid) and proxy (dashed) over the square root of the KL divergence, a colour a proxy.

    Args:
        proxies: of the table; best-of-n has circles, trained policies triangles.
        reward: the table's reward: ``gold``, or ``proxy`` where gold was not measured.
        forecast: its gain and interval are drawn, or None.
        axes: the axes to draw on.
    """
    for proxy in proxies:
        colour, mark = colour_of(proxy, proxies), "o" if proxy.of_n else "^"
        for curve in proxy.curves:
            axes.plot(curve.d, curve.gain, mark, ms=3, color=colour, alpha=_FAINT, mec="none", zorder=2)
        d = np.sqrt(proxy.kl)
        if reward == "gold":
            axes.plot(d, proxy.gain, color=colour, lw=1.4, zorder=3)
            axes.plot(d[proxy.peak], proxy.gain[proxy.peak], "*", ms=9, color=colour, mec="white", mew=0.4, zorder=5)
        axes.plot(d, proxy.proxy, "--", color=colour, lw=1.0, zorder=3)
    if forecast is not None:
        at = np.array(forecast.points)
        _band(np.sqrt(kl_bound(at) if forecast.axis == "n" else at), forecast, axes)
    axes.axhline(0.0, color=INK, lw=0.5, zorder=1)
    axes.set_xlabel("square root of the KL divergence from the start (nats)")
    axes.set_ylabel("reward over the start's")
    _name_proxies(proxies, axes)
    if reward == "gold":
        axes.plot([], [], color=INK, lw=1.4, label="gold")
        axes.plot([], [], "*", ms=7, color=INK, label="peak of gold")
    axes.plot([], [], "--", color=INK, lw=1.0, label="proxy")
    for of_n, mark, name in ((True, "o", "best-of-n"), (False, "^", "trained policy")):
        if any(proxy.of_n is of_n for proxy in proxies):
            axes.plot([], [], mark, ms=4, color=INK, mec="none", label=name)
    beside(axes)
    return axes


def best_of_n(proxies: Sequence[Proxy], reward: str, forecast: RewardForecast | None, axes: Axes) -> Axes:
    """Draws the gain of the best of n over n, a colour a proxy, with the bound of the KL divergence above.

    Args:
        proxies: those of best-of-n.
        reward: the table's reward.
        forecast: of best-of-n, drawn with its interval, or None.
        axes: the axes to draw on.
    """
    for proxy in proxies:
        colour = colour_of(proxy, proxies)
        axes.plot(proxy.points, proxy.gain, "o-", ms=3.5, color=colour, mec="none", zorder=3)
        axes.plot(
            proxy.points[proxy.peak], proxy.gain[proxy.peak], "*", ms=9, color=colour, mec="white", mew=0.4, zorder=5
        )
        if reward == "gold":
            axes.plot(proxy.points, proxy.proxy, "--", color=colour, lw=0.9, alpha=0.7, zorder=2)
    if forecast is not None:
        _band(np.array(forecast.points), forecast, axes)
    axes.axhline(0.0, color=INK, lw=0.5, zorder=1)
    log_axis(axes, "n, of which the best by the proxy is taken", si)
    axes.set_ylabel(f"{reward} of the best of n, over the start's")
    ticks = np.unique(np.concatenate([proxy.points for proxy in proxies]))
    ticks = ticks[:: max(1, len(ticks) // 8)]
    top = axes.secondary_xaxis("top")
    top.set_xticks(ticks, labels=[f"{bound:.2g}" for bound in kl_bound(ticks)], minor=False)
    top.set_xticks([], minor=True)
    top.set_xlabel("KL divergence at most (nats)")
    axes.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks], minor=False)
    _name_proxies(proxies, axes)
    axes.plot([], [], "*", ms=7, color=INK, label="peak")
    if reward == "gold":
        axes.plot([], [], "--", color=INK, lw=0.9, label="proxy")
    beside(axes)
    return axes


def colour_of(proxy: Proxy, proxies: Sequence[Proxy]) -> tuple[float, float, float, float]:
    """The colour of a proxy among others, by its place in their order."""
    return colour_at(proxy.place, max(other.place for other in proxies) + 1)


def colour_at(place: int, count: int) -> tuple[float, float, float, float]:
    """The colour of a place among some number of places."""
    return SIZES(place / max(1, count - 1))


def beside(axes: Axes) -> None:
    """Puts the legend to the right of the axes, where there is room for many entries."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(
            loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=1.4, labelspacing=0.3, borderaxespad=0.1
        )


def _name_proxies(proxies: Sequence[Proxy], axes: Axes) -> None:
    named = {proxy.label: proxy for proxy in proxies}
    if len(named) > _MOST_NAMED:  # the ends of the order
        named = dict([next(iter(named.items())), list(named.items())[-1]])
    for label, proxy in named.items():
        axes.plot([], [], color=colour_of(proxy, proxies), lw=3, label=label)


def _band(x: np.ndarray, forecast: RewardForecast, axes: Axes) -> None:
    name = "forecast" if forecast.refused is None else "naive forecast"
    axes.plot(
        x,
        forecast.gain,
        "-.",
        color=FORECAST,
        lw=1.2,
        zorder=4,
        label=f"{name}, {format_quantity(forecast.pairs)} pairs",
    )
    if forecast.low:
        axes.fill_between(x, forecast.low, forecast.high, color=FORECAST, alpha=0.15, lw=0, zorder=1)
