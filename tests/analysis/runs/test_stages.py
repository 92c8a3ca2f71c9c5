"""Tables of a stage of fine-tuning: examples or pairs for tokens, the stage, and rows that no fit can take."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.diagnostics import checks
from analysis.errors import InputError
from analysis.runs.table import read_table, table_of

ROWS = pd.DataFrame(
    {
        "params": [1e8] * 8,
        "examples": 200.0 * 2.0 ** np.arange(8),
        "loss": 3.0 * 0.9 ** np.arange(8),
    }
)
TOKENS = ROWS.rename(columns={"examples": "tokens"})


@pytest.mark.parametrize(
    ("name", "stage"),
    [("examples", "sft"), ("Train examples", "sft"), ("pairs", "reward"), ("n_pairs", "reward")],
    ids=["examples", "spelled", "pairs", "n_pairs"],
)
def test_the_data_of_a_stage_stands_for_tokens(name: str, stage: str, tmp_path: Path) -> None:
    ROWS.rename(columns={"examples": name}).to_csv(tmp_path / "runs.csv", index=False)
    table = read_table(tmp_path / "runs.csv")
    assert table.arrays.stage == stage
    assert table.fit["tokens"].tolist() == ROWS["examples"].tolist()
    (said,) = [w.message for w in checks.check_table(table) if w.code == "columns-read"]
    assert said == f"tokens are {name!r}: the data of fine-tuning, whose laws are fitted"


def test_the_loss_of_pairs_is_per_pair() -> None:
    assert table_of(ROWS).unit == "nats per token"
    assert table_of(ROWS.rename(columns={"examples": "pairs"})).unit == "nats per pair"
    assert table_of(TOKENS.assign(stage="dpo")).unit == "nats per pair"
    both = table_of(TOKENS.assign(stage=["sft", "reward"] * 4), where="stage == 'reward'")
    assert both.unit == "nats per pair"


def test_few_examples_are_no_counts_in_billions() -> None:
    assert "mixed-conventions" not in {w.code for w in checks.check_table(table_of(ROWS))}
    assert "mixed-conventions" in {w.code for w in checks.check_table(table_of(TOKENS))}


def test_thousands_of_pairs_are_counted() -> None:
    rows = ROWS.rename(columns={"examples": "pairs (k)"})
    assert table_of(rows).fit["tokens"].max() == 1e3 * ROWS["examples"].max()


def test_tokens_are_taken_where_examples_stand_beside_them() -> None:
    table = table_of(ROWS.assign(tokens=ROWS["examples"] * 1e6))
    assert table.arrays.stage is None
    assert table.notes == ()
    assert table_of(ROWS.assign(tokens=ROWS["examples"] * 1e6, Stage="SFT")).arrays.stage == "sft"


def test_examples_and_pairs_without_tokens_are_not_clear() -> None:
    with pytest.raises(InputError, match=r"columns \['examples', 'pairs'\] could all be 'tokens'"):
        table_of(ROWS.assign(pairs=ROWS["examples"] + 1))


def test_only_a_stage_of_fine_tuning_moves_the_hash() -> None:
    plain = table_of(TOKENS).hash()
    assert table_of(TOKENS.assign(stage="main")).hash() == plain
    assert table_of(TOKENS.assign(stage=[f"part {i}" for i in range(8)])).hash() == plain
    assert table_of(TOKENS.assign(stage="sft")).hash() != plain


@pytest.mark.parametrize("count", [0.0, -200.0], ids=["zero", "negative"])
def test_a_row_of_no_data_is_refused(count: float) -> None:
    rows = pd.concat([ROWS, pd.DataFrame({"params": [1e8], "examples": [count], "loss": [3.4]})])
    with pytest.raises(InputError) as refused:
        table_of(rows, source="t.csv")
    (line,) = refused.value.args[0] if isinstance(refused.value.args[0], list) else str(refused.value).splitlines()
    assert line.startswith(f"t.csv:9: column 'tokens': {count} is not a positive number")
    assert line.endswith('before its fine-tuning; leave it out with `where` "tokens > 0"') == (count == 0)
    assert len(table_of(rows, where="examples > 0").fit) == len(ROWS)


def test_mixed_stages_are_refused_until_one_is_chosen() -> None:
    rows = TOKENS.assign(stage=["sft", "reward"] * 4)
    with pytest.raises(InputError, match=r"rows of 'reward' and 'sft' in one table: .* `where` \"stage == 'reward'\""):
        _ = table_of(rows).fit
    chosen = table_of(rows, where="stage == 'sft'")
    assert chosen.arrays.stage == "sft"
    assert len(chosen.fit) == 4
    with pytest.raises(InputError, match="rows of none and 'sft' in one table"):
        _ = table_of(TOKENS.assign(stage=["sft", None] * 4)).fit


def test_a_table_without_sizes_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"no column 'params'.*of one model add a column of its size"):
        table_of(ROWS.drop(columns="params"))
