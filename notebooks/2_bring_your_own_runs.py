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
# # Bring your own runs
#
# Any table of runs will do: a CSV that another framework logged, a Parquet file, JSON lines. This notebook makes
# such a CSV of a sweep of ours on Python code (`benchmarks/quickstart/python`), with the column names, the extra
# rows and the faults that such files have, and goes from there to a forecast.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from analysis.errors import InputError
from analysis.fitting.fit import fit
from analysis.forecasting.backtest import backtest
from analysis.forecasting.forecast import forecast
from analysis.plots import loss_vs_flops, residuals
from analysis.runs.table import RunTable, read_table

root = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "pyproject.toml").exists())
ours = pd.read_parquet(root / "benchmarks" / "quickstart" / "python" / "runs.parquet")
theirs = pd.DataFrame(
    {
        "experiment": ours.run_id,
        "n_model": ours.params,
        "D": ours.tokens,
        "seed": ours.seed,
        "val/loss": ours.loss,
        "stage": ours.role.map({"fit": "ladder", "target": "final"}),
    }
)
theirs.head(3)

# %% [markdown]
# ## Columns by their names
#
# Only parameters, tokens and loss are needed. Common names are understood (`D` is); others are told. On the command
# line this is `scaling fit runs.csv --columns params=n_model,loss=val/loss --where "stage == 'ladder'"`.

# %%
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder, "runs.csv")
    theirs.to_csv(file, index=False)
    table = read_table(file, {"params": "n_model", "loss": "val/loss"}, "stage == 'ladder'")
table.fit[["params", "tokens", "loss", "seed"]].describe().loc[["count", "min", "max"]]

# %% [markdown]
# FLOPs were not in the file, so they are taken to be $6ND$. Ours counted every matmul, and at these sizes attention
# and the output head are a good part of it: exponents depend on such conventions, and a fit says which it used.

# %%
print(table.convention)
print((ours.flops / ours.flops_6nd).describe()[["min", "max"]].round(2).to_dict())

# %% [markdown]
# ## What is wrong is told, a line each

# %%
spoilt = theirs.astype(object)
spoilt.loc[3, "val/loss"] = "NaN?"
spoilt.loc[7, "D"] = -1
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder, "spoilt.csv")
    spoilt.to_csv(file, index=False)
    try:
        read_table(file, {"params": "n_model", "loss": "val/loss"})
    except InputError as error:
        print("\n".join(fault.replace(folder, "").lstrip("/") for fault in error.errors))

# %% [markdown]
# ## A law, with warnings in plain words
#
# What a table cannot tell is said rather than printed as digits.

# %%
law = fit(table, "chinchilla")
for warning in law.warnings:
    print(f"[{warning.code}] {warning.message}")
pd.DataFrame({"value": law.params, "standard error": law.stderr}).round(3)

# %% [markdown]
# ## Which law has a record on these runs?
#
# Before believing a forecast, make some whose answer is known: fit the cheaper runs, forecast the dearer.

# %%
record = backtest(table, ("chinchilla", "skaling", "compute", "auto"), bootstrap=100)
errors = {
    f"{split.extrapolation:.2g} times beyond, {split.n_train} runs": {
        name: f"{score.signed:+.2%}" for name, score in split.laws.items()
    }
    for split in record.splits
}
pd.DataFrame(errors).T

# %% [markdown]
# ## The forecast, and what came of it

# %%
target = ours[ours.role == "target"]
made = forecast(table, float(target.params.iloc[0]), float(target.tokens.iloc[0]), target_seeds=len(target))
low, high = made.interval
print(f"{made.extrapolation:.3g} times the FLOPs of the largest run")
print(f"forecast {made.loss:.4f}, {made.level:.0%} interval {low:.4f} to {high:.4f}")
print(f"actual   {target.loss.mean():.4f}, error {made.loss / target.loss.mean() - 1:+.2%}")

# %%
figure, axes = plt.subplots(figsize=(7, 4))
loss_vs_flops(table, made, None, axes)
axes.plot(target.flops_6nd, target.loss, "k*", ms=9)
plt.show()

# %% [markdown]
# ## Does anything in the runs contradict the laws?
#
# Scatter is noise between seeds; a pattern along the axis would be a law of the wrong form.

# %%
figure, axes = plt.subplots(figsize=(7, 4))
residuals(table, made, axes)
plt.show()

# %% [markdown]
# ## Runs in memory
#
# A table need not be a file.

# %%
frame = theirs.rename(columns={"n_model": "params", "D": "tokens", "val/loss": "loss"})
print(len(RunTable.from_frame(frame[["params", "tokens", "loss"]], "memory").fit), "rows")
