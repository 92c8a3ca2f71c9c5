"""Tables of runs on mixtures: what is read of them, from whatever holds them, and what refuses them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixing.planted import LARGE, Planted

import analysis.runs.readers
import scaling as sl
from analysis.errors import InputError
from analysis.mixing.reading import read_mixtures
from analysis.mixing.table import MixtureTable

LAW = Planted()
RUNS = LAW.table()
SOURCES = ("code", "docs", "web")
Change = Callable[[pd.DataFrame], pd.DataFrame]


def codes(table: MixtureTable) -> list[str]:
    return [warning.code for warning in table.warnings]


def errors(frame: Any, **options: Any) -> tuple[str, ...]:
    with pytest.raises(InputError) as refused:
        read_mixtures(frame, **options)
    return refused.value.errors


def at(row: int, **values: object) -> pd.DataFrame:
    """The table with other cells in a row, which is counted from 1."""
    frame = RUNS.astype(object)
    for name, value in values.items():
        frame.loc[row - 1, name] = value
    return frame


def test_a_table_is_its_numbers() -> None:
    table = read_mixtures(RUNS)
    points = table.fit
    assert (points.sources, points.domains) == (SOURCES, SOURCES)
    assert (len(points), len(points.tried), points.n_cells) == (26, 10, 2)
    assert points.shares.sum(axis=1) == pytest.approx(np.ones(26))
    first = RUNS[(RUNS.seed == 1)].sort_values(["mix_code", "mix_docs"]).iloc[3]
    same = np.isclose(points.losses[:, 0], first.loss_code)
    assert points.shares[same].tolist() == [pytest.approx(first[["mix_code", "mix_docs", "mix_web"]].tolist())]
    assert points.flops == pytest.approx(6 * points.params * points.tokens)
    assert np.isnan(points.unique).all()
    assert (table.targets, table.mix, table.losses, table.columns) == (None, "mix_*", "loss_*", None)
    assert codes(table) == []


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "parquet", "xlsx", "folder", "runs"])
def test_the_same_table_from_whatever_holds_it(kind: str, tmp_path: Path) -> None:
    frame, place = RUNS.assign(loss=RUNS.loss_code), tmp_path / f"runs.{kind}"
    if kind == "csv":
        frame.to_csv(place, index=False)
    elif kind in ("json", "jsonl"):
        frame.to_json(place, orient="records", lines=kind == "jsonl", double_precision=15)
    elif kind == "parquet":
        frame.to_parquet(place)
    elif kind == "xlsx":
        pytest.importorskip("openpyxl", reason="needs the extra `excel`")
        frame.to_excel(place, index=False)
    elif kind == "folder":
        place = tmp_path
        frame.to_parquet(place / "runs.parquet")
    else:
        place = sl.read_runs(frame)  # type: ignore[assignment]
    found, whole = read_mixtures(place).fit, read_mixtures(frame).fit
    assert found.losses == pytest.approx(whole.losses, rel=1e-9)
    assert found.shares == pytest.approx(whole.shares, abs=1e-9)


def test_the_columns_of_a_large_file_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    RUNS.rename(columns=lambda name: name.replace("mix_", "weight_")).to_csv(tmp_path / "runs.csv", index=False)
    whole = read_mixtures(tmp_path / "runs.csv").hash()
    monkeypatch.setattr(analysis.runs.readers, "_SMALL", 0)
    assert read_mixtures(tmp_path / "runs.csv").hash() == whole


PATTERNS = [("p_*", "loss_*"), ("weight_*", "*_loss"), ("share_*", "loss_*"), ("train_*", "*_loss")]


@pytest.mark.parametrize(("mix", "losses"), PATTERNS)
def test_other_usual_names_are_found_and_told(mix: str, losses: str) -> None:
    named = {f"mix_{name}": mix.replace("*", name) for name in SOURCES}
    named |= {f"loss_{name}": losses.replace("*", name) for name in SOURCES}
    further = {"p_value": 0.3, "train_loss": 9.0, "val_loss": 2.0, "train_tokens_seen": 3.0, "mean_loss": 5.0}
    further = {name: value for name, value in further.items() if mix != "p_*" or name != "p_value"}
    further = {name: value for name, value in further.items() if mix != "train_*" or not name.startswith("train_")}
    table = read_mixtures(RUNS.rename(columns=named).assign(**further))
    assert (table.fit.sources, table.fit.domains) == (SOURCES, SOURCES)
    assert (table.mix, table.losses) == (mix, losses)
    notes = [warning.message for warning in table.warnings if warning.code == "columns-read"]
    assert f"the shares of the sources are {mix!r}" in notes
    assert ("the losses on the domains are '*_loss'" in notes) == (losses == "*_loss")
    assert table.hash() == read_mixtures(RUNS).hash()


def test_names_are_compared_without_case_and_signs() -> None:
    named = {"mix_code": "p_pile_cc", "loss_code": "loss_Pile-CC", "mix_docs": "p_Books 3", "mix_web": "p_web"}
    table = read_mixtures(RUNS.rename(columns=named), mix="P_*")
    assert table.fit.sources == ("books_3", "pile_cc", "web")
    assert table.fit.domains == ("docs", "pile_cc", "web")


def test_words_that_all_names_share_are_left_out_where_domains_are_then_of_sources() -> None:
    named = {f"mix_{name}": f"train_the_pile_{name}" for name in SOURCES}
    frame = RUNS.rename(columns=named | {f"loss_{name}": f"metric/the_pile_{name}_val_loss" for name in SOURCES})
    table = read_mixtures(frame)
    assert (table.fit.sources, table.fit.domains) == (SOURCES, SOURCES)
    assert (table.mix, table.losses) == ("train_the_pile_*", "metric/the_pile_*_val_loss")
    assert "the losses on the domains are 'metric/the_pile_*_val_loss'" in [each.message for each in table.warnings]
    again = read_mixtures(frame, mix=table.mix, losses=table.losses)
    assert (again.hash(), again.fit.sources) == (table.hash(), SOURCES)
    alike = {f"{what}_{name}": f"{what}_web_{name}" for what in ("mix", "loss") for name in SOURCES}
    assert read_mixtures(RUNS.rename(columns=alike)).fit.sources == ("web_code", "web_docs", "web_web")


def test_errors_and_golds_are_no_domains() -> None:
    more = {"loss_stderr": 0.1, "loss_code_stderr": 0.1, "loss_gold": 1.0, "loss_train": 2.0, "loss_spikes": 3}
    table = read_mixtures(RUNS.assign(loss=RUNS.loss_code, **more), losses="loss_*")
    assert table.fit.domains == SOURCES


def test_a_domain_that_no_run_has_is_left_out_and_told() -> None:
    table = read_mixtures(RUNS.assign(loss_law=np.nan))
    assert table.fit.domains == SOURCES
    assert [w.message for w in table.warnings] == ["'loss_law' is left out: no row to fit has a loss in it"]
    assert errors(RUNS.assign(**{f"loss_{name}": np.nan for name in SOURCES}))[0].startswith("table: ")


def test_parameters_without_embeddings_are_taken_and_told() -> None:
    table = read_mixtures(RUNS.rename(columns={"params": "params_nonembedding"}))
    assert table.hash() == read_mixtures(RUNS).hash()
    assert table.columns == {"params": "params_nonembedding"}
    assert "without embeddings" in table.warnings[0].message
    both = RUNS.assign(params_nonembedding=RUNS.params / 2)
    assert read_mixtures(both).hash() == table.hash()


def test_runs_that_did_not_end_are_left_out_and_told() -> None:
    frame = RUNS.assign(status="done")
    frame.loc[2, "status"] = "running"
    frame.loc[3, "status"] = "diverged"
    frame.loc[4, ["loss_code", "loss_docs", "loss_web"]] = np.nan
    frame.loc[[2, 3], "loss_docs"] = np.nan
    frame.loc[2, "mix_code"] = 7.0
    table = read_mixtures(frame)
    assert len(table.fit) == 23
    assert sorted(codes(table)) == ["diverged-rows", "unfinished-rows"]


def test_targets_are_no_rows_to_fit() -> None:
    target = LAW.runs(LAW.shares(3, 5), (1e7, 1e8))
    table = read_mixtures(pd.concat([RUNS.assign(role="fit"), target.assign(role="target")]))
    assert table.targets is not None
    assert (len(table.fit), len(table.targets)) == (26, 3)
    assert set(table.targets.params) == {1e7}
    assert table.hash() == read_mixtures(RUNS).hash()
    bad = pd.concat([RUNS.assign(role="fit"), target.assign(role="target", mix_web=-1.0)])
    assert errors(bad)[0].startswith("table:27: mix_web is -1, which is no share")


def test_a_filter_chooses_the_rows() -> None:
    table = read_mixtures(RUNS, where="seed == 0")
    assert (len(table.fit), table.where) == (16, "seed == 0")
    assert len(read_mixtures(at(1, mix_code="lots"), where="params > 2e6").fit) == 6


def test_sizes_of_sources_follow_from_their_epochs() -> None:
    sizes = {"code": 1e6, "docs": 3e7, "web": 1e9}
    epochs = {f"epochs_{name}": RUNS[f"mix_{name}"] * RUNS.tokens / size for name, size in sizes.items()}
    found = read_mixtures(RUNS.assign(**epochs)).fit
    assert found.unique == pytest.approx(list(sizes.values()))
    assert found.proportional == pytest.approx(np.array(list(sizes.values())) / sum(sizes.values()))
    given = read_mixtures(RUNS.assign(**epochs), unique={"Docs": 5e7}).fit
    assert given.unique == pytest.approx([1e6, 5e7, 1e9])
    assert errors(RUNS, unique={"law": 1.0}) == ("`unique`: table has no source 'law'; it has code, docs, web",)


def test_replicates_differ_by_seed() -> None:
    with_seeds, without = read_mixtures(RUNS).fit, read_mixtures(RUNS.drop(columns="seed")).fit
    for points in (with_seeds, without):
        for cell, mixture in {*zip(points.cells.tolist(), points.mixtures.tolist(), strict=True)}:
            seeds = points.seeds[(points.cells == cell) & (points.mixtures == mixture)]
            assert sorted(seeds) == list(range(len(seeds)))


def checkpoints(lengths: int = 40) -> pd.DataFrame:
    """Runs of five mixtures, each measured at many lengths, beside runs that were measured at their end."""
    shares = LAW.shares(5)
    along = [LAW.runs(shares, (1e6, float(tokens)), noise=0.0) for tokens in np.linspace(1e6, 4e7, lengths)]
    return pd.concat([*along, LAW.runs(LAW.shares(9), LARGE, noise=0.0)], ignore_index=True)


def test_checkpoints_are_thinned_alike_for_all_mixtures() -> None:
    table = read_mixtures(checkpoints())
    points = table.fit
    along = points.take(points.params == 1e6)
    lengths = np.unique(along.tokens)
    assert len(along) == 5 * len(lengths) == 30
    assert (lengths[0] >= 4e6, lengths[-1]) == (True, 4e7)
    steps = np.diff(np.log(lengths))
    assert steps.max() < 2 * steps.min()
    for length in lengths:
        assert len(np.unique(along.mixtures[along.tokens == length])) == 5
    assert (points.params == LARGE[0]).sum() == 9
    [warning] = table.warnings
    assert warning.code == "correlated-rows"
    assert warning.message.startswith("200 rows lie along 5 runs at more than 6 lengths each")
    assert codes(read_mixtures(checkpoints(6))) == []


def test_runs_of_many_lengths_are_no_checkpoints() -> None:
    frame = checkpoints()
    apart = read_mixtures(frame.assign(run_id=[f"run {row}" for row in range(len(frame))]))
    assert (len(apart.fit), codes(apart)) == (len(frame), [])
    names = frame.mix_code.astype("str") + frame.params.astype("str")
    assert len(read_mixtures(frame.assign(run_id=names)).fit) == 39


def test_a_gap_in_a_checkpoint_takes_another_one() -> None:
    frame = checkpoints()
    frame.loc[(frame.tokens == 4e7) & (frame.params == 1e6), "loss_docs"] = np.nan
    kept = read_mixtures(frame).fit
    assert kept.tokens[kept.params == 1e6].max() == 3.9e7


MISSING = "missing, which other runs have"
BAD: dict[str, tuple[pd.DataFrame, str]] = {
    "share missing": (at(5, mix_docs=np.nan), "5: mix_docs is missing: write 0 where a run has none of it"),
    "share negative": (at(5, mix_docs=-0.2), "5: mix_docs is -0.2, which is no share"),
    "share no number": (at(5, mix_docs="some"), "5: mix_docs: 'some' is not a number"),
    "share endless": (at(5, mix_docs=np.inf), "5: mix_docs is inf, which is no share"),
    "sum": (at(5, mix_code=0.5, mix_docs=0.2, mix_web=0.15), "5: the shares mix_* sum to 0.85, not to 1"),
    "sum of nothing": (at(5, mix_code=0.0, mix_docs=0.0, mix_web=0.0), "5: the shares mix_* sum to 0, not to 1"),
    "loss missing": (at(9, loss_code=np.nan), f"9: loss_code is {MISSING}"),
    "another loss missing": (at(9, loss_web=None), f"9: loss_web is {MISSING}"),
    "loss negative": (at(9, loss_docs=-1.0), "9: loss_docs is -1: a loss is positive"),
    "loss zero": (at(9, loss_docs=0.0), "9: loss_docs is 0: a loss is positive"),
    "loss no number": (at(9, loss_docs="low"), "9: loss_docs: 'low' is not a number"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_cell_is_one_line(name: str, tmp_path: Path) -> None:
    frame, message = BAD[name]
    assert errors(frame) == (f"table:{message}",)
    frame.to_csv(tmp_path / "runs.csv", index=False)
    row = int(message.split(":")[0])
    line = message.replace(f"{row}:", f"{row + 1}:", 1)  # of the file, whose first line has the names
    assert errors(tmp_path / "runs.csv") == (f"{tmp_path / 'runs.csv'}:{line}",)


def test_the_loss_that_stands_in_may_be_the_one_that_is_missing() -> None:
    frame = at(9, loss_code=np.nan)
    frame.loc[3, "loss_docs"] = np.nan
    frame.loc[5, "loss_web"] = np.nan
    assert sorted(errors(frame)) == sorted(
        f"table:{row}: loss_{name} is {MISSING}" for row, name in ((9, "code"), (4, "docs"), (6, "web"))
    )


def test_many_errors_are_ten_lines_and_a_count() -> None:
    found = errors(RUNS.assign(mix_code=RUNS.mix_code + 0.5))
    assert len(found) == 11
    assert found[-1] == "table: and 16 more errors"


def test_percent_is_told_from_shares_by_all_rows() -> None:
    percent = RUNS.assign(**{f"mix_{name}": 100 * RUNS[f"mix_{name}"] for name in SOURCES})
    assert read_mixtures(percent).hash() == read_mixtures(RUNS).hash()
    percent.loc[0, ["mix_code", "mix_docs", "mix_web"]] = [0.2, 0.3, 0.5]
    assert errors(percent) == ("table:1: the shares mix_* sum to 1, not to 100",)


def test_rounded_shares_are_made_whole() -> None:
    rounded = RUNS.assign(**{f"mix_{name}": RUNS[f"mix_{name}"].round(2) for name in SOURCES})
    shares = read_mixtures(rounded).fit.shares
    assert shares.sum(axis=1) == pytest.approx(np.ones(26), abs=1e-9)


def test_a_table_without_the_columns_tells_near_ones() -> None:
    [line] = errors(RUNS.drop(columns=[f"mix_{name}" for name in SOURCES]).assign(mixture=1))
    assert line.startswith("table: no column 'mix_*' with the share of a source; near it: mixture; choose with `mix`")
    [line] = errors(RUNS.drop(columns=[f"loss_{name}" for name in SOURCES]).assign(Loss=1.0))
    assert line.startswith("table: no column 'loss_*' with the loss on a domain; near it: Loss; choose with `losses`")
    [line] = errors(RUNS, mix="weights_*")
    assert "no column 'weights_*'" in line


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (RUNS, {"mix": "mix_"}, "`mix` 'mix_': a pattern has one *"),
        (RUNS, {"losses": "*_*"}, "`losses` '*_*': a pattern has one *"),
        (RUNS.drop(columns=["mix_docs", "mix_web"]), {}, "table: 'mix_code' is the only column of 'mix_*'"),
        (RUNS.assign(mix_Code=0.1), {}, "columns 'mix_code' and 'mix_Code' are both of 'code'"),
        (RUNS.drop(columns="tokens"), {}, "table: no column 'tokens'"),
        (RUNS, {"where": "params > 1e9"}, "no finished row to fit meets `where`"),
        (RUNS.assign(tokenizer=["bpe", "bytes"] * 13), {}, "table: runs of tokenizers bpe, bytes"),
    ],
)
def test_a_bad_table_is_one_line(frame: pd.DataFrame, options: dict[str, Any], message: str) -> None:
    [line] = errors(frame, **options)
    assert message in line


def test_losses_on_other_texts_are_refused() -> None:
    frame = RUNS.assign(held_out_sha256_code="aa", held_out_sha256_docs="bb")
    assert read_mixtures(frame).held_out == {"code": "aa", "docs": "bb"}
    frame.loc[7, "held_out_sha256_docs"] = "cc"
    [line] = errors(frame)
    assert line.startswith("table:8: held_out_sha256_docs is another one than in row 1")


def test_a_table_that_is_read_already_takes_no_filter() -> None:
    table = sl.read_runs(RUNS.assign(loss=RUNS.loss_code))
    assert read_mixtures(table).hash() == read_mixtures(RUNS).hash()
    assert "read already" in errors(table, where="seed == 0")[0]


@settings(max_examples=20)
@given(st.randoms(use_true_random=False), st.booleans(), st.sampled_from(["mix_*", "weight_*"]))
def test_the_order_of_rows_and_columns_and_the_unit_do_not_matter(random: Any, percent: bool, mix: str) -> None:
    frame = RUNS.assign(**{f"mix_{name}": (100 if percent else 1) * RUNS[f"mix_{name}"] for name in SOURCES})
    rows, columns = list(range(len(frame))), list(frame.columns)
    random.shuffle(rows)
    random.shuffle(columns)
    changed = frame.iloc[rows][columns].rename(columns={f"mix_{n}": mix.replace("*", n) for n in SOURCES})
    found, whole = read_mixtures(changed, mix=mix).fit, read_mixtures(RUNS).fit
    for name in ("shares", "losses", "params", "tokens", "flops", "seeds"):
        assert getattr(found, name).tolist() == getattr(whole, name).tolist()
