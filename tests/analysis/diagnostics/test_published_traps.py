"""Warnings on published tables: each where it is due, and none on the clean ones."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from messages import said

from analysis.diagnostics import checks, fit_checks
from analysis.diagnostics.mixed_conventions import disagreements
from analysis.fitting.fit import fit
from analysis.runs.table import RunTable, read_table


def test_tokens_times_params_beyond_int64(published: Path) -> None:
    raw = pd.read_csv(published / "steplaw_dense_best.csv")
    product = 6 * raw["n_params"] * raw["tokens"]
    assert (product != raw["flops"]).any()  # int64 wraps around
    table = RunTable.from_frame(raw.rename(columns={"n_params": "params"}).drop(columns="flops"))
    np.testing.assert_allclose(table.fit["flops"], raw["flops"].sort_values(), rtol=1e-12)


@pytest.mark.parametrize("name", ["train_data", "dataset", "corpus", "data"])
def test_pooled_training_sets(published: Path, tmp_path: Path, name: str) -> None:
    raw = pd.read_csv(published / "gadre2024.csv").rename(columns={"train_data": name})
    raw.to_csv(tmp_path / "t.csv", index=False)
    message = said(checks.check_table(read_table(tmp_path / "t.csv")), "pooled-corpora")
    assert message.startswith("104 runs of 3 corpus values share one fit (c4_original, rpj, rw_original)")
    assert message.endswith("""choose one, such as --where "corpus == 'rpj'\"""")


def test_training_sets_under_a_name_of_their_own(published: Path, tmp_path: Path) -> None:
    raw = pd.read_csv(published / "gadre2024.csv").rename(columns={"train_data": "diet"})
    raw.to_csv(tmp_path / "t.csv", index=False)
    message = said(checks.check_table(read_table(tmp_path / "t.csv")), "mixed-conventions")
    assert message.startswith("diet (c4_original, rpj, rw_original) splits the runs into groups whose losses")
    assert message.endswith("""--where "diet == 'rpj'\"""")


@pytest.mark.parametrize(
    ("file", "cells", "varied"),
    [
        ("misfitting2025_final", "80 of 81 (params, tokens)", "several lr:"),
        ("steplaw_dense", "17 of 17 (params, tokens)", "several lr and batch_tokens:"),
    ],
)
def test_learning_rate_sweeps(published: Path, file: str, cells: str, varied: str) -> None:
    table = read_table(published / f"{file}.csv")
    message = said(checks.check_table(table), "untuned-grid")
    assert message.startswith(cells)
    assert varied in message
    assert message.endswith("--best")
    assert checks.check_table(table.best()) == ()


def test_settings_that_are_swept_under_a_name_of_their_own(published: Path, tmp_path: Path) -> None:
    raw = pd.read_csv(published / "misfitting2025_final.csv").rename(columns={"lr": "eta"})
    raw.to_csv(tmp_path / "t.csv", index=False)
    table = read_table(tmp_path / "t.csv")
    assert said(checks.check_table(table), "untuned-grid").startswith("runs of several eta lie 2")
    assert checks.check_table(table.best()) == ()


def test_diverged_rows_without_a_status(published: Path) -> None:
    table = read_table(published / "steplaw_dense.csv")
    message = said(fit(table, bootstrap=0).warnings, "diverged-rows")
    failed = int(message.split()[0])
    assert (table.fit["loss"] > 6).sum() <= failed <= 200  # 181 rows of losses above 4, where the others end at 2.7
    assert "--best" in message
    assert "diverged-rows" not in {warning.code for warning in fit(table.best(), bootstrap=0).warnings}


@pytest.mark.parametrize(("file", "highest"), [("misfitting2025_final", 6.38), ("gadre2024", 5.97)])
def test_tiny_runs_are_not_diverged_for_their_loss(published: Path, file: str, highest: float) -> None:
    where = "train_data == 'c4_original'" if file == "gadre2024" else None
    table = read_table(published / f"{file}.csv", where=where)
    assert table.fit["loss"].max() == pytest.approx(highest, abs=0.01)
    # At (Mis)fitting's smallest budgets every learning rate ends there: 6.2, on the surface of the other runs.
    assert "diverged-rows" not in {warning.code for warning in fit(table, bootstrap=0).warnings}


def test_points_that_were_excluded_for_a_reason(published: Path) -> None:
    everything = fit(read_table(published / "epoch_chinchilla.csv"), bootstrap=0)
    assert said(everything.warnings, "diverged-rows").startswith("2 runs lost far more than the fit expects")
    kept = fit(read_table(published / "epoch_chinchilla.csv", where="excluded_by_epoch == 0"), bootstrap=0)
    assert kept.warnings == ()


def test_repeated_data(published: Path) -> None:
    table = read_table(published / "muennighoff2023_paper182.csv")
    message = said(checks.check_table(table), "repeated-data")
    assert message.startswith("153 of 182 runs repeat their data (up to 9e+03 epochs)")
    assert message.endswith('--where "epochs <= 1"')
    assert checks.check_table(table, needs=("params", "tokens", "unique_tokens")) == ()
    fresh = read_table(published / "muennighoff2023_paper182.csv", where="epochs <= 1")
    assert checks.check_table(fresh) == ()


def test_runs_that_are_listed_twice(published: Path) -> None:
    found = checks.check_table(read_table(published / "misfitting2025_final.csv"))
    assert [w.message for w in found if w.code == "correlated-rows"] == [
        "8 rows repeat another row exactly and count twice: drop them",
        "261 rows come from 240 runs: rows of one are correlated, so whole ones are resampled",
    ]


PORIAN = "porian2024_isoflop.csv"
OLD = "dataset == 'rw' and hparams == 'base' and warmup == 'long'"


@pytest.mark.parametrize(
    ("where", "columns"),
    [
        (None, {"stage", "count", "decay", "warmup", "loss_kind"}),
        (OLD, {"stage", "count"}),  # Kaplan's count of parameters beside the standard one
        ("dataset == 'rw' and hparams == 'base' and count == 'standard' and decay == 'kaplan'", {"warmup"}),
    ],
)
def test_conventions_pooled(published: Path, where: str | None, columns: set[str]) -> None:
    table = read_table(published / PORIAN, where=where)
    rows = table.fit
    found = {each.column: each.gap for each in disagreements(rows, [c for c in rows if rows[c].nunique() < 20])}
    assert columns <= set(found)
    message = said(checks.check_table(table), "mixed-conventions")
    assert "splits the runs into groups whose losses at the same FLOPs and params lie" in message
    assert "--where" in message


@pytest.mark.parametrize(
    ("file", "where"),
    [
        (PORIAN, "stage == 'main0:rw/base/warmup-long/kaplan/count-kaplan/train'"),
        (PORIAN, "stage == 'main4:rw/tuned/warmup-short/const/count-standard/val'"),
        ("gadre2024.csv", "train_data == 'c4_original'"),
        ("gadre2024.csv", "train_data == 'rpj'"),
        ("gadre2024.csv", "train_data == 'rw_original'"),
        ("llama3_isoflop.csv", None),  # tokens are C / 6N: harmless over several budgets
        ("epoch_chinchilla.csv", "excluded_by_epoch == 0"),
        ("steplaw_dense_best.csv", None),
    ],
)
def test_clean_published_tables_give_no_warning(published: Path, file: str, where: str | None) -> None:
    table = read_table(published / file, where=where)
    found = [*checks.check_table(table), *fit_checks.check_design(table.arrays, 5)]
    assert found == []


def test_one_budget_cannot_tell_params_from_tokens(published: Path) -> None:
    one = read_table(published / "llama3_isoflop.csv", where="1e20 <= flops < 1.5e20")
    message = said(list(fit_checks.check_design(one.arrays, 5)), "collinear")
    assert message.startswith("all runs are of one FLOP budget")
