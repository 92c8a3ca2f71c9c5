"""The sentence under each figure of a stage, made from its numbers: true of whatever table they come from."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.formatting import format_quantity
from analysis.plots.rewards_models import sizes_of
from analysis.report.words import count, told_apart
from analysis.rewards.proxies import Proxy
from analysis.rewards.rl_fit import RlFit


def of_rewards(proxies: Sequence[Proxy], reward: str) -> str:
    """Caption of rewards over the KL divergence: where gold peaks and ends, of the first and the last proxy."""
    told = [proxies[0], proxies[-1]] if len(proxies) > 1 else list(proxies)
    if reward != "gold":
        parts = [f"that of {_named(proxy)} ends at {_gain(proxy.proxy[-1])} ({_kl(proxy.kl[-1])})" for proxy in told]
        return f"The proxy over the start's, as gold was not measured: {' and '.join(parts)}."
    return f"Gold of {'; that of '.join(map(_course, told))}."


def _course(proxy: Proxy) -> str:
    """Where gold is highest, where it ends, and where the proxy is there."""
    peak, last = float(proxy.gain[proxy.peak]), float(proxy.gain[-1])
    also = "" if np.isnan(proxy.proxy[-1]) else f", where its proxy is at {_gain(proxy.proxy[-1])}"
    if not proxy.falls:
        return f"{_named(proxy)} is highest at its end, {_gain(peak)} ({_kl(proxy.kl[-1])}){also}"
    high, low = _apart(peak, last)
    at, end = _kl(proxy.kl[proxy.peak]), _kl(proxy.kl[-1])
    return f"{_named(proxy)} is highest, {high}, at {at} and ends at {low} ({end}){also}"


def of_best_of_n(proxies: Sequence[Proxy], reward: str) -> str:
    """Caption of best-of-n over n: how many fall from their peak, and which falls most."""
    falls = [proxy for proxy in proxies if proxy.falls]
    of = f"{len(falls)} of {count(len(proxies), 'proxy').replace('proxys', 'proxies')}"
    if not falls:
        best = max(proxies, key=lambda proxy: float(proxy.gain[-1]))
        return (
            f"Up to the largest n no {reward} falls from its peak; the highest, of {best.label}, is "
            f"{_gain(best.gain[-1])} at n = {best.points[-1]:g}."
        )
    most = max(falls, key=lambda proxy: float(proxy.gain[proxy.peak] - proxy.gain[-1]))
    high, low = _apart(float(most.gain[most.peak]), float(most.gain[-1]))
    return (
        f"With {of} the {reward} falls from its peak by the largest n, most with {most.label}: from {high} at "
        f"n = {most.points[most.peak]:g} to {low} at n = {most.points[-1]:g}."
    )


def of_accuracy(rows: pd.DataFrame) -> str:
    """Caption of reward models over pairs: accuracy of the largest size at the fewest and the most pairs."""
    size, part = sizes_of(rows)[-1]
    pairs, accuracy = _means(part, "pairs", "accuracy")
    of = "" if size == "all runs" else f" of {size}"
    if len(pairs) == 1:
        return f"With {format_quantity(pairs[0])} pairs the mean held-out accuracy{of} is {accuracy[0]:.3g}."
    first, last = told_apart(accuracy[0], accuracy[-1])
    text = (
        f"The mean held-out accuracy{of} is {first} with {format_quantity(pairs[0])} pairs and {last} with "
        f"{format_quantity(pairs[-1])}"
    )
    if "loss" not in part or part["loss"].isna().any():
        return f"{text}."
    _, loss = _means(part, "pairs", "loss")
    before, after = told_apart(loss[0], loss[-1])
    return f"{text}; the loss is {before} and {after} nats per pair."


def of_examples(rows: pd.DataFrame) -> str:
    """Caption of fine-tuning over examples: the loss of the largest size at the start and at both ends."""
    size, part = sizes_of(rows)[-1]
    examples, loss = _means(part, "examples", "loss")
    of = "" if size == "all runs" else f" of {size}"
    known = "start_loss" in part and part["start_loss"].notna().any()
    start = f"{float(part['start_loss'].mean()):.4g} at the start, " if known else ""
    if len(examples) == 1:
        return f"The mean loss{of} is {start}{loss[0]:.4g} with {format_quantity(examples[0])} examples."
    first, last = told_apart(loss[0], loss[-1])
    return (
        f"The mean loss{of} is {start}{first} with {format_quantity(examples[0])} examples and {last} with "
        f"{format_quantity(examples[-1])}."
    )


def _means(rows: pd.DataFrame, over: str, of: str) -> tuple[list[float], list[float]]:
    """Values of a column in order, and the mean of another at each."""
    x, y = rows[over].to_numpy(float), rows[of].to_numpy(float)
    places = np.unique(x)
    return places.tolist(), [float(y[x == place].mean()) for place in places]


def of_win_rate(rows: pd.DataFrame) -> str:
    """Caption of win rates: the highest measured one, and where its run ends."""
    ordered = rows.sort_values("kl", kind="stable")
    rates, kl = ordered["win_rate"].to_numpy(float), ordered["kl"].to_numpy(float)
    best = int(rates.argmax())
    runs = list(zip(ordered["run_id"], ordered["of_n"], strict=True))
    last = max(at for at, run in enumerate(runs) if run == runs[best])
    label = ordered["label"].tolist()[best]
    text = f"The highest win rate against the start, {rates[best]:.3g}, is of {label} at {_kl(kl[best])}"
    if last == best:
        return f"{text}, where its run ends."
    return f"{text}; its run ends at {rates[last]:.3g} ({_kl(kl[last])})."


def of_length(rows: pd.DataFrame) -> str:
    """Caption of lengths: of the proxy whose answers change most, from its runs' first to their last measurement."""
    columns = ["length", *(["stopped"] if "stopped" in rows else [])]
    labels, first, last = _ends(rows, columns)
    changed = np.abs(np.log(np.maximum(last[:, 0], 1e-9) / np.maximum(first[:, 0], 1e-9)))
    most = int(changed.argmax())
    before, after = told_apart(float(first[most, 0]), float(last[most, 0]))
    text = f"From the first to the last measurement the mean length of answers goes from {before} to {after} tokens "
    text += f"with {labels[most]}" + (", which changes most" if len(labels) > 1 else "")
    if len(columns) == 1 or np.isnan([first[most, 1], last[most, 1]]).any():
        return f"{text}."
    return f"{text}; the share that stops goes from {first[most, 1]:.3g} to {last[most, 1]:.3g}."


def _ends(
    rows: pd.DataFrame, columns: list[str]
) -> tuple[list[str], Float[np.ndarray, "labels columns"], Float[np.ndarray, "labels columns"]]:
    """Each label with the means over its runs of their first and of their last measurement."""
    labels = [str(label) for label in dict.fromkeys(rows["label"])]
    first, last = [], []
    for label in labels:
        runs = [
            part.sort_values("kl", kind="stable")[columns].to_numpy(float)
            for _, part in rows[rows["label"] == label].groupby(["run_id", "of_n"])
        ]
        first.append(np.mean([run[0] for run in runs], axis=0))
        last.append(np.mean([run[-1] for run in runs], axis=0))
    return labels, np.array(first), np.array(last)


def of_training(value: str, x: str, fits: Sequence[tuple[str, Sequence[str], RlFit | None]]) -> str:
    """Caption of reward over compute: what the sigmoid of the last group says, or why it says nothing."""
    known = [(label, fit) for label, _, fit in fits if fit is not None]
    given = [(label, fit) for label, fit in known if not fit.refused]
    if not known:
        return f"The {_words(value)} over {_words(x)}: no run is long enough for a sigmoid."
    if not given:
        label, fit = known[-1]
        return f"The sigmoid is refused, with {label} because {fit.refused[0].message}."
    label, fit = given[-1]
    of = f"{len(given)} of {count(len(fits), 'sigmoid')} {'is' if len(given) == 1 else 'are'} not refused"
    return (
        f"{of}; with {label} the {_words(value)} goes from {fit.params['R0']:.3g} towards {fit.params['A']:.3g}, half "
        f"of it by {fit.params['C_mid']:.3g} {_words(x)}."
    )


def _words(name: str) -> str:
    return {"flops": "FLOPs", "step": "steps"}.get(name, name.replace("_", " "))


def _named(proxy: Proxy) -> str:
    return f"{proxy.label} ({'best-of-n' if proxy.of_n else 'trained policy'})"


def _gain(value: float) -> str:
    return f"{value:+.3g}"


def _kl(value: float) -> str:
    return f"KL {value:.3g}"


def _apart(first: float, second: float) -> tuple[str, str]:
    """Two gains with three digits, or as many more as they need to differ."""
    for digits in range(3, 13):
        texts = f"{first:+.{digits}g}", f"{second:+.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts
