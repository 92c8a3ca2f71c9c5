"""``recipe: {from: TABLE}``: which law, how its inputs are counted, and what is said of a table far away."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scaling.llama.counts import count_params
from scaling.planning import plan_with_warnings
from scaling.sweep.plan.expand import PlannedRun
from scaling.sweep.spec.sweep_file import parse_sweep

SWEEP = """\
name: tuned
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
fit: {sizes: [{width: 8, depth: 1}, {width: 20, depth: 1}], tokens: [40k, 80k]}
target: {size: {width: 20, depth: 1}, tokens: 200k}
"""
SIZES, LENGTHS = (2e3, 4e3, 8e3), (3e4, 9e4, 2.5e5)


def tuned(file: Path, name: str, best: Callable[[float, float], float], lengths: tuple[float, ...] = LENGTHS) -> Path:
    """A table without noise in which the best value of a hyperparameter is ``best(params, tokens)``."""
    rows = [
        {"params": n, "tokens": d, name: best(n, d) * times, "loss": 2 * np.exp(0.01 * np.log(times) ** 2)}
        for n, d in itertools.product(SIZES, lengths)
        for times in (0.25, 0.5, 1.0, 2.0, 4.0)
    ]
    pd.DataFrame(rows).to_csv(file, index=False)
    return file


def planned(source: Path) -> tuple[list[PlannedRun], list[tuple[str, str]]]:
    runs, warnings = plan_with_warnings(parse_sweep(SWEEP, "tuned.yaml", [f"recipe.from={source}"]))
    return runs, [(warning.code, warning.message) for warning in warnings]


def test_near_the_tuned_cells_there_is_nothing_to_say(tmp_path: Path) -> None:
    runs, warnings = planned(tuned(tmp_path / "t.csv", "lr", lambda n, d: 2 * n**-0.7 * d**0.1))
    assert warnings == []
    for run in runs:
        law = 2 * run.config.params**-0.7 * run.config.tokens**0.1
        assert run.config.recipe.rates.matrix == pytest.approx(law, rel=2e-3)  # tokens of whole steps


def test_parameters_are_counted_as_the_table_counts_them(tmp_path: Path) -> None:
    file = tuned(tmp_path / "t.csv", "lr", lambda n, d: 2 * n**-0.7 * d**0.1)
    frame = pd.read_csv(file)
    frame.assign(params_nonembedding=frame.params).to_csv(file, index=False)
    for run in planned(file)[0]:
        law = 2 * count_params(run.config.model).nonembedding ** -0.7 * run.config.tokens**0.1
        assert run.config.recipe.rates.matrix == pytest.approx(law, rel=2e-3)


@pytest.mark.parametrize("textbook", [True, False])
def test_a_law_that_only_deepseeks_form_identifies_is_used(textbook: bool, tmp_path: Path) -> None:
    # At one length there is no law of the batch in tokens; C differs between the sizes.
    file = tuned(tmp_path / "t.csv", "batch_tokens", lambda n, d: 0.02 * (n * d) ** 0.5, lengths=(1e5,))
    frame = pd.read_csv(file)
    flops = (6 if textbook else 9) * frame.params * frame.tokens
    frame.assign(flops=flops).to_csv(file, index=False)
    for run in planned(file)[0]:
        own = run.config.flops / (run.config.params * run.config.tokens)
        law = 0.02 * (run.config.params * run.config.tokens * (1 if textbook else own / 9)) ** 0.5
        assert abs(run.config.recipe.batch_tokens - law) <= 16.1  # half a sequence


def test_a_table_far_from_the_runs_is_reported_with_what_its_fit_warns_of(tmp_path: Path) -> None:
    file = tuned(tmp_path / "t.csv", "lr", lambda n, d: 2 * n**-0.7 * d**0.1)
    frame = pd.read_csv(file)
    frame.assign(params=frame.params * 1e4, tokens=frame.tokens / 20).to_csv(file, index=False)
    (first, below), (second, beyond) = planned(file)[1]
    smallest = min(run.config.params for run in planned(file)[0])
    assert (first, second) == ("far-extrapolation", "far-extrapolation")
    assert below.startswith(f"recipe from {file}: a run of {smallest:.3g} params lies a factor of {2e7 / smallest:.3g}")
    assert below.endswith("below those tuned (2e+07)")
    assert "tokens lies a factor of 16" in beyond
    assert beyond.endswith("beyond those tuned (1.25e+04)")
    edge = tuned(tmp_path / "edge.csv", "lr", lambda n, d: 2 * n**-0.7 * d**0.1)
    frame = pd.read_csv(edge)
    frame[(frame.params != 8e3) | (frame.lr <= 2 * 8e3**-0.7 * frame.tokens**0.1 * 1.01)].to_csv(edge, index=False)
    assert "not-bracketed" in [code for code, _ in planned(edge)[1]]
