"""Tables of what the stages of a chain came to, each the mean over seeds.

Gains are of the gold reward over the start's; those of several seeds are read off their mean curve, so that no seed's
luck is a peak.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

import scaling as sl
from analysis.formatting import format_quantity
from analysis.rewards.proxies import Proxy, proxies_of
from analysis.rewards.reading import read_rewards
from benchmarks.pages.page import table


def runs_of(place: Path) -> pd.DataFrame:
    """The runs of a stage."""
    return pd.read_parquet(place / "runs.parquet")


def mean(values: pd.Series, digits: int) -> str:
    """Mean over runs and its standard error."""
    error = f" +- {values.sem():.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{error}"


def proxies(place: Path) -> list[tuple[int, Proxy]]:
    """The mean curves of a stage's rewards, with the pairs of each."""
    return [(round(found.curves[0].pairs), found) for found in proxies_of(read_rewards(place))]


def kept(gain: np.ndarray) -> float:
    """The share of the highest gain that is left at the end; NaN where nothing was gained."""
    return float(gain[-1] / gain.max()) if gain.max() > 0 else float("nan")


def below_start(found: Proxy) -> float | None:
    """The KL after the peak at which the gold falls below the start's, linear between points; None if it never does."""
    under = np.flatnonzero((found.gain < 0) & (np.arange(len(found.gain)) > found.peak))
    if not len(under):
        return None
    last = int(under[0])
    span = found.gain[last - 1] - found.gain[last]
    return float(np.interp(found.gain[last - 1] / span, [0, 1], found.points[last - 1 : last + 1]))


def gain_at(found: Proxy, kl: float) -> float | None:
    """Mean gain at a KL; None beyond the shortest run."""
    return float(np.interp(kl, found.points, found.gain)) if kl <= found.points[-1] else None


def fine_tuning(place: Path) -> Iterator[str]:
    """Losses by size and examples."""
    runs = runs_of(place)
    counts = sorted(runs["examples"].unique())
    rows = []
    for size, own in runs.groupby("params"):
        by = {count: part["loss"] for count, part in own.groupby("examples")}
        cells = [mean(by[count], 4) if count in by else "" for count in counts]
        rows.append([format_quantity(size), f"{own['start_loss'].mean():.4f}", *cells])
    yield "**SFT.** Held-out loss, nats per token of an answer, by parameters and examples; 0 is the base model."
    yield ""
    yield from table(["parameters", "0", *map(format_quantity, counts)], rows)


def reward_models(place: Path) -> Iterator[str]:
    """Accuracy and loss by pairs."""
    rows = [
        [format_quantity(pairs), str(len(own)), mean(own["accuracy"], 3), mean(own["loss"], 3)]
        for pairs, own in runs_of(place).groupby("pairs")
    ]
    yield "**Reward models** of 68k parameters: held-out accuracy, and Bradley-Terry loss in nats per pair."
    yield ""
    yield from table(["pairs", "seeds", "accuracy", "loss"], rows)


def mean_law(pairs: int, found: Proxy, law: str) -> list[str]:
    """Alpha, beta and the root mean square residual of a law of over-optimisation on a mean curve."""
    place = {"n": found.points, "kl": found.kl} if found.of_n else {"kl": found.points}
    frame = pd.DataFrame({**place, "gold": found.gain, "pairs": pairs, "run_id": "mean"})
    fitted = sl.fit_rewards(frame, law=law, bootstrap=0).runs[0]
    return [f"{fitted.alpha:.2f}", f"{fitted.beta:.2f}", f"{fitted.rms:.3f}"]


def best_of_n(place: Path) -> Iterator[str]:
    """Peaks and falls of best-of-n by pairs."""
    rows = []
    for pairs, found in proxies(place):
        each = [kept(curve.gain) for curve in found.curves]
        rows.append(
            [
                *(format_quantity(pairs), str(len(each)), f"{found.points[found.peak]:.0f}"),
                *(f"{found.gain[found.peak]:+.2f}", f"{found.gain[-1]:+.2f}", f"{1 - kept(found.gain):.0%}"),
                *(f"{1 - np.mean(each):.0%} ({1 - max(each):.0%} to {1 - min(each):.0%})",),
                *(f"{found.proxy[-1]:+.2f}", *mean_law(pairs, found, "overoptimization-bon")),
            ]
        )
    yield "**Best-of-n** of 20k parameters, up to n = 128: gold of the mean curve, and its law d (alpha - beta d)."
    yield ""
    head = ["pairs", "seeds", "n of the peak", "gain there", "at the last n", "of it lost", "each seed's, mean (range)"]
    yield from table([*head, "proxy at the last n", "alpha", "beta", "rms"], rows)


def ppo(place: Path, how: str = "") -> Iterator[str]:
    """Peaks and falls of PPO by pairs; ``how`` the runs differ from those of the usual rate, if they do."""
    rows = []
    for pairs, found in proxies(place):
        at_peak = np.array(
            [curve.gain_at(np.sqrt(found.points[found.peak : found.peak + 1]))[0] for curve in found.curves]
        )
        error = at_peak.std(ddof=1) / np.sqrt(len(at_peak)) if len(at_peak) > 1 else float("nan")
        under, at_two = below_start(found), gain_at(found, 2.0)
        rows.append(
            [
                *(format_quantity(pairs), str(len(found.curves)), f"{found.gain[found.peak]:+.2f} +- {error:.2f}"),
                *(f"{found.points[found.peak]:.2f}", "never" if under is None else f"{under:.2f}"),
                *("not reached" if at_two is None else f"{at_two:+.2f}", f"{found.gain[-1]:+.2f}"),
                *(f"{found.points[-1]:.2f}", f"{found.proxy[-1]:+.2f}"),
                *mean_law(pairs, found, "overoptimization-rl"),
            ]
        )
    yield f"**PPO{how}** of 20k parameters, 40 iterations without a penalty of KL: gold of the mean curve, up to the"
    yield "KL that every seed reaches, and its law d (alpha - beta log d)."
    yield ""
    head = ["pairs", "seeds", "gain at the peak", "KL there", "KL under the start", "gain at KL 2", "gain at the end"]
    yield from table([*head, "KL there", "proxy there", "alpha", "beta", "rms"], rows)


def dpo_gains(place: Path) -> dict[tuple[float, float], pd.DataFrame]:
    """Gold over the start's by pairs and beta: a row a step, a column a seed."""
    runs = runs_of(place)[["run_id", "pairs", "beta", "seed"]]
    rewards = pd.read_parquet(place / "rewards.parquet").merge(runs, on="run_id")
    golds = {
        (pairs, beta): own.pivot_table(index="step", columns="seed", values="gold")
        for (pairs, beta), own in rewards.groupby(["pairs", "beta"])
    }
    return {cell: gold - gold.iloc[0] for cell, gold in golds.items()}


def dpo(place: Path) -> Iterator[str]:
    """Gains of DPO by pairs and beta."""
    runs = runs_of(place)
    rows = []
    for (pairs, beta), gains in dpo_gains(place).items():
        cells = runs[(runs["pairs"] == pairs) & (runs["beta"] == beta)]
        top = gains.mean(axis=1).idxmax()
        rows.append(
            [
                *(format_quantity(pairs), f"{beta:g}", str(len(cells)), mean(gains.loc[top], 2)),
                *(f"{top / gains.index[-1]:.0%}", mean(gains.iloc[-1], 2), mean(cells["kl"], 2)),
                *(mean(cells["logp_chosen"], 2), mean(cells["logp_rejected"], 2), mean(cells["accuracy"], 3)),
            ]
        )
    yield "**DPO** of 20k parameters, one epoch: gold of the mean over seeds after equally many steps."
    yield ""
    head = ["pairs", "beta", "seeds", "highest gain", "after, of the steps", "gain at the end", "KL there"]
    yield from table([*head, "`logp_chosen`", "`logp_rejected`", "accuracy"], rows)
