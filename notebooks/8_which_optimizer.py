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
# # Which optimizer?
#
# Muon has a lower loss than AdamW in small runs. Has it one at ten times the compute, and by how many times the compute
# is it better there? This notebook answers from small runs, says how sure the answer is, and then looks at the larger
# runs, which were trained after the answer was frozen.
#
# The tables below were kept from finished sweeps. `scaling run sweeps/compare.yaml` makes such a folder in about ten
# minutes on two cores; set `study` to `../runs/compare`.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import scaling as sl

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
plt.rcParams.update({"legend.frameon": False, "figure.figsize": (7, 4)})

study = Path("../benchmarks/comparing/optimizers/sotu")
runs = {name: pd.read_parquet(study / name / "runs.parquet") for name in ("adamw", "muon")}
every = pd.concat(runs, names=["contender"])
every.groupby(["contender", "role"]).agg(
    runs=("run_id", "size"),
    seeds=("seed", "nunique"),
    sizes=("params", "nunique"),
    largest=("params", "max"),
    flops=("flops", "max"),
)

# %% [markdown]
# ## The runs are paired
#
# Both optimizers trained the same models on the same text in the same order: each run of AdamW has a partner of Muon
# with its parameters, tokens and seed. So there is a difference of losses for each pair.

# %%
shared = ["role", "params", "tokens", "flops", "seed"]
pairs = runs["adamw"][[*shared, "loss"]].merge(runs["muon"][[*shared, "loss"]], on=shared, suffixes=(" adamw", " muon"))
pairs["difference"] = np.log(pairs["loss muon"] / pairs["loss adamw"])
fitted = pairs[pairs.role == "fit"]
print(f"{len(fitted)} pairs; Muon has the lower loss in {(fitted.difference < 0).sum()}")

# %% [markdown]
# What both runs of a pair share cancels in their difference. That can be measured, as every model was trained with two
# seeds:

# %%
logs = fitted.assign(adamw=np.log(fitted["loss adamw"]), muon=np.log(fitted["loss muon"]))
noise = np.sqrt(logs.groupby(["params", "tokens"])[["adamw", "muon", "difference"]].var().mean())
unpaired = np.hypot(noise.adamw, noise.muon)
print(f"standard deviation between seeds: AdamW {noise.adamw:.2%}, Muon {noise.muon:.2%}")
print(f"of the difference: {noise.difference:.2%} in pairs; {unpaired:.2%} if the runs had nothing in common")

# %% [markdown]
# More cancels between sizes: whatever a scaling law misses at some size and length, it mostly misses for both.
#
# ## What the small runs show, and what they say of the target
#
# The difference at each budget, its forecast, and a band from the runs to the target. The cross is what came later.

# %%
difference = sl.plot("loss-difference", study / "comparison.json")
print(difference.drawing.reading)

# %%
difference

# %% [markdown]
# A percent of loss says little by itself. The compute multiplier says how many times the compute AdamW needs to get the
# loss of Muon:

# %%
multiplier = sl.plot("multiplier", study / "comparison.json")
print(multiplier.drawing.reading)

# %%
multiplier

# %% [markdown]
# ## The statement
#
# These figures are drawn from the comparison that the sweep froze before it trained the targets. The same runs give the
# same statement again. Targets are no part of it: a row of the role `target` is never fitted.

# %%
target = runs["adamw"][runs["adamw"].role == "target"].iloc[0]
aim = {"params": float(target.params), "tokens": float(target.tokens), "flops": float(target.flops), "seeds": 3}
made = sl.compare(runs, **aim)
print(made)

# %% [markdown]
# Several ways carry a difference to the target. Each weighs as much as it forecast the dearer of the fitted runs well
# from the cheaper ones:

# %%
pd.Series(made.pairs[0].weights, name="weight").sort_values(ascending=False).map("{:.0%}".format).to_frame()

# %% [markdown]
# ## Two ways that people use
#
# The first takes the order at the largest budget for that at the target. The second extrapolates each optimizer by a
# law of its own, and subtracts. Beside them the comparison, and what came:

# %%
alone = {name: sl.score(study / name / "forecast.json", rows) for name, rows in runs.items()}
score = sl.score_comparison(study / "comparison.json", runs)
largest, pair, scored = made.pairs[0].budgets[-1], made.pairs[0], score.pairs[0]
apart = np.log(alone["muon"].predicted / alone["adamw"].predicted)
ways = pd.DataFrame(
    {"difference": [largest.difference.value, apart, pair.difference.value, scored.actual]},
    index=["order at the largest budget", "each extrapolated alone", "compared", "actual"],
)
ways["misses by"] = ways.difference - scored.actual
ways.loc["actual", "misses by"] = np.nan
ways.map("{:+.2%}".format).replace("+nan%", "")

# %% [markdown]
# Neither of the two says how sure it is. The forecasts of each alone have intervals, but they overlap, because most of
# what they allow for would move both losses together:

# %%
figure, axes = plt.subplots(figsize=(7, 2))
for place, own in enumerate(alone.values()):
    low, high = own.interval
    axes.plot([low, high], [place, place], lw=5, alpha=0.4, color="#0072b2", label="forecast alone, 90 % interval")
    axes.plot(own.predicted, place, "o", color="#0072b2")
    axes.plot(own.actual, place, "*", ms=12, color="#d55e00", label="actual, mean of three runs")
axes.set_yticks(range(len(alone)), list(alone))
axes.set_ylim(-0.6, len(alone) - 0.4)
axes.set_xlabel(f"loss at the target, {score.unit}")
axes.legend(
    *(each[:2] for each in axes.get_legend_handles_labels()), loc="upper left", bbox_to_anchor=(0, 1.4), ncols=2
)
plt.show()

# %% [markdown]
# ## How good are such statements?
#
# Before the targets are trained, the fitted runs alone can tell: the runs up to a budget are compared, and each pair of
# dearer runs judges that.

# %%
tested = sl.backtest_comparisons(runs)
print(tested)

# %% [markdown]
# Among these runs the order hardly changes, so that to rank by the largest budget is hard to beat. What it lacks is a
# probability. Comparisons from the cheapest runs alone go wrong, at ten times the compute, as often as not, and they
# say so: the probabilities of these decisions are near one half.

# %%
far = tested.frame[tested.frame.flops > np.sqrt(3 * 10) * tested.frame.fitted_flops]  # nearer to 10 times than to 3
far.groupby("fitted_flops").agg(judged=("better", "size"), least=("better", "min"), most=("better", "max")).round(3)

# %% [markdown]
# ## What would further runs have decided?
#
# Suppose that only the three lower budgets had been trained. The comparison is then undecided, and its design says what
# more runs could be expected to bring, at which cost:

# %%
budgets = [row.flops for row in pair.budgets]


def upto(budget: float) -> dict[str, pd.DataFrame]:
    """The fitted runs of at most so many FLOPs, with 5 % to spare."""
    return {name: rows[(rows.role == "fit") & (rows.flops < 1.05 * budget)] for name, rows in runs.items()}


design = sl.design_comparison(upto(budgets[2]), **{name: aim[name] for name in ("params", "tokens", "seeds")})
print(design.pairs[0].verdict)
plans = design.to_frame().assign(flops=lambda rows: rows.flops.map("{:.1e}".format))
plans = plans[plans.seeds.isin([1, 2, 4, 8])]
plans.pivot_table(index="flops", columns="seeds", values="confidence", sort=False).map("{:.0%}".format)

# %% [markdown]
# Rows are budgets of the further runs, columns how many of each contender, and the entries the probability that would
# be stated for the likelier one. Many runs at a small budget bring little; few at a larger budget bring more.
#
# Then the three larger budgets were trained:

# %%
rows = []
for budget in budgets[2:]:
    then = sl.compare(upto(budget), **aim).pairs[0]
    rows.append([budget, then.better, then.multiplier.value, then.multiplier.low, then.multiplier.high])
steps = pd.DataFrame(rows, columns=["largest FLOPs", "P(Muon)", "multiplier", "low", "high"])

figure, axes = plt.subplots(figsize=(7, 3))
axes.plot(steps["largest FLOPs"], steps["P(Muon)"], "o-", color="#0072b2")
axes.axhline(0.95, color="0.6", lw=1)
axes.annotate("decided", (budgets[2], 0.95), (0, 3), textcoords="offset points", color="0.4")
axes.set_xscale("log")
axes.set_ylim(0.5, 1)
axes.set_xlabel("FLOPs of the largest runs that are compared")
axes.set_ylabel("probability that Muon\nis better at the target")
plt.show()

# %%
steps.round(2).set_index(steps["largest FLOPs"].map("{:.1e}".format)).drop(columns="largest FLOPs")

# %% [markdown]
# ## The score
#
# Three targets of each were trained after the comparison was frozen.

# %%
print(score)

# %%
targets = pairs[pairs.role == "target"].set_index("seed")[["loss adamw", "loss muon", "difference"]]
targets.assign(difference=targets.difference.map("{:+.2%}".format)).round(4)

# %% [markdown]
# And the same on code, another sweep of the same file:

# %%
code = study.with_name("python")
print(sl.score_comparison(code / "comparison.json", {name: code / name for name in runs}))

# %% [markdown]
# ## In seconds
#
# A step of Muon costs more. These models are so small that its matrix products are a good part of a step; that part
# falls with the number of tokens in a step. Seconds also hold what else the machine did while a run was trained, which
# was more for some runs than for others: steps timed in turn are in
# [benchmarks/optimizers.md](../benchmarks/optimizers.md).

# %%
rows = []
for place in (study, code):
    tables = {name: pd.read_parquet(place / name / "runs.parquet") for name in runs}
    seconds = {name: table[table.role == "target"].wall_s.mean() for name, table in tables.items()}
    found = sl.score_comparison(place / "comparison.json", tables).pairs[0].actual_multiplier
    ratio = seconds["muon"] / seconds["adamw"]
    rows.append([place.name, seconds["adamw"], seconds["muon"], ratio, found, found / ratio])
columns = ["corpus", "a target of AdamW, s", "of Muon, s", "ratio", "multiplier of compute", "of time"]
pd.DataFrame(rows, columns=columns).set_index("corpus").round(2)

# %% [markdown]
# [benchmarks/comparing.md](../benchmarks/comparing.md) has these figures for both corpora, seed by seed, beside
# comparisons of published runs, of corpora with planted damage and of contenders that do not differ.
