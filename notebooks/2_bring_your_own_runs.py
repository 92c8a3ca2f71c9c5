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
import os
import tempfile

import pandas as pd

import scaling as sl

ours = pd.read_parquet("../benchmarks/quickstart/python/runs.parquet")
os.chdir(tempfile.mkdtemp())  # for the files that this notebook writes
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
theirs.to_csv("runs.csv", index=False)
theirs.head(3)

# %% [markdown]
# ## Columns by their names
#
# Only parameters, tokens and loss are required. Common names are recognised (`D` is); name the others. On the command
# line this is `scaling fit runs.csv --columns params=n_model,loss=val/loss --where "stage == 'ladder'"`.

# %%
columns = {"params": "n_model", "loss": "val/loss"}
ladder = sl.read_runs("runs.csv", columns=columns, where="stage == 'ladder'")
ladder.fit[["params", "tokens", "loss", "seed"]].describe().loc[["count", "min", "max"]]

# %% [markdown]
# FLOPs were not in the file, so $6ND$ stands in. Our own count has every matmul, and at these sizes attention and the
# output head are a large part of it. Exponents depend on such conventions, and a fit says which it used.

# %%
print(ladder.convention)
print((ours.flops / ours.flops_6nd).describe()[["min", "max"]].round(2).to_dict())

# %% [markdown]
# ## Errors are reported, one line each

# %%
damaged = theirs.astype(object)
damaged.loc[3, "val/loss"] = "NaN?"
damaged.loc[7, "D"] = -1
damaged.to_csv("damaged.csv", index=False)
try:
    sl.read_runs("damaged.csv", columns=columns)
except sl.InputError as error:
    print(error)

# %% [markdown]
# ## A law, with warnings in plain words
#
# What a table cannot determine is stated, not printed as digits.

# %%
law = sl.fit(ladder, law="chinchilla")
for warning in law.diagnostics:
    print(f"[{warning.code}] {warning.message}")
pd.DataFrame({"value": law.params, "standard error": law.stderr}).round(3)

# %% [markdown]
# ## Which law has a record on these runs?
#
# Before believing a forecast, make some whose answer is known: fit the low-compute runs, and forecast the high-compute
# runs.

# %%
record = pd.concat([sl.backtest(ladder, law=law).to_frame() for law in ("chinchilla", "skaling", "compute", "auto")])
record.pivot_table(index=["extrapolation", "n_train"], columns="law", values="signed").map("{:+.2%}".format)

# %% [markdown]
# ## The forecast

# %%
final = theirs[theirs.stage == "final"]
params, tokens = float(final.n_model.iloc[0]), float(final.D.iloc[0])
forecast = sl.forecast(ladder, params=params, tokens=tokens, seeds=len(final))
print(forecast)

# %% [markdown]
# ## The actual loss
#
# The whole table has the target's runs as well. They are recognised by their parameters and tokens.

# %%
everything = sl.read_runs("runs.csv", columns=columns)
print(sl.score(forecast, everything))

# %%
sl.plot("flops", everything, forecast=forecast)

# %% [markdown]
# ## Does anything in the runs contradict the laws?
#
# Scatter is noise between seeds. A pattern along the axis would mean a law of the wrong form.

# %%
sl.plot("residuals", ladder, forecast=forecast)

# %% [markdown]
# ## Runs in memory
#
# A table may also be a DataFrame.

# %%
frame = theirs.rename(columns={"n_model": "params", "D": "tokens", "val/loss": "loss"})
print(len(sl.read_runs(frame[["params", "tokens", "loss"]]).fit), "rows")
