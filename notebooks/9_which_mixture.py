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
# # Which mixture of data?
#
# A model is to read code and its documentation. There is code, there are manuals, and there is text of other kinds.
# How much of each should it be trained on? This notebook answers from small runs on 22 mixtures, says how sure the
# answer is, and then looks at a model of eight times the compute, trained on the answer and on two usual mixtures.
#
# The tables below were kept from a finished sweep. `scaling run sweeps/mixture.yaml` makes such a folder in about
# fifteen minutes on two cores; set `study` to `../runs/mixture`.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import scaling as sl

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
plt.rcParams.update({"legend.frameon": False, "figure.figsize": (7, 4)})
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "0.6"
plt.rcParams["axes.prop_cycle"] = plt.cycler(color=[BLUE, ORANGE, GREEN, "#cc79a7", "#e69f00"])

study = Path("../benchmarks/mixing/own")
runs = pd.read_parquet(study / "runs.parquet")
sources = [name.removeprefix("mix_") for name in runs.columns if name.startswith("mix_")]
shares, losses = [f"mix_{name}" for name in sources], [f"loss_{name}" for name in sources]
runs["mixture"] = runs[shares].round(4).astype(str).agg("/".join, axis=1)
cells = runs.groupby(["role", "params", "flops"]).agg(
    runs=("run_id", "size"), mixtures=("mixture", "nunique"), seeds=("seed", "nunique"), tokens=("tokens", "max")
)
cells.reset_index().assign(flops=lambda rows: rows.flops.map("{:.1e}".format)).set_index("role")

# %% [markdown]
# Every run has the share of each source in its training text (`mix_code`), the passes that it made over it
# (`epochs_code`), and its loss on held-out text of each (`loss_code`). That text is the same for all runs.
#
# ## What a mixture changes
#
# The smallest swarm: 22 mixtures, all else alike. The loss on a domain falls with the share of its own source, steeply
# at first:

# %%
fitted, targets = (runs[runs.role == role] for role in ("fit", "target"))
counts = fitted.groupby(["params", "flops"]).mixture.nunique()
(small, budget), (larger, _) = sorted(counts[counts > 1].index)
swarm = fitted[(fitted.params == small) & np.isclose(fitted.flops, budget)].groupby("mixture")[shares + losses].mean()

figure, axes = plt.subplots(1, len(sources), figsize=(11, 2.4), sharey=True)
for name, panel in zip(sources, axes, strict=True):
    change = 100 * np.log(swarm[f"loss_{name}"] / swarm[f"loss_{name}"].mean())
    panel.plot(100 * swarm[f"mix_{name}"], change, "o", ms=4, color=BLUE, alpha=0.8)
    panel.set_title(name, fontsize=10)
    panel.set_xlabel("its share, %")
axes[0].set_ylabel("loss, % from the mean")
plt.show()

# %% [markdown]
# The points scatter about a curve, as it counts too what the rest consists of. Correlations of the ranks of shares
# (columns) and losses (rows):

# %%
ranks = swarm.rank().corr().loc[losses, shares]
ranks.rename(columns=lambda name: name.removeprefix("mix_")).round(2)

# %% [markdown]
# ## Level and contrast
#
# A mixture has two kinds of numbers. Its losses fall with size and length; what it adds to the loss of another mixture
# stays much the same. Here are the mixtures that were trained at two sizes. Each point is a mixture on a domain, told
# against the mean of the mixtures at its own size, so that the level is gone:

# %%
both = fitted[fitted.mixture.isin(fitted[(fitted.params == larger)].mixture)]
first = both[(both.params == small) & np.isclose(both.flops, budget)].groupby("mixture")[losses].mean().map(np.log)
second = both[both.params == larger].groupby("mixture")[losses].mean().map(np.log)
first, second = 100 * (first - first.mean()), 100 * (second - second.mean())
slope = (first * second).to_numpy().sum() / (first**2).to_numpy().sum()

figure, axes = plt.subplots(figsize=(5, 4))
for name in sources:
    axes.plot(first[f"loss_{name}"], second[f"loss_{name}"], "o", ms=4, alpha=0.8, label=name)
ends = np.array([first.min().min(), first.max().max()])
axes.plot(ends, ends, color=GREY, lw=1, label="no change")
axes.plot(ends, slope * ends, color=GREY, lw=1, ls="--", label=f"{slope:.2f} times")
axes.set_xlabel(f"contrast at {small / 1e3:.0f} thousand parameters, %")
axes.set_ylabel(f"at {larger / 1e3:.0f} thousand, %")
axes.legend(fontsize=8)
plt.show()

# %% [markdown]
# The order hardly changes, but at five times the compute the differences are larger. So mixtures should be tried at two
# sizes: one alone cannot say by how much the contrast grows.
#
# ## Laws, and what each missed
#
# Five laws of mixtures are fitted to these runs. Each is tested on mixtures and on larger runs that it was not fitted
# to, and weighs the more, the less it missed:

# %%
laws = sl.fit_mixture(runs)
print(laws)

# %%
sl.plot("mixture-laws", study)

# %% [markdown]
# ## The choice
#
# The target has eight times the compute of the largest run. Its objective is the mean of the losses on code and on its
# documentation. Rows of the role `target` are no part of the choice.

# %%
aim = targets.iloc[0]
target = {name: float(aim[name]) for name in ("params", "tokens", "flops")}
target["seeds"] = targets.seed.nunique()
objective = {"code": 0.5, "docs": 0.5}
choice = sl.choose_mixture(runs, **target, objective=objective)
print(choice)

# %% [markdown]
# The sweep froze the same choice before it trained any target:

# %%
score = sl.score_mixture(study / "choice.json", runs)
frozen = pd.read_json(study / "choice.json", typ="series")
pd.DataFrame({"frozen": frozen.shares, "made again": dict(choice.shares)}).map("{:.1%}".format)

# %% [markdown]
# Each line below is a mixture that was tried. The bars hold the mixtures that cannot be told from the chosen one:
# nobody should take the shares to a percent.

# %%
sl.plot("mixtures", study)

# %% [markdown]
# Law and scripture are worth nothing to the objective, and still have shares, with narrow ranges. This is where the
# tried mixtures end: no run had so much code and so many manuals with less of them. Beyond them the laws are not asked.
# Who wants less of them has to try less of them: `mixtures: {count: 22, names: {both: {code: 50%, docs: 50%}}}`.
#
# ## Forecasts, and what came
#
# The target was trained on the chosen, the proportional and the uniform mixture after the choice was frozen. The
# forecasts with their 90 % intervals, and what the runs came to:

# %%
sl.plot("mixture-losses", study)

# %%
print(score)

# %% [markdown]
# What the forecasts of one domain miss for all mixtures alike is the level's, and cancels when mixtures are compared.
# What is left is the contrast's:

# %%
found = score.to_frame()
order = list(score.candidates)
error = found[found.domain != "objective"].pivot_table(index="candidate", columns="domain", values="error").loc[order]
pd.concat({"of the loss": error, "of the contrast": error - error.mean()}).map("{:+.2%}".format)

# %% [markdown]
# Could that have been known before any target was trained? The cheaper runs forecast the dearer ones, also on mixtures
# that were left out:

# %%
print(sl.backtest_mixtures(fitted, law="auto"))

# %% [markdown]
# ## Code runs out
#
# In these runs no source was seen twice. What if there were only 300 thousand tokens of code? The chosen mixture would
# go through them four times and more, and repeated text is worth less. No run here shows how much less, so the law of
# repeated text is that of Muennighoff et al. (2305.16264):

# %%
scarce = sl.choose_mixture(runs, **target, objective=objective, unique={"code": 300e3})
lengths = pd.DataFrame(
    [
        {"tokens": each.tokens, **each.shares, "epochs of code": each.epochs["code"], "cost": each.cost}
        for each in scarce.scarce.lengths
    ]
).set_index("tokens")
styled = lengths.assign(**{name: lengths[name].map("{:.0%}".format) for name in sources})
styled.assign(cost=lengths.cost.map("{:.1%}".format)).round(2).rename(index="{:.2e}".format)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2))
left.stackplot(lengths.index, 100 * lengths[sources].T, labels=sources, alpha=0.8)
left.set_xscale("log")
left.set_xlabel("training tokens")
left.set_ylabel("share, %")
left.legend(loc="center left", bbox_to_anchor=(1, 0.5))
right.plot(lengths.index, lengths["epochs of code"], "o-", color=BLUE)
right.axhline(scarce.limits["code"], color=GREY, lw=1)
right.annotate("limit", (lengths.index[0], scarce.limits["code"]), (0, -12), textcoords="offset points", color="0.4")
right.set_xscale("log")
right.set_ylim(0)
right.set_xlabel("training tokens")
right.set_ylabel("epochs of code")
figure.tight_layout()
plt.show()

# %% [markdown]
# The longer the training, the more often code is repeated, up to the limit, and the smaller its share: its
# documentation takes most of its place. `cost` is by what the objective is above that of code without end.
#
# ## A table from elsewhere
#
# Any table will do that has parameters, tokens, shares and losses. Here is one as another lab might have it, made by a
# law that we know, so that the best mixture is known too:

# %%
random = np.random.default_rng(7)
names = ["web", "books", "code"]
use = np.array([[6.0, 1.5, 0.5], [1.5, 5.0, 0.2], [0.4, 0.3, 6.0]])  # of each source (columns) on each domain (rows)
power = np.array([0.5, 0.4, 0.6])


def true_losses(mixtures: np.ndarray, size: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Loss on each domain by an additive law (2507.09404)."""
    level = 1.5 + 0.6 * (size / 1e8) ** -0.3 + 0.6 * (length / 2e9) ** -0.3
    return level[:, None] + 2 / (use * mixtures[:, None] ** power).sum(axis=-1)


tried = random.dirichlet([1.2, 1.2, 1.2], 20)
mixtures = np.concatenate([tried, tried[:10]])
size, length = (np.repeat(pair, [20, 10]) for pair in ((1e8, 3e8), (2e9, 6e9)))
measured = true_losses(mixtures, size, length) * np.exp(0.004 * random.normal(size=(30, 3)))
theirs = pd.DataFrame({"n_params": size, "tokens_seen": length})
theirs[[f"weight_{name}" for name in names]] = 100 * mixtures
theirs[[f"{name}_loss" for name in names]] = measured
theirs.head(3).round(2)

# %%
there = {"params": 3e9, "tokens": 60e9}
told = sl.choose_mixture(
    theirs,
    **there,
    objective={"web": 0.4, "code": 0.6},
    mix="weight_*",
    losses="*_loss",
    columns={"params": "n_params"},
)
print(told)

# %% [markdown]
# Beside the truth, over all mixtures of three sources:

# %%
grid = np.array([[i, j, 60 - i - j] for i in range(61) for j in range(61 - i)]) / 60
truth = true_losses(grid, *(np.full(len(grid), there[name]) for name in ("params", "tokens"))) @ [0.4, 0.0, 0.6]
best = grid[truth.argmin()]
chosen = np.array([told.shares[name] for name in names])


def place(mixtures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where mixtures lie in a triangle with web at the left, books at the right and code at the top."""
    return mixtures[..., 1] + mixtures[..., 2] / 2, mixtures[..., 2] * np.sqrt(3) / 2


figure, axes = plt.subplots(figsize=(5.5, 4.2))
levels = [0, 0.25, 0.5, 1, 2, 4, 8, 16, 100]
norm = plt.matplotlib.colors.BoundaryNorm(levels, 256)
drawn = axes.tricontourf(*place(grid), 100 * (truth / truth.min() - 1), levels=levels, cmap="Blues", norm=norm)
figure.colorbar(drawn, label="above the best, %", shrink=0.8, ticks=levels[:-1])
axes.plot(*place(tried), ".", color="0.3", label="tried")
axes.plot(*place(best), "*", ms=14, color=ORANGE, label="truly best")
axes.plot(*place(chosen), "o", ms=8, mfc="none", mew=2, color=ORANGE, label="chosen")
for name, corner in zip(names, np.eye(3), strict=True):
    axes.annotate(name, place(corner), ha="center", va="bottom" if name == "code" else "top")
axes.axis("off")
axes.set_aspect("equal")
axes.legend(loc="upper left", fontsize=8)
plt.show()

# %%
at = {name: np.array([value]) for name, value in zip(("size", "length"), there.values(), strict=True)}
lost = (true_losses(chosen[None], **at) @ [0.4, 0.0, 0.6])[0] / truth.min() - 1
print(f"chosen {dict(zip(names, chosen.round(2).tolist(), strict=True))}, truly best {best.round(2).tolist()}")
print(f"apart by {abs(chosen - best).sum() / 2:.1%} of the text, which costs {lost:.3%} of the objective")

# %% [markdown]
# The target has a hundred times the compute of these runs, so its losses are known to some ten percent only. The choice
# does not suffer from that, as all mixtures share the level.
#
# [How to](../docs/how-to/mixture.md) has the command line, the method and its limits, and
# [benchmarks/mixtures.md](../benchmarks/mixtures.md) more of what such choices came to.
