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
# # Designing the next runs
#
# Small runs cost little, but which of them sharpen the forecast of the large run most? This notebook takes the
# low-compute runs of a finished sweep as if nothing more had been trained, chooses the next runs, takes these from the
# rest of the sweep, and checks whether the forecast became better.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import scaling as sl

sweep = "../benchmarks/quickstart/sotu"
everything = sl.read_runs(sweep)
target, actual = everything.targets.iloc[0], everything.targets.loss.mean()
at = {"params": target.params, "tokens": target.tokens, "flops": target.flops, "seeds": len(everything.targets)}
print(f"{len(everything.fit)} runs, {everything.fit.flops.sum():.3g} FLOPs; the target takes {target.flops:.3g}")

# %% [markdown]
# ## The finished runs: the lower half of the budgets

# %%
finished = sl.read_runs(sweep, where="flops < 8e10")
now = sl.forecast(finished, **at)


def row_of(made, name: str) -> dict[str, str]:
    low, high = made.interval
    return {
        "runs": name,
        "forecast": f"{made.loss:.4f}",
        "half-width": f"{(high - low) / 2 / made.loss:.1%}",
        "error": f"{made.loss / actual - 1:+.2%}",
        "times beyond": f"{made.extrapolation:.3g}",
    }


pd.DataFrame([row_of(now, "low-compute")]).set_index("runs")

# %% [markdown]
# ## Which runs next?
#
# Available is what this sweep trained at its larger budgets. `select_runs` takes several laws to be possible, and
# chooses the runs that lower the variance of the target's forecast most per FLOP (c-optimal: for the one number that
# counts).

# %%
aim = {"target_params": target.params, "target_tokens": target.tokens}
selected = sl.select_runs(finished, among=everything, target_flops=target.flops, spend=1e12, **aim)
print(selected)

# %%
cells = selected.to_frame()
figure, axes = plt.subplots(figsize=(7, 4))
axes.loglog(everything.fit.tokens, everything.fit.params, ".", color="0.8", label="available")
axes.loglog(finished.fit.tokens, finished.fit.params, ".", color="0.4", label="finished")
axes.scatter(cells.tokens, cells.params, s=25 * cells.seeds, c="#d55e00", label="chosen (area: seeds)")
axes.plot(target.tokens, target.params, "*", ms=12, color="k", label="target")
axes.set_xlabel("training tokens")
axes.set_ylabel("parameters")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Did it help?

# %%
after, whole = sl.forecast(selected.table, **at), sl.forecast(everything, **at)
names = ("low-compute", "and chosen", f"all, {everything.fit.flops.sum():.2g} FLOPs")
pd.DataFrame([row_of(made, name) for made, name in zip((now, after, whole), names, strict=True)]).set_index("runs")

# %% [markdown]
# One sweep proves nothing about a method: [benchmarks/design.md](../benchmarks/design.md) has the comparison with
# random and evenly spread choices over six published tables, including where it loses.
#
# ## What could be expected before?
#
# The half-width of a forecast simulated with the law and the noise of the low-compute runs, before any of the chosen
# runs is trained.

# %%
for name, expected in (("low-compute", selected.chosen.before), ("and chosen", selected.chosen.after)):
    print(f"{name}: expected half-width {expected.half_width:.1%} (90 %)")

# %% [markdown]
# ## Runs that nobody has trained yet
#
# `design` is free to choose any size of a family, and writes the sweep file that `scaling run` trains.

# %%
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder, "next.yaml")
    sl.design(finished, spend=1e12, like=f"{sweep}/sweep.yaml", output=file, **aim)
    print(file.read_text())

# %% [markdown]
# ## How many seeds at which budget?
#
# The plan of the whole sweep, given the noise between the seeds of its finished runs.

# %%
planned = sl.plan(f"{sweep}/sweep.yaml", noise=sweep, calibrate=False).to_dict()
print(f"expected half-width {planned['expected']['half_width']:.1%} (90 %)")
pd.DataFrame(planned["seeds"]).map("{:.3g}".format)

# %% [markdown]
# ## What cannot identify a law is refused

# %%
try:
    sl.select_runs(finished, among=everything, target_flops=target.flops, spend=2e11, **aim)
except sl.InputError as error:
    print(error)
