"""Checks of the sentences under the figures of stages, each recomputed from the rows by code of its own."""

import functools
import re
from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis.rewards.reading import rewards_of

NUMBER = r"([-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)"
_LABEL = r"(?P<{0}>[\w.-]+(?: pairs)?)"


def close(text: str, value: float) -> None:
    """That a number in a sentence is the value, to its three digits."""
    assert abs(float(text) - value) <= 0.006 * abs(value) + 6e-4, (text, value)


def amount(text: str) -> float:
    """A count as people write it: ``8.19k``."""
    return round(float(text.removesuffix("k")) * (1000 if text.endswith("k") else 1))


def runs_of(frame: pd.DataFrame, label: str, of_n: bool) -> list[pd.DataFrame]:
    """The runs of a proxy, by the distance from the start."""
    frame = frame.assign(of_n=frame["n"].notna() if "n" in frame else False)
    if "pairs" in frame:
        pairs = amount(label.removesuffix(" pairs"))
        frame = frame[np.isclose(frame["pairs"], pairs, rtol=5e-3)]
    else:
        frame = frame[frame["run_id"] == label]
    frame = frame[frame["of_n"] == of_n]
    assert len(frame), label
    return [part.sort_values("kl") for _, part in frame.groupby("run_id")]


def course(frame: pd.DataFrame, label: str, of_n: bool, column: str) -> tuple[np.ndarray, np.ndarray]:
    """KL and mean gain of a proxy's runs, where all of them have been."""
    runs = runs_of(frame, label, of_n)
    if of_n:
        rows = min((run for run in runs), key=len)
        gains = [run[column].to_numpy()[: len(rows)] - run[column].iloc[0] for run in runs]
        return rows["kl"].to_numpy(), np.mean(gains, axis=0)
    d = np.linspace(0, min(np.sqrt(run["kl"].max()) for run in runs), 61)
    gains = []
    for run in runs:
        gain = run[column].to_numpy() - run[column].iloc[0]
        if column == "gold":  # as a peak is read off it
            gain = smoothed(tuple(run["kl"]), tuple(run["gold"]))
        gains.append(np.interp(d, np.concatenate([[0], np.sqrt(run["kl"])]), np.concatenate([[0], gain])))
    return d**2, np.mean(gains, axis=0)


def with_gold(frame: pd.DataFrame) -> pd.DataFrame:
    """A table whose win rate stands for the gold reward where that was not measured."""
    return frame.assign(gold=frame["win_rate"] - 0.5) if "gold" not in frame and "win_rate" in frame else frame


@functools.cache
def smoothed(kl: tuple[float, ...], gold: tuple[float, ...]) -> np.ndarray:
    """Gains of a trained policy's run, as a peak is read off them."""
    (curve,) = rewards_of(pd.DataFrame({"run_id": "run", "kl": kl, "gold": gold})).curves
    return curve.smoothed()


def rewards(frame: pd.DataFrame, text: str) -> None:
    frame = with_gold(frame)
    kind = r"\((?P<kind>best-of-n|trained policy)\)"
    also = rf"(?:, where its proxy is at (?P<proxy>{NUMBER[1:-1]}))?"
    falls = (
        rf"{_LABEL.format('a')} {kind} is highest, {NUMBER}, at KL {NUMBER} and ends at {NUMBER} \(KL {NUMBER}\){also}"
    )
    rises = rf"{_LABEL.format('a')} {kind} is highest at its end, {NUMBER} \(KL {NUMBER}\){also}"
    proxy = rf"{_LABEL.format('a')} {kind} ends at {NUMBER} \(KL {NUMBER}\)"
    if (found := re.fullmatch(r"The proxy over the start's, as gold was not measured: (.*)\.", text)) is not None:
        assert "gold" not in frame
        for part in re.split(r" and (?=that of )", found[1]):
            match = re.fullmatch(f"that of {proxy}", part)
            assert match is not None, part
            kl, gain = course(frame, match["a"], match["kind"] == "best-of-n", "proxy")
            close(match[3], gain[-1])
            close(match[4], kl[-1])
        return
    whole = re.fullmatch(r"Gold of (.*)\.", text)
    assert whole is not None, text
    for part in whole[1].split("; that of "):
        down, up = re.fullmatch(falls, part), re.fullmatch(rises, part)
        match = down or up
        assert match is not None, part
        of_n = match["kind"] == "best-of-n"
        kl, gain = course(frame, match["a"], of_n, "gold")
        top = int(gain.argmax())
        if down is not None:
            assert top < len(gain) - 1
            for place, value in ((3, gain[top]), (4, kl[top]), (5, gain[-1]), (6, kl[-1])):
                close(down[place], value)
        else:
            assert top == len(gain) - 1
            close(match[3], gain[-1])
            close(match[4], kl[-1])
        assert (match["proxy"] is not None) == ("proxy" in frame)
        if match["proxy"] is not None:
            close(match["proxy"], course(frame, match["a"], of_n, "proxy")[1][-1])


def best_of_n(frame: pd.DataFrame, text: str) -> None:
    frame = with_gold(frame)
    column = "gold" if "gold" in frame else "proxy"
    rows = frame[frame["n"].notna()]
    named = rows["pairs"].unique() if "pairs" in rows else rows["run_id"].unique()
    labels = [name if isinstance(name, str) else f"{name:.10g} pairs" for name in named]
    gains = {label: course(frame, label, True, column)[1] for label in labels}
    falls = {label: gain for label, gain in gains.items() if gain.argmax() < len(gain) - 1}
    if found := re.fullmatch(
        rf"Up to the largest n no \w+ falls .* of {_LABEL.format('a')}, is {NUMBER} at n = {NUMBER}\.", text
    ):
        assert not falls
        assert max(gain[-1] for gain in gains.values()) == np.float64(course(frame, found["a"], True, column)[1][-1])
        close(found[2], max(gain[-1] for gain in gains.values()))
        assert float(found[3]) == 2.0 ** (len(course(frame, found["a"], True, column)[1]) - 1)
        return
    pattern = (
        rf"With {NUMBER} of {NUMBER} prox\w+ the {column} falls .* most with {_LABEL.format('a')}: from {NUMBER} at "
        rf"n = {NUMBER} to {NUMBER} at n = {NUMBER}\."
    )
    match = re.fullmatch(pattern, text)
    assert match is not None, text
    assert (int(match[1]), int(match[2])) == (len(falls), len(gains))
    gain = course(frame, match["a"], True, column)[1]
    assert np.isclose(gain.max() - gain[-1], max(each.max() - each[-1] for each in falls.values()))
    for place, value in ((4, gain.max()), (5, 2.0 ** gain.argmax()), (6, gain[-1]), (7, 2.0 ** (len(gain) - 1))):
        close(match[place], value)


def win_rate(frame: pd.DataFrame, text: str) -> None:
    pattern = rf"The highest .* start, {NUMBER}, is of {_LABEL.format('a')} at KL {NUMBER}(?P<rest>.*)\."
    match = re.fullmatch(pattern, text)
    assert match is not None, text
    best = frame.loc[frame["win_rate"] == frame["win_rate"].max()]
    close(match[1], best["win_rate"].iloc[0])
    assert any(abs(float(match[3]) - kl) <= 0.006 * kl + 6e-4 for kl in best["kl"])
    ends = []
    for run in best["run_id"]:
        own = frame[frame["run_id"] == run].sort_values("kl")
        ends.append((own["win_rate"].iloc[-1], own["kl"].iloc[-1]))
    if (rest := re.fullmatch(rf"; its run ends at {NUMBER} \(KL {NUMBER}\)", match["rest"])) is not None:
        assert any(abs(float(rest[1]) - end) < 6e-3 and abs(float(rest[2]) - kl) < 6e-3 * kl + 6e-4 for end, kl in ends)
    else:
        assert match["rest"] == ", where its run ends"
        assert any(abs(float(match[3]) - kl) <= 0.006 * kl + 6e-4 for _, kl in ends)


def length(frame: pd.DataFrame, text: str) -> None:
    pattern = (
        rf"From .* goes from {NUMBER} to {NUMBER} tokens with {_LABEL.format('a')}(?:, which changes most)?"
        rf"(?:; the share that stops goes from (?P<f>{NUMBER[1:-1]}) to (?P<g>{NUMBER[1:-1]}))?\."
    )
    match = re.fullmatch(pattern, text)
    assert match is not None, text
    frame = frame.assign(label=[f"{p:.10g} pairs" for p in frame["pairs"]] if "pairs" in frame else frame["run_id"])
    changes = {}
    for label, part in frame.groupby("label"):
        runs = [run.sort_values("kl") for _, run in part.groupby("run_id")]
        changes[label] = [np.mean([run[name].iloc[at] for run in runs]) for name in ("length",) for at in (0, -1)]
        if "stopped" in frame:
            changes[label] += [np.mean([run["stopped"].iloc[at] for run in runs]) for at in (0, -1)]
    most = max(changes, key=lambda name: abs(np.log(changes[name][1] / changes[name][0])))
    first, last, *stopped = changes[most]
    close(match[1], first)
    close(match[2], last)
    assert amount(match["a"].removesuffix(" pairs")) == amount_of(most) if "pairs" in frame else match["a"] == most
    assert bool(stopped) == (match["f"] is not None)
    for name, value in zip(("f", "g"), stopped, strict=False):
        close(match[name], value)


def amount_of(label: str) -> float:
    """The pairs of a label of ours, as the figures round them."""
    pairs = float(label.removesuffix(" pairs"))
    return float(f"{pairs:.3g}")


def accuracy(frame: pd.DataFrame, text: str) -> None:
    part = frame[frame["params"] == frame["params"].max()] if "params" in frame else frame
    mean = part.groupby("pairs")[["accuracy", "loss"]].mean()
    count = r"([\d.]+k?)"
    of = r"(?: of [\d.]+k parameters)?"
    one = re.fullmatch(rf"With {count} pairs the mean held-out accuracy{of} is {NUMBER}\.", text)
    if one is not None:
        assert len(mean) == 1
        close(one[2], mean["accuracy"].iloc[0])
        assert amount(one[1]) == float(f"{mean.index[0]:.3g}")
        return
    pattern = (
        rf"The mean held-out accuracy{of} is {NUMBER} with {count} pairs and {NUMBER} with {count}; the loss is "
        rf"{NUMBER} and {NUMBER} nats per pair\."
    )
    match = re.fullmatch(pattern, text)
    assert match is not None, text
    for place, column, at in ((1, "accuracy", 0), (3, "accuracy", -1), (5, "loss", 0), (6, "loss", -1)):
        close(match[place], mean[column].iloc[at])
    assert [amount(match[2]), amount(match[4])] == [float(f"{mean.index[at]:.3g}") for at in (0, -1)]


def examples(frame: pd.DataFrame, text: str) -> None:
    part = frame[frame["params"] == frame["params"].max()] if "params" in frame else frame
    mean, count = part.groupby("examples")["loss"].mean(), r"([\d.]+k?) examples"
    start = rf"(?:(?P<start>{NUMBER[1:-1]}) at the start, )?"
    head = rf"The mean loss(?: of [\d.]+k parameters)? is {start}"
    one = re.fullmatch(rf"{head}{NUMBER} with {count}\.", text)
    many = re.fullmatch(rf"{head}{NUMBER} with {count} and {NUMBER} with ([\d.]+k?)\.", text)
    match = one or many
    assert match is not None, text
    assert (match["start"] is not None) == ("start_loss" in part)
    if match["start"] is not None:
        close(match["start"], part["start_loss"].mean())
    close(match[2], mean.iloc[0])
    assert amount(match[3]) == float(f"{mean.index[0]:.3g}")
    if many is not None:
        close(many[4], mean.iloc[-1])
        assert amount(many[5]) == float(f"{mean.index[-1]:.3g}")
    else:
        assert len(mean) == 1


CHECKS: dict[str, Callable[[pd.DataFrame, str], None]] = {
    "rewards": rewards,
    "best-of-n": best_of_n,
    "win-rate": win_rate,
    "answer-length": length,
    "reward-accuracy": accuracy,
    "examples": examples,
}
