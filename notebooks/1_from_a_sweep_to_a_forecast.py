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
# # From a sweep to a forecast
#
# `make demo` trains small Llamas on English text, forecasts a larger one, freezes the forecast, and only then trains
# the larger one. This notebook walks through such a table of runs step by step: the one kept in
# `benchmarks/quickstart`, or your own.

# %%
import pandas as pd

import scaling as sl

sweep = "../benchmarks/quickstart/sotu"  # or your own: "../runs/quickstart"
runs = sl.read_runs(sweep)
print(f"{len(runs.fit)} fitted runs and {len(runs.targets)} of the target")

# %% [markdown]
# ## The runs
#
# One row per run. Each budget (FLOPs) has several sizes, and each cell several seeds. `loss` is nats per byte on
# held-out speeches, the same for every run.

# %%
cells = runs.fit.assign(budget=[float(f"{flops:.1e}") for flops in runs.fit.flops])
cells.pivot_table(index="budget", columns="params", values="loss").round(3)

# %%
sl.plot("tokens", sweep)

# %% [markdown]
# ## Which size is best for a budget?
#
# At each budget the loss has a minimum over size: a model that is too small cannot use the tokens, and one that is too
# large sees too few of them.

# %%
sl.plot("isoflop", sweep)

# %%
print(sl.isoflop(runs))

# %% [markdown]
# ## One law
#
# Chinchilla's form, $L = E + A/N^\alpha + B/D^\beta$, by its own objective: the Huber loss of the log residuals, from
# many starts. The standard errors come from resampling whole runs. `E`, the loss of an infinite model on infinite
# text, is hardly determined by runs this small.

# %%
law = sl.fit(runs, law="chinchilla")
pd.DataFrame({"value": law.params, "standard error": law.stderr}).round(3)

# %% [markdown]
# ## The forecast, made again
#
# The frozen forecast used the runs above and nothing else, so it can be made again. Its interval covers the noise
# between seeds, the choice of law, and the distance to the target.

# %%
target = runs.targets.iloc[0]
forecast = sl.forecast(runs, params=target.params, tokens=target.tokens, flops=target.flops, seeds=len(runs.targets))
print(forecast)

# %% [markdown]
# On another kind of processor the fit of a law with several optima (`broken`) may end in another of them, which moves
# the forecast in its last digits.

# %%
score = sl.score(f"{sweep}/forecast.json", runs)  # refused unless the forecast was made from these rows
print(f"frozen {score.predicted:.4f}, made again {forecast.loss:.4f}: {forecast.loss / score.predicted - 1:+.2%}")

# %% [markdown]
# ## Does anything in the runs contradict the laws?
#
# Scatter is noise between seeds. A pattern along the axis would mean a law of the wrong form.

# %%
sl.plot("residuals", sweep)

# %% [markdown]
# ## What happened
#
# The target was trained after the forecast was frozen. Two naive forecasts stand beside it: that nothing improves
# over the largest fitted run, and a straight line through the frontier on logarithmic axes.

# %%
print(score)

# %%
sl.plot("flops", sweep)
