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

import scaling as sl

print(sl.models("llama3-70b"))

# %% [markdown]
# ## How large, on how many tokens?
#
# A paper's law stands in for runs of our own here. With a sweep of yours it is `sl.allocate("../runs/mine", ...)`, and
# the answer is about your data and recipe.

# %%
llama = sl.models("llama3-70b").to_frame().iloc[0]
budget = 6 * llama.params * llama.tokens  # as the paper counts FLOPs
plain = sl.allocate("published:chinchilla-epoch", flops=budget)
serving = sl.allocate("published:chinchilla-epoch", flops=budget, inference_tokens=1e13)
pd.DataFrame(
    {
        "training alone": [plain.params, plain.tokens, plain.tokens_per_param, plain.flops],
        "and 10T tokens served": [serving.params, serving.tokens, serving.tokens_per_param, serving.flops],
        "Llama 3 70B": [llama.params, llama.tokens, llama.tokens / llama.params, budget],
    },
    index=["parameters", "tokens", "tokens per parameter", "training FLOPs"],
).map("{:.3g}".format)

# %%
law = sl.published("chinchilla-epoch")
sizes = plain.params * np.geomspace(1 / 5, 5, 100)
figure, axes = plt.subplots(figsize=(7, 4))
axes.semilogx(sizes, law.predict(params=sizes, tokens=budget / 6 / sizes), label=f"{budget:.3g} training FLOPs")
axes.axvspan(*plain.near_optimal["params"], alpha=0.1, lw=0, label="within 0.25 % of the lowest loss")
axes.plot(plain.params, plain.loss, "*", ms=12, color="#d55e00", label="compute-optimal")
axes.plot(llama.params, law.predict(params=llama.params, tokens=llama.tokens), "ko", label="Llama 3 70B")
axes.set_xlabel("parameters")
axes.set_ylabel("loss (nats per token)")
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
    cost = sl.cost("llama3-70b", device=name, devices=8192).cost
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
compared = sl.published_hours().to_frame().set_index("run")[["device_hours", "estimate", "ratio"]]
compared.round({"device_hours": 0, "estimate": 0, "ratio": 2})

# %%
figure, axes = plt.subplots(figsize=(7, 4))
axes.loglog(compared.device_hours, compared.estimate, "o", color="#0072b2")
ends = np.array([compared.device_hours.min() / 2, compared.device_hours.max() * 2])
axes.plot(ends, ends, color="0.6", lw=1, label="as published")
axes.set_xlabel("published device hours")
axes.set_ylabel("estimated device hours")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Does it fit, and how fast could it be?
#
# By arithmetic here. Without `compile=False`, our own sharded training step is compiled for
# these chips, by the TPU's own compiler where it is a TPU, in a minute or two.

# %%
rows = {}
for name in ("h100:512", "h100:2048", "v5p:8x8x8", "v5e:16x16"):
    found = sl.feasible("llama3-70b", topology=name, batch_tokens=16e6, compile=False).to_dict()
    rows[name] = {
        "fits": "yes" if found["fits"] else "no",
        "GiB a chip": f"{found['bytes_per_device'] / 2**30:.1f} of {found['memory_per_device'] / 2**30:.0f}",
        "sharding": ", ".join(f"{name} {size}" for name, size in found["sharding"].items() if size > 1),
        "bound by": found["roofline"]["bound"] if found["fits"] else "",
        "days at least": f"{found['days']:.0f}" if found["fits"] else "",
    }
pd.DataFrame(rows).T

# %% [markdown]
# The days are a lower bound, at published peak speeds, with nothing ever waiting; the cost above is what runs
# really took. Between the two lies what engineering can gain.
