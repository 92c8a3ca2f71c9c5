"""The page on AdamW against Muon follows from its tables, and these hold nothing of a machine."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import scaling as sl
from analysis.comparing.comparison import Span, read_comparison
from analysis.comparing.score import read_comparison_score
from benchmarks.comparing import optimizers
from benchmarks.comparing.optimizers import CORPORA, FIRST, KEPT, SECOND, Corpus, at_target, holds, keep, replicates

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_page_says_what_the_tables_say() -> None:
    assert optimizers.section().strip() in (ROOT / "benchmarks" / "comparing.md").read_text()


def test_what_came_is_on_the_page() -> None:
    page = (ROOT / "benchmarks" / "comparing.md").read_text()
    assert "\n".join(at_target(optimizers.corpora())) in page


@pytest.mark.parametrize("corpus", CORPORA)
def test_the_kept_score_is_that_of_the_frozen_comparison(corpus: str) -> None:
    place = KEPT / corpus
    again = sl.score_comparison(place / "comparison.json", {name: place / name for name in (FIRST, SECOND)})
    told = read_comparison_score(place / "comparison_score.json")
    assert again.comparison_sha256 == told.comparison_sha256
    assert again.losses == pytest.approx(told.losses)
    assert again.pairs[0].actual_multiplier == pytest.approx(told.pairs[0].actual_multiplier)
    for name in (FIRST, SECOND):
        assert sl.score(place / name / "forecast.json", place / name).covered is not None


@pytest.mark.parametrize("corpus", CORPORA)
def test_a_replicate_is_judged_by_its_own_two_targets(corpus: str) -> None:
    own = Corpus(corpus, KEPT / corpus)
    targets, made = own.targets, own.pair
    step, change = np.array(made.gain).T
    for seed, losses in targets.iterrows():
        score = own.score(int(str(seed)))
        difference = np.log(losses[SECOND, "loss"] / losses[FIRST, "loss"])
        assert score.actual == pytest.approx(difference)
        assert score.right == ((made.better > 0.5) == (difference < 0))
        assert score.actual_multiplier == pytest.approx(np.exp(np.interp(-difference, -change, step)), rel=1e-6)
    assert own.score().actual == pytest.approx(np.mean([own.score(int(str(seed))).actual for seed in targets.index]))


def test_a_target_that_turns_the_order_is_told(tmp_path: Path) -> None:
    for path in (KEPT / "sotu").rglob("*.*"):
        there = tmp_path / path.relative_to(KEPT / "sotu")
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(path.read_bytes())
    runs = pd.read_parquet(tmp_path / SECOND / "runs.parquet")
    first = (runs["role"] == "target") & (runs["seed"] == 0)
    runs.assign(loss=runs["loss"] * np.where(first, 1.1, 1)).to_parquet(tmp_path / SECOND / "runs.parquet")
    text = "\n".join(replicates([Corpus("sotu", tmp_path)]))
    assert "right in 2 of 3 replicates" in text
    assert sum("**no**" in line for line in text.splitlines()) == 1


def test_other_rows_than_those_compared_are_refused() -> None:
    rows = Corpus("sotu", KEPT / "sotu").tables
    rows[FIRST] = rows[FIRST].assign(loss=rows[FIRST]["loss"] * np.where(rows[FIRST]["seed"] == 0, 1.01, 1))
    with pytest.raises(sl.InputError, match="not the runs of adamw that the comparison was made from"):
        sl.score_comparison(KEPT / "sotu" / "comparison.json", rows)


def test_an_interval_without_an_end_holds_what_is_beyond() -> None:
    assert holds(Span(1.0, 0.9, None), 50.0) is True
    assert holds(Span(1.0, 0.9, 1.2), 1.3) is False
    assert holds(Span(1.0, 0.9, 1.2), 0.8) is False
    assert holds(Span(1.0, None, None), 1.0) is None
    assert holds(Span(1.0, 0.9, 1.2), None) is None


def test_nothing_kept_names_a_folder_of_a_machine() -> None:
    files = [path for path in KEPT.rglob("*") if path.is_file()]
    assert len(files) == len(CORPORA) * 8
    for path in files:
        text = pd.read_parquet(path).to_csv() if path.suffix == ".parquet" else path.read_text()
        assert not any(place in text for place in ("/tmp", "/work", "/home", "/root")), path


def test_a_comparison_that_names_a_folder_of_a_machine_is_not_kept(tmp_path: Path) -> None:
    keep(KEPT / "sotu", tmp_path / "kept")
    for path in (KEPT / "sotu").rglob("*.*"):
        assert (tmp_path / "kept" / path.relative_to(KEPT / "sotu")).read_bytes() == path.read_bytes()
    content = json.loads((tmp_path / "kept" / "comparison.json").read_text())
    content["sources"][SECOND] = "/somewhere/muon/runs.parquet"
    (tmp_path / "kept" / "comparison.json").write_text(json.dumps(content))
    with pytest.raises(SystemExit, match="names a folder of this machine"):
        keep(tmp_path / "kept", tmp_path / "again")
    assert read_comparison(KEPT / "sotu" / "comparison.json").sources[SECOND] == "runs/compare/muon/runs.parquet"
