"""Warnings about how a table was read: what was left out or converted, and numbers that may be in other units."""

from collections.abc import Iterator

import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.formatting import listed
from analysis.runs.recognition.columns import ODD_COST
from analysis.runs.recognition.spelling import normalised
from analysis.runs.stages import fine_tuning_stage
from analysis.runs.subsample import MOST_ROWS
from analysis.runs.table import RunTable

_FEWEST = 1000.0  # parameters of a Llama, tokens of a run
_MOST_TOKENS_PER_PARAM = 1e5  # Llama 3 8B saw 1,900
_UNIFORM = 14.0  # nats per token of a guess among a million tokens


def left_out(table: RunTable) -> Iterator[Diagnostic]:
    """Which rows and columns a fit does not use, and which columns were converted."""
    if table.diverged:
        lost = "runs that diverged or have no finite loss are left out of the fit"
        yield Diagnostic("diverged-rows", f"{len(table.diverged)} {lost}: {listed(table.diverged)}")
    if states := table.unfinished:
        number = sum(map(len, states.values()))
        named = "; ".join(f"{state}: {listed(names)}" for state, names in states.items())
        yield Diagnostic("unfinished-rows", f"{number} runs that have not finished are left out of the fit ({named})")
    if len(table.fit) > MOST_ROWS:
        yield Diagnostic(
            "sampled-rows",
            f"the fit uses {len(table.arrays)} of {len(table.fit)} rows, spread evenly over FLOPs and trunks",
        )
    for note in table.notes:
        yield Diagnostic("columns-read", note)


def odd_counts(rows: pd.DataFrame, loss_name: str) -> Iterator[Diagnostic]:
    """Whether params, tokens, FLOPs or losses cannot be what they should be, but something else or in other units."""
    tuned = fine_tuning_stage(rows) is not None  # few examples or pairs, of many tokens each, may be all
    small = [name for name in (("params",) if tuned else ("params", "tokens")) if rows[name].min() < _FEWEST]
    ratio = float((rows["tokens"] / rows["params"]).median())
    cost = float((rows["flops"] / (6 * rows["params"] * rows["tokens"])).median())
    if small:
        name = small[0]
        yield Diagnostic(
            "mixed-conventions",
            f"{name} of {rows[name].min():.3g} to {rows[name].max():.3g} are no counts: are they millions or billions? "
            "write them as 20M or 0.5B, or name the column with its unit, such as "
            f"{name}_B; exponents hold, but the forecast's target is then in the same units",
        )
    elif not tuned and not 1 / ODD_COST < cost < ODD_COST:
        yield Diagnostic(
            "mixed-conventions",
            f"flops are about {cost:.1g} times 6 params tokens: are these counts, and not billions, and are the "
            "params those that every token passes?",
        )
    elif not tuned and not 1 / _MOST_TOKENS_PER_PARAM < ratio < _MOST_TOKENS_PER_PARAM:
        yield Diagnostic(
            "mixed-conventions",
            f"the runs have about {ratio:.1g} tokens per parameter: are both params and tokens counts, and none "
            "in millions or billions?",
        )
    if rows["loss"].median() > _UNIFORM:
        yield Diagnostic(
            "mixed-conventions",
            f"losses of about {rows['loss'].median():.3g} are more than a guess among a million tokens has: does "
            f"{loss_name!r} hold perplexities or sums? map a column whose name says so, such as loss=perplexity",
        )
    elif _is_of_training(loss_name):
        yield Diagnostic(
            "mixed-conventions",
            f"the loss is taken from {loss_name!r}, a training loss: it is an average over text that repeats, or over "
            "steps before the last; a held-out loss is what laws are of",
        )


def _is_of_training(loss_name: str) -> bool:
    words = set(normalised(loss_name).split("_"))
    return bool(words & {"train", "training"}) and not words & {"eval", "val", "valid", "validation", "test", "dev"}
