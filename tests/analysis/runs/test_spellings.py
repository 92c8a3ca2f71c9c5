"""Numbers and losses as further people write them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.diagnostics.checks import check_table
from analysis.errors import InputError
from analysis.imports.names import loss_name
from analysis.runs.recognition.loss_units import is_held_out, is_perplexity, loss_unit
from analysis.runs.recognition.numbers import numbers_in
from analysis.runs.table import RunTable, table_of

ROWS = {"params": [2e7, 4e7, 8e7], "tokens": [1e9, 2e9, 4e9], "loss": [4.0, 3.5, 3.1]}


def table(columns: dict[str, str] | None = None, **further: list[Any]) -> RunTable:
    return table_of(pd.DataFrame(ROWS | further), columns=columns)


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["1\u2009600\u2009000", "20\u2009000"], [1.6e6, 2e4]),
        (["1\u2019600\u2019000", "7"], [1.6e6, 7]),
        (["20.000.000", "500.000"], [2e7, 5e5]),
        (["1.5", "500.000", "x"], [1.5, 500, np.nan]),  # nothing shows that dots group
        (["20M params", "1.5B parameters", "3 tokens"], [2e7, 1.5e9, 3]),
        (["#DIV/0!", "n.a.", "TBD", "1"], [np.nan] * 3 + [1]),
    ],
)
def test_numbers(cells: list[str], numbers: list[float]) -> None:
    assert numbers_in(pd.Series(cells))[0].tolist() == pytest.approx(numbers, nan_ok=True)


def test_dots_that_mean_two_things_are_no_numbers() -> None:
    assert numbers_in(pd.Series(["20.000.000", "1.5"]))[1].tolist() == [True, False]


def test_a_word_in_place_of_a_loss_is_a_failed_run() -> None:
    runs = table(loss=["4.0", "OOM", "diverged"])
    assert runs.fit["loss"].tolist() == [4.0]
    assert runs.diverged == ("row 2", "row 3")
    with pytest.raises(InputError, match="'much' is not a number"):
        table(loss=["4.0", "3.0", "much"])


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("val_log2_ppl", "bits per token"),
        ("log10 perplexity", "decimal digits per token"),
        ("ln_ppl", "nats per token"),
    ],
)
def test_a_logarithm_of_the_perplexity_is_none(name: str, unit: str) -> None:
    assert not is_perplexity(name)
    assert loss_unit({"loss": name}) == unit
    found = loss_name(name)
    assert found is None or found.unit == ("bits_per_token" if "2" in name else None)


def test_a_plain_loss_beside_held_out_ones_is_told() -> None:
    (note,) = table(**{"eval/c4/loss": [4.1, 3.6, 3.2]}).notes
    assert "if that is the training loss" in note
    assert "'eval/c4/loss'" in note
    assert table(**{"eval/c4/loss": ROWS["loss"]}).notes == ()
    assert table({"loss": "loss"}, **{"eval/c4/loss": [4.1, 3.6, 3.2]}).notes == ()
    assert not is_held_out("best_val_loss")
    assert not is_held_out("train/loss")


def test_runs_that_do_not_say_their_corpus_are_told() -> None:
    messages = [w.message for w in check_table(table(corpus=["c4", None, "c4"])) if w.code == "pooled-corpora"]
    assert len(messages) == 1
    assert "1 of 3 runs do not say their corpus" in messages[0]
    assert messages[0].endswith("""--where "corpus == 'c4'\"""")


def test_a_missing_column_names_what_it_could_be() -> None:
    frame = pd.DataFrame(ROWS).rename(columns={"params": "non_embedding_params"})
    with pytest.raises(InputError, match="one of 'non_embedding_params'"):
        table_of(frame)
