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
# the larger one. This notebook goes through such a table of runs step by step: the one kept in
# `benchmarks/quickstart`, or your own.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import scaling as sl
from analysis.allocation.isoflop import isoflop
from analysis.forecasting.forecast import read_forecast
from analysis.plots import isoflop_parabolas, loss_vs_flops, loss_vs_tokens, residuals
from analysis.runs.arrays import RunArrays

root = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "pyproject.toml").exists())
sweep = root / "benchmarks" / "quickstart" / "sotu"  # or your own: root / "runs" / "quickstart"
table = sl.read_runs(sweep)
print(f"{len(table.fit)} fitted runs and {len(table.targets)} of the target, from {sweep.relative_to(root)}")

# %% [markdown]
# ## The runs
#
# One row per run. Each budget (FLOPs) has several sizes, and each cell several seeds. `loss` is nats per byte on
# held-out speeches, the same for every run.

# %%
cells = table.fit.assign(budget=table.fit.flops.map("{:.1e}".format))
cells.pivot_table(index="budget", columns="params", values="loss").round(3)

# %%
curves = pd.read_parquet(sweep / "curves.parquet")
figure, axes = plt.subplots(figsize=(7, 4))
loss_vs_tokens(table, None, curves, axes)
plt.show()

# %% [markdown]
# ## Which size is best for a budget?
#
# At each budget the loss has a minimum over size: too small a model cannot use the tokens, too large a model sees
# too few of them.

# %%
figure, axes = plt.subplots(figsize=(7, 4))
isoflop_parabolas(isoflop(RunArrays.of(table.fit)), axes)
plt.show()

# %% [markdown]
# ## One law
#
# Chinchilla's form, $L = E + A/N^\alpha + B/D^\beta$, by its own objective: the Huber loss of the log residuals, from
# many starts. The standard errors come from resampling whole runs. `E`, the loss of an infinite model on infinite
# text, is hardly determined by runs this small.

# %%
law = sl.fit(table, law="chinchilla")
pd.DataFrame({"value": law.params, "standard error": law.stderr}).round(3)

# %% [markdown]
# ## The forecast, made again
#
# The frozen forecast used the runs above and nothing else, so it can be made again. Its interval covers the noise
# between seeds, the choice of law, and the distance to the target. On another kind of processor the fit of a law with
# several optima (`broken`) may end in another of them, which moves the forecast in its last digits.

# %%
frozen = read_forecast(sweep / "forecast.json")
again = sl.forecast(table, params=frozen.params, tokens=frozen.tokens, flops=frozen.flops, seeds=frozen.target_seeds)
assert again.table_hash == frozen.table_hash
low, high = frozen.interval
print(f"frozen {frozen.loss:.4f}, made again {again.loss:.4f}: {again.loss / frozen.loss - 1:+.2%}")
print(f"{frozen.extrapolation:.1f} times the FLOPs of the largest fitted run")
print(f"forecast {frozen.loss:.4f}, {frozen.level:.0%} interval {low:.4f} to {high:.4f}, weights {frozen.weights}")

# %%
figure, axes = plt.subplots(figsize=(7, 4))
residuals(table, frozen, axes)
plt.show()

# %% [markdown]
# ## What happened
#
# The target was trained after the forecast was frozen. Two naive forecasts stand beside it: that nothing improves
# over the largest fitted run, and a straight line through the frontier on logarithmic axes.

# %%
result = sl.score(frozen, table)
print(
    f"actual {result.actual:.4f}, error {result.error:+.2%}, {'inside' if result.covered else 'outside'} the interval"
)
for name, naive in result.baselines.items():
    print(f"{name}: {naive.predicted:.4f}, error {naive.error:+.2%}")

# %%
figure, axes = plt.subplots(figsize=(7, 4))
loss_vs_flops(table, frozen, result, axes)
plt.show()
