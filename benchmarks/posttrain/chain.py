"""What came of a chain after pre-training: writes a section of ``benchmarks/posttrain.md``.

    python -m benchmarks.posttrain.chain benchmarks/posttrain/chat

The folder holds what ``benchmarks.posttrain.keep`` takes of a finished chain, such as that of sweeps/chat-seeds.yaml.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import scaling as sl
from analysis.formatting import format_quantity
from benchmarks.pages.page import table, write
from benchmarks.posttrain import stages
from benchmarks.posttrain.stages import below_start, dpo_gains, gain_at, kept, proxies, runs_of

TITLE = "## The chain,"  # and how many seeds of a run it has
OF_LOSSES = {"sft": "nats per token", "reward": "nats per pair"}
OF_REWARDS = ("best", "ppo", "dpo")
FAR = "far"  # PPO pushed far beyond its peak, without a target
NAIVE = ("best fitted run", "regressional", "no fall")
_FEW, _MANY = 512, 8000  # pairs
_WORDS = {1: "one seed", 2: "two seeds", 3: "three seeds", 4: "four seeds"}
Asked = tuple[str, str, bool | None]


def frozen(place: Path) -> dict[str, Any]:
    """The object of a stage's frozen forecast."""
    made: dict[str, Any] = json.loads((place / "forecast.json").read_text())
    return made


def forecasts(folder: Path) -> Iterator[str]:
    """Every stage's frozen forecast and its score."""
    rows = []
    for stage, unit in OF_LOSSES.items():
        found = sl.score(folder / stage / "forecast.json", folder / stage)
        low, high = found.interval
        rows.append(
            [
                *(stage, f"loss, {unit}", f"{found.predicted:.4f}", f"{low:.4f} to {high:.4f}"),
                *(f"{found.actual:.4f}", f"{found.error:+.2%}", "inside" if found.covered else "outside"),
                ", ".join(f"{name} {naive.error:+.1%}" for name, naive in found.baselines.items()),
            ]
        )
    for stage in OF_REWARDS:
        made, scored = frozen(folder / stage), sl.score_rewards(folder / stage / "forecast.json", folder / stage)
        ends = made["peak_interval"]
        rows.append(
            [
                *(stage, "peak of gold" + (", naive" if scored.refused else ""), f"{scored.peak_gain:+.2f}"),
                *("none" if ends is None else f"{ends[0]:+.2f} to {ends[1]:+.2f}", f"{scored.actual_peak:+.2f}"),
                *(f"{scored.peak_error:+.2f}", {None: "", True: "inside", False: "outside"}[scored.peak_covered]),
                ", ".join(f"{name} {scored.ways[name].peak_error:+.2f}" for name in NAIVE if name in scored.ways),
            ]
        )
    yield "**Forecasts**, each frozen before its target's first step, and their scores."
    yield ""
    yield from table(["stage", "of", "forecast", "interval, 90 %", "actual", "error", "", "naive ones' errors"], rows)
    yield ""
    for stage in OF_REWARDS:
        yield from _told(stage, frozen(folder / stage), folder)


def _told(stage: str, made: dict[str, Any], folder: Path) -> Iterator[str]:
    """Where a forecast of rewards has its peak, by how much it misses the curve, and why it was refused."""
    scored = sl.score_rewards(folder / stage / "forecast.json", folder / stage)
    inside = "" if scored.inside is None else f", {scored.inside:.0%} of them inside their intervals"
    yield (
        f"- `{stage}`, of {format_quantity(made['pairs'])} pairs from {made['n_runs']} runs: the peak is forecast at "
        f"{scored.axis} = {scored.peak_at:.3g} and lies at {scored.actual_at:.3g}; stopping at the forecast one loses "
        f"{scored.regret:.2f}. The curve is missed by {scored.rms:.2f} over {scored.n_points} points{inside}."
    )
    if scored.refused is not None:
        yield f"  Refused, so that the naive one was kept: {scored.refused}."
    else:
        yield (
            f"  Before, on fitted proxies of more pairs, the law missed by {made['backtest_error']:.2f} and the best "
            f"naive one by {made['naive_error']:.2f}."
        )


def asked(folder: Path) -> Iterator[Asked]:
    """What the chain should show, what it shows, and whether that is it; None where the runs do not tell."""
    found = sl.score(folder / "sft" / "forecast.json", folder / "sft")
    yield "SFT: the forecast errs by at most 2 %", f"{found.error:+.2%}", abs(found.error) <= 0.02
    losses = runs_of(folder / "sft").groupby(["params", "examples"])["loss"].mean().groupby("params")
    rises = int(sum((own.diff() >= 0).sum() for _, own in losses))
    yield "SFT: the mean loss falls at every step of examples", f"{rises} rises", rises == 0
    accuracy = runs_of(folder / "reward").groupby("pairs")["accuracy"].mean()
    fewest, most = float(accuracy.iloc[0]), float(accuracy.iloc[-1])
    yield "Reward models: accuracy .65 +- .04 with 128 pairs", f"{fewest:.3f}", abs(fewest - 0.65) <= 0.04
    yield "Reward models: accuracy at least .78 with 8k pairs", f"{most:.3f}", most >= 0.78
    yield from _of_best(folder / "best")
    yield from _of_ppo(folder / "ppo", "PPO")
    if (folder / FAR).is_dir():
        yield from _of_ppo(folder / FAR, "PPO at three times the rate")
    gains = dpo_gains(folder / "dpo")
    ends = {beta: gain.iloc[-1] for (pairs, beta), gain in gains.items() if pairs == 4000}
    shown = ", ".join(f"{stages.mean(ends[beta], 2)} with {beta:g}" for beta in sorted(ends))
    low, high = ends[min(ends)].mean(), ends[max(ends)].mean()
    yield "DPO, 4k pairs: the small beta ends below the large one", shown, bool(low < high)


def _of_best(place: Path) -> Iterator[Asked]:
    for pairs, found in proxies(place):
        if _FEW < pairs < _MANY:
            continue
        name, lost, n = f"Best-of-n, {format_quantity(pairs)} pairs", 1 - kept(found.gain), found.points[found.peak]
        if pairs <= _FEW:
            yield f"{name}: peaks below n = 32", f"n = {n:.0f}", bool(n < 32)
            yield f"{name}: loses at least 30 % of its gain by n = 128", f"{lost:.0%}", lost >= 0.3
        else:
            yield f"{name}: loses less than 10 % of its gain by n = 128", f"{lost:.0%}", lost < 0.1


def _of_ppo(place: Path, how: str) -> Iterator[Asked]:
    for pairs, found in proxies(place):
        peak, end, under = float(found.points[found.peak]), float(found.points[-1]), below_start(found)
        name = f"{how}, {format_quantity(pairs)} pairs"
        if pairs == _FEW:
            yield f"{name}: gold peaks below KL 2", f"KL {peak:.2f}, of {end:.2f} reached", peak < 2
            shown = (
                f"not by KL {end:.2f}, the end"
                if under is None
                else f"first at KL {under:.2f}, with {found.gain[-1]:+.2f} at the end"
            )
            told = None if under is None and end < 4 else under is not None and under < 4
            yield f"{name}: gold is under its start by KL 4", shown, told
            yield f"{name}: the proxy rises meanwhile", f"{found.proxy[-1]:+.2f}", bool(found.proxy[-1] > 0)
        if pairs == _MANY:
            at = gain_at(found, 2.0)
            shown = f"ends at KL {end:.2f}" if at is None else f"{found.gain.max() - at:.2f} below"
            met = None if at is None else bool(found.gain.max() - at <= 0.15)
            yield f"{name}: gold at KL 2 within .15 of its peak", shown, met


def introduction(folder: Path) -> str:
    """The heading, and where the numbers come from."""
    runs = runs_of(folder / "reward")
    seeds = _WORDS[int(runs["seed"].nunique())]
    name = str(runs["sweep"].iloc[0]).removesuffix("-reward")
    return f"""\
{TITLE} {seeds}

Written by `python -m benchmarks.posttrain.chain benchmarks/posttrain/chat` from the tables of `scaling run
sweeps/{name}.yaml`: small Llamas after pre-training, up to {seeds} of a run. Gold is the program `reader`, in its
own units. Numbers with +- are means over seeds and their standard errors."""


def section(folder: Path) -> str:
    """The section of the page."""
    words = {True: "yes", False: "**no**", None: "not told"}
    met = [[what, shown, words[holds]] for what, shown, holds in asked(folder)]
    parts = (
        stages.fine_tuning(folder / "sft"),
        stages.reward_models(folder / "reward"),
        stages.best_of_n(folder / "best"),
        stages.ppo(folder / "ppo"),
        *([stages.ppo(folder / FAR, " at three times the rate")] if (folder / FAR).is_dir() else []),
        stages.dpo(folder / "dpo"),
        forecasts(folder),
        ("**What was asked of it before**, and whether it came to that:", "", *table(["asked", "found", ""], met)),
    )
    return "\n\n".join([introduction(folder), *("\n".join(part) for part in parts)]) + "\n"


if __name__ == "__main__":
    write(TITLE, section(Path(sys.argv[1])))
