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
# # Chinchilla, over-training, inference: reading Llama 1, 2 and 3
#
# What did Meta buy with each Llama's training compute? `sl.models` has the published shapes, tokens and hours; the law
# is Chinchilla's form with the constants of Epoch's re-analysis (2404.10102). Its losses are those of Chinchilla's data
# and tokenizer, not of the Llamas': read ratios, not losses.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import scaling as sl

PAPER = "published:chinchilla-epoch"
models = sl.models().to_frame()
llamas = models.loc[~models.distilled, ["params", "tokens", "gpu_hours"]]
llamas["flops"] = 6 * llamas.params * llamas.tokens  # as the paper counts them
llamas["tokens per parameter"] = llamas.tokens / llamas.params
llamas.map("{:.3g}".format)

# %% [markdown]
# ## Chinchilla's split
#
# For a training budget $C$, how many parameters $N^*$ and tokens $D^*$ give the least loss?

# %%
budgets = np.geomspace(1e22, 1e26, 5)
best = [sl.allocate(PAPER, flops=budget) for budget in budgets]
split = pd.DataFrame({"N*": [b.params for b in best], "D*": [b.tokens for b in best]}, index=budgets)
split["D*/N*"] = split["D*"] / split["N*"]
split.map("{:.3g}".format)

# %%
figure, axes = plt.subplots(figsize=(7, 4.2))
axes.loglog(split["N*"], split["D*"], color="0.4", label="compute-optimal (2404.10102)")
for generation, marker in (("llama1", "o"), ("llama2", "s"), ("llama3", "^")):
    rows = llamas[llamas.index.str.startswith(generation)]
    axes.plot(rows.params, rows.tokens, marker, ms=7, label=f"{generation[:-1].title()} {generation[-1]}")
axes.set_xlabel("parameters")
axes.set_ylabel("training tokens")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# Llama 1's largest model lies near the line, its smaller ones above it. Every later generation moves up: more
# tokens for the same size. Llama 3 405B is back near the line; it was made to be the best model, not the cheapest
# to serve.
#
# ## What over-training costs, and what it saves
#
# Beside each Llama stands the compute-optimal model of the same loss by this law: how much less training it would
# have taken, and after how many served tokens the smaller model has paid for itself (each served token costs $2N$
# FLOPs, a third of a trained one).


# %%
def beside(params: float, tokens: float) -> dict[str, float]:
    optimum = sl.allocate(PAPER, params=params, tokens=tokens).optimum
    assert optimum is not None
    return {
        "optimal params": optimum.params,
        "training / optimal": optimum.training_ratio,
        "inference saved": optimum.inference_saving,
        "breaks even after": optimum.break_even_tokens or float("nan"),
    }


ratios = pd.DataFrame({name: beside(row.params, row.tokens) for name, row in llamas.iterrows()}).T
ratios.map("{:.3g}".format)

# %% [markdown]
# Llama 3 8B took several times the training compute of the optimal model of its loss, and each token it serves
# costs about a quarter. This is far from the runs behind the law: none had nearly 1,900 tokens per parameter, and
# `scaling allocate` warns of that (`far-extrapolation`).
#
# ## With the serving counted in
#
# If the tokens that a model will serve are counted in, the best split shifts to smaller models on more tokens
# (2401.00448). Here for the loss that Llama 2 70B's compute reaches.

# %%
budget = float(llamas.flops["llama2-70b"])
demands = [0.0, 1e11, 1e12, 1e13, 1e14]
served = [sl.allocate(PAPER, flops=budget, inference_tokens=demand) for demand in demands]
table = pd.DataFrame(
    {
        "params": [s.params for s in served],
        "tokens": [s.tokens for s in served],
        "tokens per parameter": [s.tokens_per_param for s in served],
        "training FLOPs": [s.flops for s in served],
        "all FLOPs": [s.total_flops for s in served],
    },
    index=pd.Index(demands, name="tokens to serve"),
)
table.map("{:.3g}".format)

# %%
figure, axes = plt.subplots(figsize=(7, 4))
axes.semilogx(demands[1:], table["tokens per parameter"].iloc[1:], "o-", color="#0072b2")
axes.axhline(table["tokens per parameter"].iloc[0], color="0.6", ls="--", label="nothing to serve")
axes.set_xlabel("tokens to serve over the model's life")
axes.set_ylabel("best tokens per parameter")
axes.set_yscale("log")
axes.set_yticks([20, 50, 100, 200, 500], ["20", "50", "100", "200", "500"])
axes.minorticks_off()
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# ## How sure is any of this?
#
# The constants come from 240 runs, and another reading of them gives another answer. The same question to the
# original paper's constants and to their correction:

# %%
rows = {}
for name in ("chinchilla-epoch", "chinchilla-hoffmann", "chinchilla-sardana"):
    made = sl.allocate(f"published:{name}", flops=budget)
    rows[name] = {
        "N*": made.params,
        "D*": made.tokens,
        "D*/N*": made.tokens_per_param,
        "N* from": made.near_optimal["params"][0],
        "N* to": made.near_optimal["params"][1],
    }
pd.DataFrame(rows).T.map("{:.3g}".format)

# %% [markdown]
# The last two columns hold sizes that lose at most 0.25 % more for the same FLOPs: the optimum is flat, and a
# smaller model within it is nearly free.
