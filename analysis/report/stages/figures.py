"""The kinds of figures of stages: title, drawing and caption of each, made from a stage's findings."""

from collections.abc import Callable, Iterator, Sequence

import pandas as pd

from analysis import plots
from analysis.errors import InputError
from analysis.plots.rewards import best_of_n, rewards_vs_kl
from analysis.plots.rewards_models import accuracy_vs_pairs, loss_vs_examples
from analysis.plots.rewards_runs import length_vs_kl, reward_vs_flops, win_rate_vs_kl
from analysis.report.figures import Drawing, ReportFigure
from analysis.report.stages import captions
from analysis.report.stages.findings import StageFindings
from analysis.report.words import few
from analysis.rewards.best_of_n import kl_bound
from analysis.rewards.forecasting import RewardForecast
from analysis.rewards.proxies import labels_of, proxies_of
from analysis.rewards.rl_compute import fit_sigmoid
from analysis.rewards.rl_curves import RlTable
from analysis.rewards.rl_fit import RlFit

SIZE = (6.2, 3.7)  # inches: legends stand beside the axes
_RESAMPLES = 200  # of each sigmoid: whether it is refused needs no more
Make = Callable[[StageFindings], Drawing]


def _rewards(found: StageFindings) -> Drawing:
    table = found.rewards
    proxies = proxies_of(table)
    if not proxies:
        raise InputError(f"{table.source}: no run has two rows, so there is no curve to draw")
    forecast = found.forecast if isinstance(found.forecast, RewardForecast) else None
    reading = captions.of_rewards(proxies, table.reward)
    return Drawing(lambda axes: rewards_vs_kl(proxies, table.reward, forecast, axes), reading, table.warnings())


def _best_of_n(found: StageFindings) -> Drawing:
    table = found.rewards
    proxies = tuple(proxy for proxy in proxies_of(table) if proxy.of_n)
    if not proxies:
        raise InputError(f"{table.source}: no run has two values of n, so there is no curve of best-of-n")
    frozen = found.forecast
    forecast = frozen if isinstance(frozen, RewardForecast) and frozen.axis == "n" else None
    reading = captions.of_best_of_n(proxies, table.reward)
    return Drawing(lambda axes: best_of_n(proxies, table.reward, forecast, axes), reading, table.warnings())


def _accuracy(found: StageFindings) -> Drawing:
    rows = _complete(found, ("pairs", "accuracy"))
    return Drawing(lambda axes: accuracy_vs_pairs(rows, axes), captions.of_accuracy(rows))


def _examples(found: StageFindings) -> Drawing:
    rows = _complete(found, ("examples", "loss"))
    return Drawing(lambda axes: loss_vs_examples(rows, axes), captions.of_examples(rows))


def _complete(found: StageFindings, names: Sequence[str]) -> pd.DataFrame:
    """The rows of models that have these columns, above 0 where these count.

    Raises:
        InputError: there is no such column, or no such row.
    """
    rows, file = found.models, found.place
    if missing := [name for name in names if name not in rows]:
        raise InputError(f"{file}: no column {name!r}; choose with `columns` {name}=..." for name in missing)
    rows = rows.dropna(subset=list(names))
    rows = rows[rows[names[0]] > 0]
    if rows.empty:
        raise InputError(f"{file}: no row has both {' and '.join(map(repr, names))}")
    return rows


def _win_rate(found: StageFindings) -> Drawing:
    rows = _along(found, "win_rate", "no win rate against the start was measured")
    return Drawing(lambda axes: win_rate_vs_kl(rows, axes), captions.of_win_rate(rows))


def _length(found: StageFindings) -> Drawing:
    rows = _along(found, "length", "no length of answers was measured")
    drifted = tuple(each for each in found.rewards.warnings() if each.code == "length-drift")
    return Drawing(lambda axes: length_vs_kl(rows, axes), captions.of_length(rows), drifted)


def _along(found: StageFindings, name: str, reason: str) -> pd.DataFrame:
    """Rows of rewards that have a column, with the label of their proxy and their KL divergence."""
    table = found.rewards
    if name not in table.frame or table.frame[name].isna().all():
        raise InputError(f"{table.source}: {reason}")
    labels = labels_of(table.curves)
    rows = table.frame[table.frame[name].notna() & table.frame["run_id"].isin(list(labels))].copy()
    rows["of_n"] = rows["n"].notna()
    rows["kl"] = rows["kl"].where(rows["kl"].notna(), kl_bound(rows["n"].fillna(1.0).to_numpy()))
    rows["label"] = rows["run_id"].map(labels)
    order = {label: place for place, label in enumerate(dict.fromkeys(labels.values()))}
    return rows.iloc[rows["label"].map(order).argsort(kind="stable")]


def _training(found: StageFindings) -> Drawing:
    table = found.training
    curves = [curve for curve in table.curves if (curve.x > 0).sum() > 1]
    if not curves:
        raise InputError(f"{table.source}: no run was measured twice along its training")
    labels = _labels(found, [curve.run_id for curve in curves])
    fits = [(label, names, _fit(table, names)) for label, names in labels.items()]
    warnings = tuple(dict.fromkeys(each for _, _, fit in fits if fit is not None for each in fit.refused))
    reading = captions.of_training(table.value, table.x, fits)
    return Drawing(lambda axes: reward_vs_flops(table, fits, axes), reading, warnings)


def _labels(found: StageFindings, names: Sequence[str]) -> dict[str, list[str]]:
    """The runs of each proxy; by the size of the policy or the run's name where rewards are not known."""
    try:
        known = labels_of(found.rewards.curves)
    except InputError:
        known = {}
    groups: dict[str, list[str]] = {}
    order = list(dict.fromkeys([*known, *names]))
    for name in sorted(names, key=order.index):
        groups.setdefault(known.get(name, name), []).append(name)
    return groups


def _fit(table: RlTable, names: Sequence[str]) -> RlFit | None:
    curves = tuple(curve for curve in table.curves if curve.run_id in names)
    try:
        return fit_sigmoid(RlTable(curves, table.x, table.value, table.source, table.sha256), _RESAMPLES)
    except InputError:  # too few rows
        return None


# In the order of the page.
STAGE_KINDS: dict[str, tuple[str, Make]] = {
    "rewards": ("Gold and proxy as the policy moves", _rewards),
    "best-of-n": ("The best of n", _best_of_n),
    "reward-accuracy": ("Reward models and pairs", _accuracy),
    "win-rate": ("Wins against the start", _win_rate),
    "examples": ("Loss and examples", _examples),
    "answer-length": ("Length and end of answers", _length),
    "reward-flops": ("Reward and compute", _training),
}
# What each stage can have.
OF_STAGE: dict[str, tuple[str, ...]] = {
    "sft": ("examples",),
    "reward": ("reward-accuracy",),
    "best_of_n": ("rewards", "best-of-n", "win-rate", "answer-length"),
    "ppo": ("rewards", "win-rate", "answer-length", "reward-flops"),
    "dpo": ("rewards", "win-rate", "answer-length"),
}


def stage_figures(found: StageFindings, names: Sequence[str], place: int) -> Iterator[ReportFigure]:
    """Some figures of a stage, drawn one after the other; each has its SVG, or the reason why there is none.

    Args:
        found: the stage.
        names: keys of ``STAGE_KINDS``.
        place: of the stage in its page, which keeps the ids of its SVGs apart from those of others.
    """
    for name in names:
        title, make = STAGE_KINDS[name]
        try:
            drawing = make(found)
            picture = plots.svg(plots.figure(drawing.draw, *SIZE), f"{name}-{place}")
        except InputError as error:
            reason = few([line.removeprefix(str(found.place)).lstrip("/:").strip() for line in error.errors])
            yield ReportFigure(name, title, reason, None)
            continue
        yield ReportFigure(name, title, drawing.reading, picture, drawing.warnings)
