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
# ## The finished runs: the lower half of the budgets

# %%
finished = RunTable.from_frame(runs[runs.flops < 8e10], "low-compute runs")
now = forecast(finished, target.params, target.tokens, target.flops, target_seeds=2)


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
# Available is what this sweep trained at its larger budgets. `design` takes several laws to be possible, and
# chooses the runs that lower the variance of the target's forecast most per FLOP (c-optimal: for the one number that
# counts).

# %%
offered = [cell for cell in cells_of(table.arrays) if cell.flops >= 8e10]


def offer(flops: float, fewest: float, most: float) -> list[PlannedCell]:
    """Runs of about so many FLOPs; sizes between the two, in parameters."""
    near = [cell for cell in offered if abs(np.log(cell.flops / flops)) < 0.3]
    return [cell for cell in near if fewest <= cell.params <= most]


spend = 1e12
chosen = design(offer, target, spend, finished.arrays)
selected = pd.DataFrame([vars(cell) for cell in chosen.cells])
print(f"{chosen.flops:.3g} of {spend:.3g} FLOPs")
selected.map("{:.3g}".format)

# %%
figure, axes = plt.subplots(figsize=(7, 4))
axes.loglog(runs.tokens, runs.params, ".", color="0.8", label="available")
axes.loglog(finished.fit.tokens, finished.fit.params, ".", color="0.4", label="finished")
axes.scatter(selected.tokens, selected.params, s=25 * selected.seeds, c="#d55e00", label="chosen (area: seeds)")
axes.plot(target.tokens, target.params, "*", ms=12, color="k", label="target")
axes.set_xlabel("training tokens")
axes.set_ylabel("parameters")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Did it help?


# %%
def take(cells) -> pd.DataFrame:
    """The finished runs, and as many of each cell as were chosen."""
    parts = [finished.fit]
    for cell in cells:
        same = (np.abs(np.log(runs.params / cell.params)) < 0.01) & (np.abs(np.log(runs.tokens / cell.tokens)) < 0.01)
        parts.append(runs[same].head(cell.seeds))
    return pd.concat(parts)


after = forecast(
    RunTable.from_frame(take(chosen.cells), "with those chosen"), target.params, target.tokens, target.flops
)
whole = forecast(table, target.params, target.tokens, target.flops, target_seeds=2)
pd.DataFrame(
    [row_of(now, "low-compute"), row_of(after, "and chosen"), row_of(whole, f"all, {runs.flops.sum():.2g} FLOPs")]
).set_index("runs")

# %% [markdown]
# One sweep proves nothing about a method: [benchmarks/design.md](../benchmarks/design.md) has the comparison with
# random and evenly spread choices over six published tables, including where it loses.
#
# ## What could be expected before?
#
# The simulated half-width of a design, by the law and the noise of the low-compute runs alone, before any of the
# others is trained.

# %%
for name, cells in (("low-compute", cells_of(finished.arrays)), ("all", cells_of(table.arrays))):
    guess = simulate_forecast(cells, target, finished.arrays)
    print(f"{name}: expected half-width {guess.half_width:.1%} (90 %)")

# %% [markdown]
# ## How many seeds at which budget?

# %%
plan = plan_seeds(finished, cells_of(table.arrays), target)
assert plan is not None
pd.DataFrame([vars(budget) for budget in plan.budgets]).map("{:.3g}".format)

# %% [markdown]
# ## What cannot identify a law is refused

# %%
try:
    design(offer, target, 2e11, finished.arrays)
except InputError as error:
    print("\n".join(error.errors))
