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
# such a CSV from a sweep of ours on Python code (`benchmarks/quickstart/python`), with the column names, the extra
# rows and the errors that such files have, and goes from there to a forecast.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import scaling as sl
from analysis.plots import loss_vs_flops, residuals

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
# Only parameters, tokens and loss are required. Common names are recognised (`D` is); name the others. On the command
# line this is `scaling fit runs.csv --columns params=n_model,loss=val/loss --where "stage == 'ladder'"`.

# %%
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder, "runs.csv")
    theirs.to_csv(file, index=False)
    table = sl.read_runs(file, columns={"params": "n_model", "loss": "val/loss"}, where="stage == 'ladder'")
table.fit[["params", "tokens", "loss", "seed"]].describe().loc[["count", "min", "max"]]

# %% [markdown]
# FLOPs were not in the file, so $6ND$ stands in. Our own count has every matmul, and at these sizes attention and the
# output head are a large part of it. Exponents depend on such conventions, and a fit says which it used.

# %%
print(table.convention)
print((ours.flops / ours.flops_6nd).describe()[["min", "max"]].round(2).to_dict())

# %% [markdown]
# ## Errors are reported, one line each

# %%
damaged = theirs.astype(object)
damaged.loc[3, "val/loss"] = "NaN?"
damaged.loc[7, "D"] = -1
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder, "damaged.csv")
    damaged.to_csv(file, index=False)
    try:
        sl.read_runs(file, columns={"params": "n_model", "loss": "val/loss"})
    except sl.InputError as error:
        print("\n".join(line.replace(folder, "").lstrip("/") for line in error.errors))

# %% [markdown]
# ## A law, with warnings in plain words
#
# What a table cannot determine is stated, not printed as digits.

# %%
law = sl.fit(table, law="chinchilla")
for warning in law.diagnostics:
    print(f"[{warning.code}] {warning.message}")
pd.DataFrame({"value": law.params, "standard error": law.stderr}).round(3)

# %% [markdown]
# ## Which law has a record on these runs?
#
# Before believing a forecast, make some whose answer is known: fit the low-compute runs, and forecast the high-compute
# runs.

# %%
record = pd.concat([sl.backtest(table, law=law).to_frame() for law in ("chinchilla", "skaling", "compute", "auto")])
record.pivot_table(index=["extrapolation", "n_train"], columns="law", values="signed").map("{:+.2%}".format)

# %% [markdown]
# ## The forecast, and the actual loss

# %%
target = ours[ours.role == "target"]
made = sl.forecast(table, params=float(target.params.iloc[0]), tokens=float(target.tokens.iloc[0]), seeds=len(target))
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
# Scatter is noise between seeds. A pattern along the axis would mean a law of the wrong form.

# %%
figure, axes = plt.subplots(figsize=(7, 4))
residuals(table, made, axes)
plt.show()

# %% [markdown]
# ## Runs in memory
#
# A table may also be a DataFrame.

# %%
frame = theirs.rename(columns={"n_model": "params", "D": "tokens", "val/loss": "loss"})
print(len(sl.read_runs(frame[["params", "tokens", "loss"]]).fit), "rows")
