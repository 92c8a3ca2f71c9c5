"""Every caption of a figure, and every reason why there is none, with a check of what it claims.

A claim is recomputed from the rows as they were given. Of what a long analysis finds (parabolas, an envelope, a
backtest) the result itself is the datum, and where the rows contradict it, that is seen too.
"""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
from sentences.numbers_shown import NUMBER, decimals, number, shows, told_apart
from sentences.odd_tables import Case, finished

from analysis.runs.arrays import inputs_at

Check = Callable[..., None]
CLAIMS: dict[re.Pattern[str], Check] = {}


def claim(pattern: str) -> Callable[[Check], Check]:
    """Registers the check of the sentences that match a pattern as a whole, in which ``<name>`` is a number."""

    def register(check: Check) -> Check:
        CLAIMS[re.compile(re.sub(r"(?<!P)<(\w+)>", lambda name: f"(?P<{name[1]}>{NUMBER})", pattern))] = check
        return check

    return register


def budgets(flops: "pd.Series[float]") -> "pd.Series[int]":
    """The number of each run's budget: up to a fifth more than its smallest run."""
    number, start, found = -1, -np.inf, {}
    for value in sorted(flops):
        if np.log(value) - np.log(start) > np.log(1.2) if start > 0 else True:
            number, start = number + 1, value
        found[value] = number
    return flops.map(found)


TAIL = r"(?:; the laws expect <expected> at <times> times the largest fitted FLOPs"
TAIL += r"(?P<came>, and it came to <actual>)?)?\."


def tail(case: Case, expected: str | None, times: str | None, came: str | None, actual: str | None) -> None:
    assert (expected is None) == (case.found.forecast is None)
    if expected is None or times is None:
        return
    assert shows(expected, case.forecast.loss, 4)
    assert shows(times, case.forecast.flops / case.fitted["flops"].max(), 3)
    assert (came is None) == (case.found.score is None)
    if actual is not None:
        assert shows(actual, target(case).loss.mean(), 4)


def target(case: Case) -> pd.DataFrame:
    """The finished rows at the forecast's target."""
    rows = finished(case.frame, "target")
    near = [abs(rows[k] / getattr(case.forecast, k) - 1) < 0.01 for k in ("params", "tokens")]
    return rows[near[0] & near[1]]


@claim(rf"The only run has a loss of <loss>{TAIL}")
def _one(case: Case, loss: str, **rest: str) -> None:
    assert len(case.rows) == 1
    assert shows(loss, case.rows["loss"].iloc[0], 4)
    tail(case, **rest)


@claim(rf"All runs cost about the same; the lowest loss is <loss>{TAIL}")
def _one_budget(case: Case, loss: str, **rest: str) -> None:
    flops = case.rows["flops"]
    assert len(flops) > 1
    assert flops.max() <= 1.2001 * flops.min()
    assert shows(loss, case.rows["loss"].min(), 4)
    tail(case, **rest)


@claim(
    r"Over <span> times the compute no run has a lower loss than the best of the smallest budget, "
    rf"<loss>{TAIL}"
)
def _none_lower(case: Case, span: str, loss: str, **rest: str) -> None:
    rows = case.rows
    first = rows.loc[budgets(rows["flops"]) == 0, "loss"].min()
    assert shows(span, rows["flops"].max() / rows["flops"].min(), 3)
    assert not (rows["loss"] < first).any()
    assert shows(loss, first, 4)
    tail(case, **rest)


@claim(rf"Over <span> times the compute the lowest loss fell from <first> to <last>{TAIL}")
def _fell(case: Case, span: str, first: str, last: str, **rest: str) -> None:
    rows, budget = case.rows, budgets(case.rows["flops"])
    ends = tuple(float(rows.loc[budget == b, "loss"].min()) for b in (0, budget.max()))
    assert shows(span, rows["flops"].max() / rows["flops"].min(), 3)
    assert told_apart(first, last, ends)
    assert number(first) > number(last)
    assert ends[1] == rows["loss"].min()
    tail(case, **rest)


@claim(
    r"The lowest loss, <low>, is at <at> FLOPs; that of the largest budget, <most>, is "
    rf"<high>{TAIL}"
)
def _lowest_elsewhere(case: Case, low: str, at: str, most: str, high: str, **rest: str) -> None:
    rows, budget = case.rows, budgets(case.rows["flops"])
    assert told_apart(low, high, (rows["loss"].min(), rows.loc[budget == budget.max(), "loss"].min()))
    assert number(low) < number(high)
    assert any(shows(at, flops, 3) for flops in rows.loc[rows["loss"] == rows["loss"].min(), "flops"])
    assert shows(most, rows["flops"].max(), 3)
    tail(case, **rest)


@claim(
    r"(?:(?P<points>\d+) points of )?(?P<runs>\d+) runs? of (?P<sizes>\d+) sizes?"
    r"(?:, (?P<all>all )?with a loss of <loss>|, with losses from <low> to <high>"
    r"|: the laws expect twice the tokens of a size's longest run to change its loss (?P<changes>.*) parameters)\."
)
def _tokens(
    case: Case, points: str, runs: str, sizes: str, loss: str, low: str, high: str, changes: str, **rest: str
) -> None:
    rows, names = case.rows, set(case.rows["run_id"])
    assert (int(points or runs), int(runs)) == (len(rows), len(names))
    assert int(sizes) == len(set(rows["params"]))
    assert (changes is None) == (case.found.forecast is None)
    if loss is not None:
        assert all(shows(loss, each, 4) and each == rows["loss"].iloc[0] for each in rows["loss"])
        assert (rest["all"] is None) == (len(rows) == 1)
    elif low is not None:
        assert told_apart(low, high, (rows["loss"].min(), rows["loss"].max()))
        assert number(low) < number(high)
    else:
        found = re.findall(rf"by ({NUMBER}) at ({NUMBER})", changes)
        ends = sorted({rows["params"].min(), rows["params"].max()})
        assert len(found) == len(ends)
        for (change, size), end in zip(found, ends, strict=True):
            assert shows(size, end, 3)
            longest = rows[rows["params"] == end].nlargest(1, "tokens").iloc[0]
            losses = case.forecast.curve(
                inputs_at(*(np.array([longest[k] * m for m in (1, 1 if k == "params" else 2)]) for k in WHAT))
            )
            assert decimals(change, losses[1] / losses[0] - 1)


WHAT = ("params", "tokens", "flops")


@claim(
    r"(?P<good>\d+) of (?P<all>\d+) budgets? with three sizes or more brackets? the best size"
    r"(?:: <n> parameters at <c> FLOPs(?: and <n2> parameters at <c2> FLOPs)?)?\."
)
def _isoflop(case: Case, good: str, n: str | None, c: str | None, n2: str | None, c2: str | None, **rest: str) -> None:
    rows = case.rows.assign(budget=budgets(case.rows["flops"]), size=case.rows["params"])
    wide = rows.groupby("budget").filter(lambda part: part["size"].nunique() >= 3)
    assert int(rest["all"]) == wide["budget"].nunique()
    found = [p for p in case.found.parabolas.parabolas if p.reason is None]
    assert int(good) == len(found)
    shown = [(n, c), (n2, c2)][: (n is not None) + (n2 is not None)]
    assert len(shown) == min(len(found), 2)
    for (size, flops), best in zip(shown, (found[:1] + found[1:][-1:]), strict=True):
        assert size is not None
        assert flops is not None
        assert shows(size, best.params, 3)
        assert shows(flops, best.flops, 3)
        near = wide[np.abs(np.log(wide["flops"] / best.flops)) < np.log(1.25)]
        assert near["size"].min() < best.params < near["size"].max()


@claim(r"no budget has three sizes to draw a curve through")
def _no_isoflop(case: Case) -> None:
    rows = case.rows
    assert rows["params"].groupby(budgets(rows["flops"])).nunique().max() < 3


@claim(
    r"The lowest of (?P<curves>\d+) sizes?' curves: (?:(?P<never>at no compute is the best size one between others)"
    r"|at <at> FLOPs the best size lies between others"
    r"|from <low> to <high> FLOPs(?P<gaps>, but for gaps,)? the best size lies between others)\."
)
def _envelope(case: Case, curves: str, never: str, at: str, low: str, high: str, gaps: str) -> None:
    found = case.found.lowest
    assert int(curves) == len(found.curves) <= case.rows["params"].nunique()
    grid = np.exp(found.minima.c)
    assert (never is not None) == (len(grid) == 0)
    if at is not None:
        assert len(grid) == 1
        assert shows(at, grid[0], 3)
    if low is not None:
        assert len(grid) > 1
        assert shows(low, grid[0], 3)
        assert shows(high, grid[-1], 3)
        steps = np.diff(np.log(grid))
        whole = np.log(case.rows["flops"].max() / case.rows["flops"].min()) / 199
        assert (gaps is not None) == bool((steps > 1.5 * whole).any())


@claim(r"fewer than three sizes have a loss that falls between two computes, so there is no envelope")
def _no_envelope(case: Case) -> None:
    """By the means of each size at each FLOPs."""
    rows = case.rows
    if {"corpus", "lr", "trunk_id"} & set(rows) or rows["run_id"].duplicated().any():
        return  # whose points are averaged by more than size and FLOPs
    means = rows.groupby(["params", "tokens"])[["flops", "loss"]].mean().reset_index()
    falls = 0
    for _, size in means.groupby("params"):
        first = size.nsmallest(1, "flops").iloc[0]
        falls += bool((size.loc[size["flops"] > 1.1 * first["flops"], "loss"] < first["loss"] - 1e-9).any())
    assert falls < 3


@claim(
    r"The best size goes as FLOPs to the power <n>(?: \(90 %: <low> to <high>\))?, its tokens "
    r"to <d>(?P<target>; for the target's FLOPs that would be <best> parameters, and it has <own>)?\."
)
def _optimum(
    case: Case, n: str, low: str | None, high: str | None, d: str, target: str | None, best: str, own: str
) -> None:
    known = [f for f in (case.found.parabolas, case.found.lowest) if f.params is not None and f.tokens is not None]
    params, tokens = known[0].params, known[0].tokens
    assert params is not None
    assert tokens is not None
    assert decimals(n, params.exponent)
    assert decimals(d, tokens.exponent)
    if low is not None and high is not None:
        ends = np.quantile(params.draws[:, 1], [0.05, 0.95])
        assert decimals(low, ends[0])
        assert decimals(high, ends[1])
    assert (target is None) == (case.found.forecast is None)
    if target is not None:
        assert shows(own, case.forecast.params, 3)
        assert shows(best, params.at(case.forecast.flops), 3)


@claim(r"fewer than two budgets bracket their best size, so how it changes is not known")
def _no_optimum(case: Case) -> None:
    assert sum(p.reason is None for p in case.found.parabolas.parabolas) < 2
    assert case.found.lowest.params is None


@claim(
    r"At <n> parameters the mean loss is <after> with <long> tokens per parameter and <before> "
    r"with <short> \(<change>\)(?P<target>; the target has <ratio>)?\."
)
def _overtraining(
    case: Case, n: str, after: str, long: str, before: str, short: str, change: str, target: str, ratio: str
) -> None:
    rows = case.rows
    spread = rows.groupby("params")["tokens"].agg(lambda d: d.max() / d.min())
    size = float(spread.index[spread > 1.05].max())
    assert shows(n, size, 3)
    rows = rows[rows["params"] == size].sort_values("tokens")
    ends = []
    for first in (rows["tokens"].min(), rows["tokens"].max()):
        starts = [rows["tokens"].iloc[0]]
        for each in rows["tokens"]:
            starts += [each] if each > 1.05 * starts[-1] * (1 + 1e-12) else []
        start = max(s for s in starts if s <= first)
        ends.append(rows[(rows["tokens"] >= start) & (rows["tokens"] <= 1.05 * start * (1 + 1e-12))])
    assert shows(short, ends[0]["tokens"].mean() / size, 3)
    assert shows(long, ends[1]["tokens"].mean() / size, 3)
    assert number(short) < number(long)
    means = ends[0]["loss"].mean(), ends[1]["loss"].mean()
    assert told_apart(before, after, means)
    assert decimals(change, means[1] / means[0] - 1)
    assert (target is None) == (case.found.forecast is None)
    assert target is None or shows(ratio, case.forecast.tokens / case.forecast.params, 3)


@claim(r"no size was trained to two lengths, so nothing is seen of over-training")
def _no_overtraining(case: Case) -> None:
    assert (case.rows.groupby("params")["tokens"].agg(lambda d: d.max() / d.min()) <= 1.05).all()
