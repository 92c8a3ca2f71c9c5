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
# # Before committing to a 70B
#
# Four questions before you spend millions of device hours: how large, on how many tokens, for what price, and does it
# fit the machines? Every figure below takes seconds on a laptop. The question is asked here of Llama 3's 70B
# shape.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from analysis.allocation.allocate import allocate
from analysis.allocation.estimate import published_surface
from analysis.allocation.results import Request
from analysis.plots.allocation import same_flops
from scaling.costing import compare_published, estimate_cost
from scaling.feasibility.assess import assess, describe
from scaling.feasibility.search import Asked
from scaling.feasibility.topology import find_topology
from scaling.hardware import find_device
from scaling.llama.zoo import find

llama = find("llama3-70b")
print(
    f"{llama.params / 1e9:.1f}B parameters on {llama.tokens / 1e12:.0f}T tokens: {llama.flops:.3g} FLOPs, every matmul"
)

# %% [markdown]
# ## How large, on how many tokens?
#
# A paper's law stands in for runs of our own here. With a sweep of yours it is
# `estimate_surface(read_table("runs/mine"))`, and the answer is about your data and recipe.

# %%
known = published_surface("chinchilla-epoch")
plain = allocate(known, Request(flops=llama.flops_6nd))
serving = allocate(known, Request(flops=llama.flops_6nd, inference_tokens=1e13))
pd.DataFrame(
    {
        "training alone": [plain.params, plain.tokens, plain.tokens_per_param, plain.flops],
        "and 10T tokens served": [serving.params, serving.tokens, serving.tokens_per_param, serving.flops],
        "Llama 3 70B": [llama.params, llama.tokens, llama.tokens / llama.params, llama.flops_6nd],
    },
    index=["parameters", "tokens", "tokens per parameter", "training FLOPs"],
).map("{:.3g}".format)

# %%
figure, axes = plt.subplots(figsize=(7, 4))
same_flops(known, plain, axes)
axes.legend(frameon=False, fontsize=8)
plt.show()

# %% [markdown]
# The optimum is flat: half the size loses little, and serves at half the price.
#
# ## What does it cost?
#
# The utilisation is that of published runs on the device; the range is what they spread over.

# %%
rows = {}
for name in ("a100", "h100", "h200", "b200", "v5p"):
    cost = estimate_cost(llama.flops, find_device(name), devices=8192)
    low, high = cost.device_hours_range or (cost.device_hours, cost.device_hours)
    rows[name] = {
        "MFU": f"{cost.utilization.mfu:.0%}",
        "device hours": f"{cost.device_hours / 1e6:.2f}M",
        "range": f"{low / 1e6:.2f}M to {high / 1e6:.2f}M",
        "days on 8,192": f"{cost.days_on[8192]:.0f}",
        "price": "not published" if cost.price_usd is None else f"${cost.price_usd / 1e6:.0f}M",
    }
pd.DataFrame(rows).T

# %% [markdown]
# ## Is that estimate any good?
#
# Meta published the hours of every Llama. Here is what the estimate would have said before. Llama 3 8B took nearly
# twice as long, as small models use large clusters less well; the two of Llama 3.2 were pruned from a larger model
# and trained on its logits, which the estimate knows nothing of.

# %%
compared = pd.DataFrame(
    [{"model": row.run, "published": row.hours, "estimate": row.estimate} for row in compare_published()]
).set_index("model")
compared["estimate / published"] = (compared.estimate / compared.published).round(2)
compared

# %%
figure, axes = plt.subplots(figsize=(7, 4))
axes.loglog(compared.published, compared.estimate, "o", color="#0072b2")
ends = np.array([compared.published.min() / 2, compared.published.max() * 2])
axes.plot(ends, ends, color="0.6", lw=1, label="as published")
axes.set_xlabel("published device hours")
axes.set_ylabel("estimated device hours")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Does it fit, and how fast could it be?
#
# By arithmetic here. Without `compiling=False` (`scaling feasible`), our own sharded training step is compiled for
# these chips, by the TPU's own compiler where it is a TPU, in a minute or two.

# %%
rows = {}
for name in ("h100:512", "h100:2048", "v5p:8x8x8", "v5e:16x16"):
    asked = Asked(config=llama.config, topology=find_topology(name), batch_tokens=16e6)
    answer = assess(asked, llama.tokens, compiling=False)
    rows[name] = {
        "fits": "yes" if answer.fits else "no",
        "GiB a chip": f"{answer.bytes_per_chip / 2**30:.1f} of {answer.memory / 2**30:.0f}",
        "sharding": describe(answer.plan),
        "bound by": answer.roofline.bound if answer.fits else "",
        "days at least": f"{answer.days(llama.tokens):.0f}" if answer.fits else "",
    }
pd.DataFrame(rows).T

# %% [markdown]
# The days are a lower bound, at published peak speeds, with nothing ever waiting; the cost above is what runs
# really took. Between the two lies what engineering can gain.
