"""Comparisons: frozen, scored, backtested; several contenders; what is refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from contending.tables import SIZES, contender, frame, loss_of

from analysis.comparing.backtest import backtest_comparisons
from analysis.comparing.compare import CompareRequest, compare
from analysis.comparing.comparison import Comparison, read_comparison
from analysis.comparing.contenders import Contender, check_contenders, contenders_by
from analysis.comparing.ranking import ranked
from analysis.comparing.score import score_comparison
from analysis.errors import InputError
from analysis.runs.table import RunTable, table_of

TARGET = SIZES[-1] * np.sqrt(10)
REQUEST = CompareRequest(params=TARGET, tokens=20 * TARGET, bootstrap=20)


def rows(name: str, multiplier: float, target: bool = False) -> pd.DataFrame:
    made = frame(0, name, multiplier).assign(role="fit")
    if not target:
        return made
    grown = np.sqrt(multiplier)
    end = {
        "params": TARGET,
        "tokens": 20 * TARGET,
        "loss": loss_of(TARGET * grown, 20 * TARGET * grown),
        "flops": 120 * TARGET**2,
        "role": "target",
    }
    return pd.concat([made, pd.DataFrame([{**end, "seed": seed} for seed in (0, 1)])], ignore_index=True)


@pytest.fixture(scope="module")
def three() -> Comparison:
    return compare(
        [
            contender("usual", rows("usual", 1)),
            contender("good", rows("good", 1.5)),
            contender("bad", rows("bad", 0.7)),
        ],
        REQUEST,
    )


def test_several_contenders_are_ranked(three: Comparison) -> None:
    assert three.contenders == ("good", "usual", "bad")
    assert three.may_be_best == ("good",)
    assert sum(three.best.values()) == pytest.approx(1)
    assert three.best["good"] > 0.9
    assert [(each.first, each.second) for each in three.pairs] == [("usual", "good"), ("usual", "bad"), ("good", "bad")]
    assert three.pair("good", "bad").multiplier.value == pytest.approx(0.7 / 1.5, rel=0.15)


def test_it_is_frozen_for_good(three: Comparison, tmp_path: Path) -> None:
    path = tmp_path / "comparison.json"
    assert three.freeze(path) == three
    assert read_comparison(path) == three
    changed = json.loads(path.read_text())
    changed["level"] = 0.5
    path.write_text(json.dumps(changed))
    with pytest.raises(InputError, match="was changed after it was frozen"):
        read_comparison(path)


def test_it_is_scored_by_the_targets_runs(three: Comparison) -> None:
    multipliers = {"usual": 1.0, "good": 1.5, "bad": 0.7}
    tables = {name: RunTable.from_frame(rows(name, factor, target=True)) for name, factor in multipliers.items()}
    result = score_comparison(three, tables)
    assert result.best == result.forecast_best == "good"
    assert all(each.right and each.inside for each in result.pairs)
    for each in result.pairs:
        truth = multipliers[each.second] / multipliers[each.first]
        assert each.actual_multiplier == pytest.approx(truth, rel=0.1)
        assert each.multiplier_inside
    assert result.brier < 0.02
    other = {**tables, "bad": RunTable.from_frame(rows("bad", 0.8, target=True))}
    with pytest.raises(InputError, match="not the runs of bad that the comparison was made from"):
        score_comparison(three, other)
    with pytest.raises(InputError, match="no finished run of good at"):
        score_comparison(three, {**tables, "good": RunTable.from_frame(rows("good", 1.5))})


def test_probabilities_of_being_best_are_those_of_every_two() -> None:
    differences = {("a", "b"): (-0.01, 0.01, 5.0), ("a", "c"): (0.05, 0.01, 5.0), ("b", "c"): (0.06, 0.01, 5.0)}
    best, may_be = ranked(["a", "b", "c"], differences, 0.95)
    assert may_be == {"a", "b"}
    assert best["b"] > best["a"] > best["c"]
    two, _ = ranked(["a", "b"], {("a", "b"): (-0.01, 0.01, 5.0)}, 0.95)
    assert two["a"] == pytest.approx(1 - two["b"])


def test_a_column_parts_a_table() -> None:
    made = pd.concat([rows("usual", 1).assign(optimizer="adamw"), rows("good", 1.5).assign(optimizer="muon")])
    found = contenders_by(table_of(made, where="optimizer in ['adamw', 'muon']"), "optimizer")
    assert [each.name for each in found] == ["adamw", "muon"]
    assert [len(each.cells) for each in found] == [12, 12]
    alone = made[made["optimizer"] == "muon"]
    with pytest.raises(InputError, match="column 'optimizer' is 'muon' in every row to fit"):
        contenders_by(table_of(alone, where="optimizer in ['muon']"), "optimizer")
    with pytest.raises(InputError, match="no column 'optimiser'"):
        contenders_by(table_of(made), "optimiser")


def refusal(first: pd.DataFrame, second: pd.DataFrame, columns: dict[str, str] | None = None) -> str:
    tables = table_of(first, "a.csv"), table_of(second, "b.csv", columns)
    with pytest.raises(InputError) as refused:
        check_contenders([Contender("a", tables[0]), Contender("b", tables[1])])
    (line,) = refused.value.errors
    return str(line)


def test_contenders_without_common_ground_are_refused() -> None:
    a, b = rows("a", 1).drop(columns="role"), rows("b", 1).drop(columns="role")
    far = b.assign(tokens=b["tokens"] * 1e4, flops=b["flops"] * 1e4)
    assert "no budget in common" in refusal(a, far)
    bits = b.rename(columns={"loss": "bits_per_byte"})
    assert "do not compare" in refusal(a, bits, {"loss": "bits_per_byte"})
    assert "tokenizers bpe and bytes" in refusal(a.assign(tokenizer="bpe"), b.assign(tokenizer="bytes"))
    texts = refusal(a.assign(held_out_sha256="1" * 64), b.assign(held_out_sha256="2" * 64))
    assert "losses on different held-out texts do not compare" in texts
    assert "one size and length" in refusal(a, b.iloc[:2])


def test_what_may_mislead_is_told() -> None:
    a, b = rows("a", 1).assign(corpus="x"), rows("b", 1).assign(corpus="y")
    codes = [each.code for each in check_contenders([contender("a", a), contender("b", b)])]
    assert codes == ["other-yardstick"]
    tuned = pd.concat([a.assign(lr=1e-3), a.assign(lr=2e-3, loss=a["loss"] * 1.1)])
    codes = [each.code for each in check_contenders([contender("a", tuned), contender("b", a)])]
    assert codes == ["best-of-cell"]


def test_a_backtest_judges_decisions_beyond_the_fitted_runs() -> None:
    made = [contender("usual", rows("usual", 1)), contender("good", rows("good", 1.5))]
    result = backtest_comparisons(made)
    assert (result.frame["flops"] > result.frame["fitted_flops"]).all()
    assert all(each.right == 1 and each.brier < 0.1 for each in result.by_distance)
    assert sum(each.count for each in result.calibration) == len(result.frame)
    far = rows("far", 1).assign(tokens=lambda frame: frame["tokens"] * 1e4, flops=lambda frame: frame["flops"] * 1e4)
    beside = backtest_comparisons([*made, contender("far", far)])  # shares no budget, and tells nothing
    pd.testing.assert_frame_equal(beside.frame, result.frame)
    swapped = [made[0], contender("odd", rows("odd", 1.5).assign(loss=lambda frame: frame["loss"].to_numpy()[::-1]))]
    assert min(each.right for each in backtest_comparisons(swapped).by_distance) < 1
