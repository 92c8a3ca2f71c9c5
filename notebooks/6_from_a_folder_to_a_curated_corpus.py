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
# # From a folder of text to a curated corpus
#
# A crawl is mostly text that no model should be trained on. This notebook makes a small folder that is as messy as one,
# from speeches that a package brings along. It curates the folder with one command, looks at what went and why, and
# then asks of finished runs whether it paid.

# %%
import difflib
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from scaling.data.corpus import CorpusSpec, load_corpus

study = Path("../benchmarks/curation/pays").resolve()
os.chdir(tempfile.mkdtemp())  # for the files that this notebook writes

# %% [markdown]
# ## A folder of text
#
# A document is a page of a speech. A tenth are trusted: the source `wiki`. The others are a crawl, with what crawls
# have: copies with small differences, pages in German, lists of keywords, a menu on every fifth page, and addresses.

# %%
draw = random.Random(20)
pages = []
for speech in load_corpus(CorpusSpec(names=["speech"])).train[::3]:
    paragraphs = speech.text.decode().split("\n\n")
    pages += ["\n\n".join(paragraphs[start : start + 6]) for start in range(0, len(paragraphs), 6)]
draw.shuffle(pages)
trusted, crawl = pages[: len(pages) // 10], pages[len(pages) // 10 :]

german = "Die Bürger wollen wissen, was mit ihren Steuern geschieht. Der Winter war lang, und die Ernte war gut. "
keywords = ["cheap", "tickets", "hotel", "flights", "best", "price", "online", "buy", "now", "shipping", "discount"]
menu = "Home | News | About us | Contact\nAccept all cookies\n"
mess = []
for page in crawl:
    mess.append(menu + page if draw.random() < 0.2 else page)
    kind = draw.random()
    if kind < 0.2:
        mess.append(page.replace(" the ", " this ", 2) + f"\n\nRead {draw.randrange(10_000)} times.")
    elif kind < 0.35:
        mess.append(german * draw.randrange(3, 30) + f"Seite {draw.randrange(10_000)}.")
    elif kind < 0.45:
        mess.append(" ".join(draw.choices(keywords, k=draw.randrange(40, 400))))
    elif kind < 0.5:
        mess.append(page[:400] + f"\n\nWrite to reader{draw.randrange(10_000)}@example.org.")

for name, documents in {"wiki": trusted, "crawl": mess}.items():
    Path(name).mkdir()
    Path(name, "pages.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    print(f"{name}: {len(documents):,} documents, {sum(map(len, documents)) / 1e6:.1f} million characters")

# %% [markdown]
# ## One file, one command

# %%
Path("web.yaml").write_text("""\
sources:                                            # of two copies, the one in the earlier source stays
  - {path: "wiki/*.jsonl", name: wiki}
  - {path: "crawl/*.jsonl", name: web}
curate:
  language: {keep: [en]}
  lines: {}
  private: mask
  rules: [gopher, fineweb]
  quality: {like: [wiki], keep: 95%}
  near_duplicates: {}
""")


def scaling(*words: str) -> str:
    """What a command prints."""
    done = subprocess.run([sys.executable, "-m", "scaling", *words], capture_output=True, text=True, check=True)
    return done.stdout


print(scaling("data", "curate", "web.yaml", "--out", "web-clean"))

# %% [markdown]
# ## The funnel
#
# `funnel.json` has the counts: every document that was read is kept, or was dropped by one step for one reason.

# %%
funnel = json.loads(Path("web-clean/funnel.json").read_text())
rows = [
    {"step": step["name"], "reason": reason["name"], "documents": reason["documents"], "from": reason["source"]}
    for step in funnel["steps"]
    for reason in step["reasons"]
    if reason["documents"]
]
pd.DataFrame(rows).set_index(["step", "reason"])

# %%
figure, axes = plt.subplots(figsize=(7, 2.4))
left = [0] * len(funnel["sources"])
names = [source["name"] for source in funnel["sources"]]
kept = [source["kept"]["documents"] for source in funnel["sources"]]
dropped = [(step["name"], [each["documents"] for each in step["by_source"]]) for step in funnel["steps"]]
for label, counts in [("kept", kept), *(each for each in dropped if any(each[1]))]:
    axes.barh(names, counts, left=left, label=label.replace("_", " "))
    left = [before + count for before, count in zip(left, counts, strict=True)]
axes.set_xlabel("documents")
axes.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1))
plt.show()

# %% [markdown]
# `scaling data report web-clean` writes a page with all of this, with a histogram for every rule and examples of what
# went and what just stayed. One of the histograms:

# %%
rules = {reason["name"]: reason for step in funnel["steps"] for reason in step["reasons"]}
rule = rules["gopher.stop_words"]
edges, counts = rule["histogram"]["edges"], rule["histogram"]["counts"]
figure, axes = plt.subplots(figsize=(7, 2.6))
axes.stairs(counts, edges, fill=True, color="0.7")
axes.axvline(rule["limits"][0], color="#d55e00", label=f"dropped below {rule['limits'][0]:g}")
axes.set_yscale("symlog")
axes.set_xlabel("how many of the, be, to, of, and, that, have, with are there")
axes.set_ylabel("documents")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# ## What went, and why
#
# A document that repeats another can name its twin, which stayed.

# %%
print(scaling("data", "inspect", "web-clean", "--dropped", "gopher.stop_words", "--show", "2"))

# %%
group = funnel["duplicates"]["groups"][0]
stays, went = (each["text"].split()[:150] for each in (group["kept"], group["dropped"][0]))
print(f"Jaccard similarity {group['dropped'][0]['similarity']:.3f}; words that differ, with two on either side:")
for line in list(difflib.unified_diff(stays, went, lineterm="", n=2))[2:]:
    print(line)

# %% [markdown]
# ## Change a knob
#
# Only the steps from the changed one on are done again.

# %%
Path("web.yaml").write_text(
    Path("web.yaml").read_text().replace("near_duplicates: {}", "near_duplicates: {alike: 0.95}")
)
print(scaling("data", "curate", "web.yaml", "--out", "web-clean").splitlines()[0])

# %% [markdown]
# ## Did it pay?
#
# Neither the counts nor one loss say. `benchmarks/curation/messy.py` makes a larger corpus, of whose bytes two fifths
# are clean pages, a fifth near-duplicates of them, and the rest other languages, spam, prices, menus and notices. Two
# sweeps (`sweeps/curation.yaml`) trained the same small Llamas on it as it comes and on what the steps leave with their
# defaults, for equally many tokens, and were evaluated on the same held-out clean pages. Every run has a partner of the
# same parameters, tokens and seed in the other sweep.

# %%
told = json.loads((study / "difference.json").read_text())
budgets = pd.DataFrame(told["budgets"])
budgets.difference = np.expm1(budgets.difference)  # of the log losses
shown = {"flops": "{:.2g}", "difference": "{:+.2%}", "stderr": "{:.2%}"}
budgets.assign(**{name: budgets[name].map(form.format) for name, form in shown.items()}).set_index("flops")

# %% [markdown]
# Before the targets were trained, the difference at their FLOPs was forecast from these and frozen: a line through the
# budgets, with Student's t for the noise of seeds and the scatter of the budgets about the line.

# %%
low, high = told["interval"]
print(
    f"at {told['flops']:.2g} FLOPs: {told['difference']:+.2%}, {told['level']:.0%} interval [{low:+.2%}, {high:+.2%}]"
)
print(f"probability that curated text is better: {told['better']:.4f}")

# %% [markdown]
# Then the targets were trained.

# %%
tables = {name: pd.read_parquet(study / name / "runs.parquet") for name in ("raw", "curated")}
losses = pd.DataFrame({name: runs[runs.role == "target"].set_index("seed").loss for name, runs in tables.items()})
actual = np.expm1(np.log(losses.curated / losses.raw).mean())
losses.assign(difference=(losses.curated / losses.raw - 1).map("{:+.2%}".format)).round(4)

# %%
figure, axes = plt.subplots(figsize=(7, 3))
axes.errorbar(budgets.flops, 100 * budgets.difference, 200 * budgets.stderr, fmt="o", color="k", label="fitted runs")
ends = [[100 * (told["difference"] - low)], [100 * (high - told["difference"])]]
axes.errorbar(told["flops"], 100 * told["difference"], ends, fmt="s", color="#0072b2", capsize=4, label="forecast")
axes.plot(told["flops"], 100 * actual, "*", ms=12, color="#d55e00", label="the targets, trained afterwards")
axes.axhline(0, color="0.8", lw=1)
axes.set_xscale("log")
axes.set_xlabel("training FLOPs")
axes.set_ylabel("loss on curated text\nagainst raw text, %")
axes.legend(frameon=False)
plt.show()

# %%
print(f"forecast {told['difference']:+.2%}, actual {actual:+.2%}: {'inside' if low <= actual <= high else 'outside'}")
