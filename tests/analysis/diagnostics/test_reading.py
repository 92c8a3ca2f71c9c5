"""Warnings about how a table was read: what was left out, what was converted, and what may be in other units."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from messages import said
from synthetic import sweep

from analysis.diagnostics.advice import columns_option, where_option
from analysis.diagnostics.checks import check_table
from analysis.fitting.fit import fit
from analysis.runs.table import table_of

FRAME = sweep()[lambda f: f["role"] == "fit"].drop(columns=["role", "status", "trunk_id"])


def warned(frame: pd.DataFrame, code: str, columns: dict[str, str] | None = None) -> str:
    """The message with a code, or empty text."""
    return said(check_table(table_of(frame, columns=columns)), code)


def codes(frame: pd.DataFrame, columns: dict[str, str] | None = None) -> set[str]:
    return {warning.code for warning in check_table(table_of(frame, columns=columns))}


def test_unfinished_runs_are_named_and_no_filter_keeps_them() -> None:
    states = ["finished"] * (len(FRAME) - 3) + ["crashed", "crashed", "running"]
    frame = FRAME.assign(State=states, loss=FRAME["loss"].where(np.array(states) == "finished", 9.0))
    names = frame["run_id"].tolist()[-3:]
    message = warned(frame, "unfinished-rows")
    assert message.startswith("3 runs that have not finished are left out of the fit")
    assert f"crashed: {names[0]}, {names[1]}; running: {names[2]}" in message
    assert codes(frame) == {"unfinished-rows"}
    assert codes(frame.assign(State="finished")) == codes(FRAME) == set()


@pytest.mark.parametrize(("params", "tokens"), [(1e9, 1e9), (1e6, 1e9), (1e9, 1e6), (1e6, 1.0), (1.0, 1e9)])
@pytest.mark.parametrize("flops", [True, False])
def test_counts_in_millions_or_billions(params: float, tokens: float, flops: bool) -> None:
    large = FRAME.assign(params=FRAME.params * 1000, tokens=FRAME.tokens * 1000, flops=FRAME.flops * 1e6)
    assert codes(large) == set()
    small = large.assign(params=large.params / params, tokens=large.tokens / tokens)
    assert warned(small if flops else small.drop(columns="flops"), "mixed-conventions")


def test_a_loss_that_is_none_of_nats_per_token() -> None:
    assert "perplexities" in warned(FRAME.assign(loss=np.exp(FRAME.loss) * 10), "mixed-conventions")
    named = FRAME.rename(columns={"loss": "train_loss"})
    assert "a training loss" in warned(named, "mixed-conventions", {"loss": "train_loss"})
    assert codes(FRAME.rename(columns={"loss": "train/val_loss"}), {"loss": "train/val_loss"}) == set()


def test_what_was_converted_or_is_not_used_is_told() -> None:
    frame = FRAME.assign(ppl=np.exp(FRAME.loss), vocab="32k tokens").drop(columns="loss")
    notes = [
        each.message for each in check_table(table_of(frame, columns={"loss": "ppl"})) if each.code == "columns-read"
    ]
    assert notes == [
        "the loss is the natural logarithm of 'ppl'",
        "column 'vocab' is not used: '32k tokens' in row 1 is not a number",
    ]


def log(column: str, runs: int = 5, rows: int = 24, names: int | None = None) -> pd.DataFrame:
    """Evaluations along runs, unevenly spaced, that a column tells apart."""
    made = []
    for run in range(runs):
        tokens = 1e9 * np.geomspace(0.01, 1, rows) * (1 + run)
        loss = 2 + 100 / (1e7 * 2**run) ** 0.3 + 300 / tokens**0.3
        made.append(pd.DataFrame({"params": 1e7 * 2 ** (run % (names or runs)), "tokens": tokens, "loss": loss}))
        made[-1][column] = f"r{run}"
    return pd.concat(made, ignore_index=True)


@pytest.mark.parametrize("column", ["Name", "run_name", "Experiment", "trial id"])
def test_a_step_log_is_known_by_the_names_of_its_runs(column: str) -> None:
    assert warned(log(column), "correlated-rows").startswith("120 rows come from 5 runs")
    assert warned(log(column), "not-decayed").startswith("115 of 120 rows lie before the end of their run")


def test_a_step_log_is_known_by_any_column_that_repeats() -> None:
    message = warned(log("check point/dir"), "correlated-rows")
    assert "the 5 values of 'check point/dir' repeat over 120 rows" in message
    assert "--columns 'run_id=`check point/dir`'" in message
    assert warned(log("tag", rows=12, names=3), "correlated-rows")
    assert "name the runs with" in warned(log("tag").drop(columns="tag"), "correlated-rows")


def test_a_grid_with_names_of_its_sizes_is_no_step_log() -> None:
    frame = FRAME.assign(model=(FRAME.params / 1e3).map("{:.0f}k".format), width=FRAME.params.rank(method="dense") * 64)
    assert codes(frame) == set()
    assert codes(frame.rename(columns={"run_id": "Name"})) == set()


@pytest.mark.parametrize(
    ("column", "value", "option"),
    [
        ("corpus", "c4", "--where \"corpus == 'c4'\""),
        ("Run Group", "a", """--where '`Run Group` == "a"'"""),
        ("eval.set", 3, "--where '`eval.set` == 3'"),
        ("kind", 'say "x"', """--where 'kind == "say \\"x\\""'"""),
    ],
)
def test_an_advised_filter_can_be_typed(column: str, value: Any, option: str) -> None:
    assert where_option(column, value) == option


def test_the_advised_corpus_is_that_of_the_most_runs() -> None:
    corpus = np.where(np.arange(len(FRAME)) < 5, "a", "b")
    assert warned(FRAME.assign(corpus=corpus), "pooled-corpora").endswith(where_option("corpus", "b"))
    assert columns_option("run_id", "Name") == "--columns run_id=Name"


def test_a_parameter_at_the_edge_of_the_search_is_told() -> None:
    steep = FRAME.assign(loss=2 + 1e18 / FRAME.params**5.0 + 60 / FRAME.tokens**0.37)
    made = fit(table_of(steep), bootstrap=0)
    assert made.at_edge == ("alpha",)
    assert made.params["alpha"] == 4
    assert made.status.value == made.to_dict()["status"] == "converged with a parameter at the edge of the search"
    assert made.to_dict()["at_edge"] == ["alpha"]
    assert "alpha = 4 is at the edge of the search" in said(made.warnings, "at-the-edge")
    assert "alpha       4               at the edge of the search" in str(made)
    clean = fit(table_of(FRAME), bootstrap=0)
    assert (clean.at_edge, clean.status.value) == ((), "converged")
