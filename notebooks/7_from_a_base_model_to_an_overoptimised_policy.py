# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From a base model to an over-optimised policy
#
# A reward model stands in for what people prefer, and a policy that is pushed far enough by it learns to please the
# stand-in alone. This notebook follows one chain of small Llamas from supervised fine-tuning to that point, and scores
# the forecast of every stage.
#
# The task is to finish a President's sentence. A program, the gold reward `reader`, stands for people: it likes answers
# of about thirty bytes, of usual and friendly words, that end. The tables below were kept from a finished chain;
# `scaling run sweeps/chat.yaml` makes a folder of the same layout in minutes: set `chain` to `../runs/chat`.

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import scaling as sl

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
plt.rcParams.update({"legend.frameon": False, "figure.figsize": (7, 4)})
pd.set_option("display.max_colwidth", 200)

chain = Path("../benchmarks/posttrain/chat")
runs = {stage: pd.read_parquet(chain / stage / "runs.parquet") for stage in ("sft", "reward", "best", "ppo", "dpo")}
counts = pd.concat(runs).groupby(["sweep", "role"], sort=False).agg(runs=("run_id", "count"), seeds=("seed", "nunique"))
counts


# %% [markdown]
# ## Supervised fine-tuning
#
# The laws of fine-tuning count examples for tokens. They are fitted to the smaller runs; the forecast of the largest
# was frozen before its first step.

# %%
sft = sl.read_runs(chain / "sft")
law = sl.fit(sft)
frozen = json.loads((chain / "sft" / "forecast.json").read_text())
target = sft.targets.iloc[0]


def colours(count: int) -> list[tuple[float, float, float, float]]:
    """Colours in an order, for lines that are told apart without hue as well."""
    return [plt.cm.viridis(place) for place in np.linspace(0.05, 0.8, count)]


def name_lines(axes: plt.Axes, names: dict[str, tuple[float, float, object]]) -> None:
    """Writes the name of each line at its end, of which x, y and colour are given, and keeps names apart."""
    height, free = 0.055 * np.diff(axes.get_ylim())[0], -np.inf
    for name, (x, y, colour) in sorted(names.items(), key=lambda item: item[1][1]):
        at = max(y, free + height * (name.count("\n") + 1) / 2)
        free = at + height * (name.count("\n") + 1) / 2
        axes.annotate(name, (x, at), (14, 0), textcoords="offset points", color=colour, va="center", fontsize=9)


figure, axes = plt.subplots()
examples, names = np.geomspace(sft.fit.tokens.min(), target.tokens, 50), {}
for colour, (size, own) in zip(colours(sft.fit.params.nunique()), sft.fit.groupby("params"), strict=True):
    axes.plot(own.tokens, own.loss, "o", ms=4, color=colour, mec="none")
    loss = law.predict(params=size, tokens=examples)
    axes.plot(examples, loss, color=colour)
    names[f"{size / 1e3:.3g}k parameters"] = (examples[-1], loss[-1], colour)
ends = np.abs(np.array(frozen["interval"]) - frozen["loss"])[:, None]
axes.errorbar(target.tokens, frozen["loss"], ends, fmt="s", color="#d55e00", capsize=4, label="forecast, 90 % interval")
axes.plot(
    sft.targets.tokens, sft.targets.loss, "*", ms=10, color="#cc79a7", mec="k", mew=0.4, label="actual, each seed"
)
axes.plot([], [], "-", color="0.4", label="fitted laws")
axes.set_xscale("log")
axes.set_xlim(right=5 * target.tokens)
name_lines(axes, names)
axes.set_xlabel("examples")
axes.set_ylabel("held-out loss, nats per answer token")
axes.legend()
plt.show()

# %%
print("weights of the laws:", ", ".join(f"{name} {weight:.0%}" for name, weight in law.weights.items()))
print(sl.score(chain / "sft" / "forecast.json", sft))

# %% [markdown]
# ## Reward models
#
# The fine-tuned policy answers each prompt twice, and one rater says which answer is better. Some of these pairs, with
# the scores, `proxy`, of a reward model that learnt from the most of them:

# %%
compared = pd.DataFrame(json.loads((chain / "reward" / "samples.json").read_text()))
compared = compared.merge(runs["reward"][["run_id", "pairs"]])
shown = compared[compared.pairs == compared.pairs.max()]
shown.assign(answer=shown.answer.str.rstrip("\0"))[["prompt", "answer", "preferred", "proxy"]].round(2)

# %%
sl.plot("reward-accuracy", chain / "reward")

# %%
print(runs["reward"].groupby("pairs")[["accuracy", "loss"]].agg(["mean", "sem"]).round(3))
print(sl.score(chain / "reward" / "forecast.json", chain / "reward"))

# %% [markdown]
# ## Best-of-n: the proxy rises, the gold falls
#
# The policy answers n times and the best answer by the reward model, the proxy, is taken. Solid lines are gold, dashed
# ones the proxy's own opinion.

# %%
best = sl.plot("best-of-n", chain / "best")
print(best.drawing.reading)

# %%
best

# %% [markdown]
# The law of Gao et al. (2210.10760), d (alpha - beta d) with d the square root of the KL divergence from the start,
# fitted to the mean over seeds:

# %%
rewards = pd.read_parquet(chain / "best" / "rewards.parquet").merge(runs["best"][["run_id", "pairs", "seed"]])
gold = rewards.groupby(["pairs", "n"])[["kl", "gold", "proxy"]].mean().reset_index()
fitted = (
    sl.fit_rewards(gold.assign(run_id=gold.pairs.map("{:g} pairs".format)), bootstrap=0).to_frame().set_index("pairs")
)

figure, axes = plt.subplots()
names = {}
for colour, (count, own) in zip(colours(gold.pairs.nunique()), gold.groupby("pairs"), strict=True):
    gain, d = own.gold - own.gold.iloc[0], np.sqrt(own.kl)
    fine = np.linspace(0, d.iloc[-1], 100)
    alpha, beta = fitted.loc[count, ["alpha", "beta"]]
    axes.plot(d, gain, "o", ms=4, color=colour, mec="none")
    axes.plot(fine, fine * (alpha - beta * fine), color=colour)
    names[f"{count:,} pairs"] = (d.iloc[-1], gain.iloc[-1], colour)
axes.axhline(0, color="0.8", lw=1, zorder=0)
axes.set_xlim(right=1.25 * axes.get_xlim()[1])
name_lines(axes, names)
axes.set_xlabel("square root of the KL divergence from the start (nats)")
axes.set_ylabel("gold over the start's\n(dots: mean of the seeds; lines: the law)")
plt.show()

# %%
peaks = gold.assign(gain=gold.gold - gold.groupby("pairs").gold.transform("first"))
at_peak = peaks.loc[peaks.groupby("pairs").gain.idxmax()].set_index("pairs")
last = peaks.groupby("pairs").last()
falls = pd.DataFrame({"n of the peak": at_peak.n, "gain there": at_peak.gain, "gain at the end": last.gain})
falls["lost"] = 1 - last.gain / at_peak.gain
falls["proxy at the end"] = last.proxy - peaks.groupby("pairs").proxy.first()
falls.join(fitted[["alpha", "beta", "rms"]]).round(2)

# %% [markdown]
# Where `lost` is above 0 the proxy goes on to promise more while the gold falls: the best of many answers by it are
# those that it is wrong about. More pairs leave fewer of these.
#
# ## PPO: the same, by gradients
#
# Here the policy itself is trained on the proxy, without a penalty of its divergence from the start.

# %%
ppo = sl.plot("rewards", chain / "ppo")
print(ppo.drawing.reading)

# %%
ppo

# %% [markdown]
# At three times the learning rate, the same policies go so far from the start that gold falls below where it began,
# while the proxy of 512 pairs goes on to rise:

# %%
far = sl.plot("rewards", chain / "far")
print(far.drawing.reading)

# %%
far

# %% [markdown]
# A proxy may reward length, or the lack of it. So lengths and the share of answers that stop stand beside:

# %%
sl.plot("answer-length", chain / "far")

# %% [markdown]
# ## DPO: how far a small beta goes
#
# DPO needs no reward model; its beta is the price of moving away from the start.

# %%
along = pd.read_parquet(chain / "dpo" / "rewards.parquet").merge(runs["dpo"][["run_id", "pairs", "beta", "seed"]])
along["gain"] = along.gold - along.groupby("run_id").gold.transform("first")
both = along[along.pairs == along.groupby("pairs").beta.nunique().idxmax()]

figure, axes = plt.subplots()
names = {}
for colour, (beta, own) in zip(("#d55e00", "#0072b2"), both.groupby("beta"), strict=True):
    steps = own.groupby("step")[["kl", "gain"]]
    kl, gain = steps.mean().kl, steps.mean().gain
    axes.errorbar(gain.index / gain.index[-1], gain, steps.sem().gain, fmt="o-", ms=4, color=colour, capsize=3)
    names[f"beta {beta:g}:\nKL {kl.iloc[-1]:.2f} at the end"] = (1, gain.iloc[-1], colour)
axes.axhline(0, color="0.8", lw=1, zorder=0)
axes.set_xlim(right=1.3)
name_lines(axes, names)
axes.set_xlabel(f"share of an epoch of {both.pairs.iloc[0]:,.0f} pairs")
axes.set_ylabel("gold over the start's,\nmean of the seeds and its standard error")
plt.show()

# %% [markdown]
# The likelihood of the chosen answers falls too, only less than that of the rejected ones. That is no fault of the
# training: the loss asks for their difference alone.

# %%
columns = ["kl", "accuracy", "logp_chosen", "logp_rejected", "reward_gold"]
runs["dpo"].groupby(["pairs", "beta"])[columns].mean().round(3)

# %% [markdown]
# ## Every forecast, and what came
#
# Losses are forecast by laws of examples and pairs. The curves of gold are forecast from proxies of fewer pairs: by
# three forms of the law, weighed by how far each missed the fitted proxies of more pairs. If a naive forecast missed
# those by less, or nothing could be tested, the law's is refused and the naive one is scored in its place.

# %%
rows = []
for stage in ("sft", "reward"):
    found = sl.score(chain / stage / "forecast.json", chain / stage)
    rows.append([stage, "loss", found.predicted, found.interval, found.actual, found.covered, ""])
for stage in ("best", "ppo", "dpo"):
    found = sl.score_rewards(chain / stage / "forecast.json", chain / stage)
    interval = json.loads((chain / stage / "forecast.json").read_text())["peak_interval"]
    refused = found.refused or ""
    rows.append([stage, "peak of gold", found.peak_gain, interval, found.actual_peak, found.peak_covered, refused])
table = pd.DataFrame(rows, columns=["stage", "of", "forecast", "interval", "actual", "inside", "refused"])
table["error"] = table.forecast - table.actual
table["interval"] = [f"{ends[0]:.3g} to {ends[1]:.3g}" if ends else "none" for ends in table.interval]
table.set_index("stage").round(3).fillna({"inside": "no interval"})

# %% [markdown]
# The forecast of best-of-n by its ways; the last three are naive ones.

# %%
print(sl.score_rewards(chain / "best" / "forecast.json", chain / "best"))

# %% [markdown]
# ## What the policy says
#
# The answers of one PPO run, of those kept the one whose gold falls most: at the start, where its gold was highest, and
# at the end. The prompts are the same, and every answer is drawn anew.


# %%
def side_by_side(stage: str, axis: str) -> pd.DataFrame:
    """Answers at the start, at the peak and at the end of the run whose gold falls most, with gold and proxy."""
    samples = pd.DataFrame(json.loads((chain / stage / "samples.json").read_text()))
    curves = pd.read_parquet(chain / stage / "rewards.parquet").groupby("run_id").gold
    fall = (curves.max() - curves.last())[samples.run_id.unique()]
    own = samples[samples.run_id == fall.idxmax()]
    scores = own.gold.map("  [gold {:.1f}".format) + own.proxy.map(", proxy {:.1f}]".format)
    told = own.assign(said=own.answer.str.rstrip("\0") + scores, place=own[axis].rank(method="dense"))
    names = [f"{axis} = {value:.3g}" for value in sorted(own[axis].unique())]
    return told.pivot_table(index="prompt", columns="place", values="said", aggfunc="first").set_axis(names, axis=1)


side_by_side("ppo", "kl")

# %% [markdown]
# And the best of n by a reward model, likewise: of one answer, of as many as its gold is highest at, and of all.

# %%
side_by_side("best", "n")

# %% [markdown]
# With a folder of your own, `scaling sample runs/chat/ppo --prompt "We must now turn to the question"` asks further
# questions, and `runs/chat/report.html` has all of this on one page. What was asked of this chain before it was run,
# and where it fell short, is in [benchmarks/posttrain.md](../benchmarks/posttrain.md).
