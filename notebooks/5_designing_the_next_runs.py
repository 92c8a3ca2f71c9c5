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
# Small runs cost little, but which ones tell most about the large one? This notebook takes the cheap part of a
# finished sweep as if nothing more had been trained, asks what to buy next, buys it (from what the sweep did
# train), and looks whether the forecast became better.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from analysis.design.design import design
from analysis.design.seeds import PlannedCell, plan_seeds
from analysis.design.selection import cells_of
from analysis.design.simulate import simulate_forecast
from analysis.errors import InputError
from analysis.forecasting.forecast import forecast
from analysis.runs.table import RunTable, read_table

root = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "pyproject.toml").exists())
table = read_table(root / "benchmarks" / "quickstart" / "sotu")
runs, actual = table.fit, table.targets.loss.mean()
target = PlannedCell(*(float(table.targets[name].iloc[0]) for name in ("params", "tokens", "flops")), seeds=2)
print(f"{len(runs)} runs, {runs.flops.sum():.3g} FLOPs; the target takes {target.flops:.3g}")

# %% [markdown]
# ## What is there: the cheap half of the budgets

# %%
cheap = RunTable.from_frame(runs[runs.flops < 8e10], "the cheap runs")
now = forecast(cheap, target.params, target.tokens, target.flops, target_seeds=2)


def told(made, name: str) -> dict[str, str]:
    low, high = made.interval
    return {
        "runs": name,
        "forecast": f"{made.loss:.4f}",
        "half-width": f"{(high - low) / 2 / made.loss:.1%}",
        "error": f"{made.loss / actual - 1:+.2%}",
        "times beyond": f"{made.extrapolation:.3g}",
    }


pd.DataFrame([told(now, "cheap")]).set_index("runs")

# %% [markdown]
# ## What to buy?
#
# On offer is what this sweep trained at its dearer budgets. `design` holds several laws to be possible, and takes
# the runs that lower the variance of the target's forecast most per FLOP (c-optimal: for the one number that
# counts).

# %%
offered = [cell for cell in cells_of(table.arrays) if cell.flops >= 8e10]


def offer(flops: float, fewest: float, most: float) -> list[PlannedCell]:
    """Runs of about so many FLOPs; sizes between the two, in parameters."""
    near = [cell for cell in offered if abs(np.log(cell.flops / flops)) < 0.3]
    return [cell for cell in near if fewest <= cell.params <= most]


spend = 1e12
chosen = design(offer, target, spend, cheap.arrays)
bought = pd.DataFrame([vars(cell) for cell in chosen.cells])
print(f"{chosen.flops:.3g} of {spend:.3g} FLOPs")
bought.map("{:.3g}".format)

# %%
figure, axes = plt.subplots(figsize=(7, 4))
axes.loglog(runs.tokens, runs.params, ".", color="0.8", label="on offer")
axes.loglog(cheap.fit.tokens, cheap.fit.params, ".", color="0.4", label="there before")
axes.scatter(bought.tokens, bought.params, s=25 * bought.seeds, color="#d55e00", zorder=3, label="bought (area: seeds)")
axes.plot(target.tokens, target.params, "*", ms=12, color="k", label="target")
axes.set_xlabel("training tokens")
axes.set_ylabel("parameters")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Did it help?


# %%
def take(cells) -> pd.DataFrame:
    """As many runs of each cell as were bought."""
    parts = [cheap.fit]
    for cell in cells:
        same = (np.abs(np.log(runs.params / cell.params)) < 0.01) & (np.abs(np.log(runs.tokens / cell.tokens)) < 0.01)
        parts.append(runs[same].head(cell.seeds))
    return pd.concat(parts)


after = forecast(
    RunTable.from_frame(take(chosen.cells), "with those bought"), target.params, target.tokens, target.flops
)
whole = forecast(table, target.params, target.tokens, target.flops, target_seeds=2)
pd.DataFrame(
    [told(now, "cheap"), told(after, "cheap and bought"), told(whole, f"all, {runs.flops.sum():.2g} FLOPs")]
).set_index("runs")

# %% [markdown]
# One sweep proves nothing about a method: [benchmarks/design.md](../benchmarks/design.md) has the comparison with
# random and evenly spread choices over six published tables, including where it loses.
#
# ## What could be expected before?
#
# The simulated half-width of a design, by the law and the noise of the cheap runs alone, before any of the others
# is trained.

# %%
for name, cells in (("cheap", cells_of(cheap.arrays)), ("all", cells_of(table.arrays))):
    guess = simulate_forecast(cells, target, cheap.arrays)
    print(f"{name}: expected half-width {guess.half_width:.1%} (90 %)")

# %% [markdown]
# ## How many seeds at which budget?

# %%
plan = plan_seeds(cheap, cells_of(table.arrays), target)
assert plan is not None
pd.DataFrame([vars(budget) for budget in plan.budgets]).map("{:.3g}".format)

# %% [markdown]
# ## What cannot identify a law is refused

# %%
try:
    design(offer, target, 2e11, cheap.arrays)
except InputError as error:
    print("\n".join(error.errors))
