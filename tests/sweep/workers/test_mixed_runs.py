"""Sweeps on a corpus with several sources, trained here: their tables, with mixtures and without."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.diagnostics.checks import check_table
from analysis.report.tables import runs
from analysis.runs.schema import NATS
from analysis.runs.table import RunTable, read_table
from scaling.data.build import build
from scaling.data.spec import BuildSpec
from scaling.llama.sharding import PLAIN
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.corpus_sources import Sources
from scaling.sweep.plan.corpus_text import SweepText
from scaling.sweep.plan.evaluation import load_sweep_text
from scaling.sweep.plan.expand import PlannedRun, expand
from scaling.sweep.spec.sweep_file import parse_sweep
from scaling.sweep.workers.job_training import JobTrainer
from scaling.sweep.workers.worker import Worker
from scaling.train import loop
from scaling.train.evaluate import DIVERGED

SWEEP = """\
name: tiny
model: {seq_len: 32, heads: 2, depth: 1}
corpus: {names: [speech, code]}
recipe: {batch_tokens: 64, learning_rate: 3e-3}
fit:
  - {sizes: [{width: 8, depth: 1}], flops: [4e8, 6e8, 8e8]}
target: {size: {width: 8, depth: 1}, flops: 1e9}
eval_tokens: 4096
"""
Mixtures = Sequence[dict[str, float] | None]
MIXTURES: Mixtures = (None, {"speech": 0.95, "code": 0.05}, {"speech": 0.05, "code": 0.95})
PER_SOURCE = ("mix_{}", "epochs_{}", "loss_{}", "loss_{}_stderr", "bits_per_byte_{}", "held_out_sha256_{}")


def plan(text: SweepText, mixtures: Mixtures, *overrides: str) -> list[PlannedRun]:
    """The runs of the sweep file, each on each of the mixtures."""
    return [
        PlannedRun(replace(run.config, data=replace(run.config.data, mixture=mixture)), run.role)
        for run in expand(parse_sweep(SWEEP, "tiny.yaml", overrides), text)
        for mixture in mixtures
    ]


def train(path: Path, mixtures: Mixtures = (None,), *overrides: str, known: bool = True) -> SweepFolder:
    """A trained sweep; as of before sources were measured where they are not ``known``."""
    spec, sweep = parse_sweep(SWEEP, "tiny.yaml", overrides), SweepFolder(path)
    text = load_sweep_text(spec)
    text = text if known else replace(text, by_source=Sources())
    sweep.prepare(spec.canonical(), SWEEP, plan(text, mixtures, *overrides))
    Worker(sweep, JobTrainer(sweep, text, PLAIN)).work("fit")
    return sweep


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    return train(tmp_path_factory.mktemp("mixed") / "mixed", MIXTURES)


def by_mixture(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Rows of the mixtures, in the order of ``MIXTURES``."""
    usual, speech = ~table.corpus.str.contains("@"), table.mix_speech > 0.9
    return [table[usual], table[speech], table[~usual & ~speech]]


def test_a_source_is_learnt_by_its_share(mixed: SweepFolder) -> None:
    usual, speech, code = (part.sort_values("tokens").reset_index() for part in by_mixture(mixed.table()))
    assert len(usual) == len(speech) == len(code) == 3
    assert (speech.loss_speech < usual.loss_speech - 0.02).all()
    assert (code.loss_code < usual.loss_code - 0.02).all()
    assert (code.loss_speech > usual.loss_speech + 0.1).all()


def test_shares_and_passes_are_columns(mixed: SweepFolder) -> None:
    table = mixed.table()
    assert np.allclose(table.mix_speech + table.mix_code, 1)
    usual, speech, _ = by_mixture(table)
    assert speech.mix_code.tolist() == [0.05] * 3
    assert np.allclose(usual.epochs_speech, usual.epochs_code, rtol=1e-3)
    assert np.allclose(usual.epochs_speech, usual.epochs, rtol=1e-3)
    ratio = speech.epochs_speech / usual.epochs_speech.to_numpy()
    assert np.allclose(ratio, 0.95 / usual.mix_speech.to_numpy(), rtol=1e-3)
    assert (speech.unique_tokens == speech.tokens).all()
    assert (speech.epochs == 1).all()


def test_every_run_is_measured_on_the_same_text(mixed: SweepFolder) -> None:
    table = mixed.table()
    hashes = [set(table[f"held_out_sha256{name}"]) for name in ("", "_speech", "_code")]
    assert [len(found) for found in hashes] == [1, 1, 1]
    assert len(set.union(*hashes)) == 3
    assert np.allclose(table.bits_per_byte_code / table.loss_code, table.bits_per_byte_code[0] / table.loss_code[0])


def test_no_two_mixtures_are_taken_for_one_corpus(mixed: SweepFolder, tmp_path: Path) -> None:
    table = mixed.table()
    assert table.corpus.nunique() == 3
    assert table.corpus.str.startswith(by_mixture(table)[0].corpus.iloc[0]).all()
    table.to_csv(tmp_path / "runs.csv", index=False)
    codes = {found.code for found in check_table(read_table(tmp_path / "runs.csv", columns={"loss": "loss_code"}))}
    assert "pooled-corpora" in codes
    assert "untuned-grid" not in codes
    assert "mixed-conventions" not in codes
    one = check_table(read_table(tmp_path / "runs.csv", where="mix_speech > 0.9"))
    assert "pooled-corpora" not in {found.code for found in one}


def test_a_table_with_sources_is_read_without_a_note(mixed: SweepFolder, tmp_path: Path) -> None:
    table = mixed.table()
    table.to_csv(tmp_path / "runs.csv", index=False)
    table.to_parquet(tmp_path / "runs.parquet")
    for path in (tmp_path / "runs.csv", tmp_path):
        read = read_table(path)
        assert (read.unit, read.notes) == (NATS, ())
        assert sorted(read.frame.loss) == sorted(table.loss)
        named = read_table(path, columns={"loss": "loss_code", "loss_stderr": "loss_code_stderr"})
        assert sorted(named.frame.loss) == sorted(table.loss_code)
        assert not named.notes
    assert {"loss_speech", "loss_code"} <= set(runs(read_table(tmp_path).frame).head)


def test_without_a_mixture_ids_and_losses_are_what_they_were(mixed: SweepFolder, tmp_path: Path) -> None:
    before = train(tmp_path / "before", known=False).table()
    usual = by_mixture(mixed.table())[0]
    assert sorted(usual.run_id) == sorted(before.run_id)
    usual, before = (part.set_index("run_id").sort_index() for part in (usual, before))
    same = [name for name in before if name not in ("wall_s", "mfu")]
    pd.testing.assert_frame_equal(usual[same], before[same], check_exact=True)
    assert {name for name in usual if name not in before} == {
        column.format(name) for name in ("speech", "code") for column in PER_SOURCE
    }


def test_statuses_of_before_have_a_table(mixed: SweepFolder) -> None:
    """Of runs that ended before sources were measured, beside runs that ended since."""
    table = mixed.table()
    statuses = {run.path.name: run.status() for run in mixed.ended()}
    new = ("sources", "evaluation_sets")
    try:
        usual = by_mixture(table)[0].run_id.tolist()
        for run in mixed.ended():
            if run.path.name in usual:
                run.write_status({key: value for key, value in run.status().items() if key not in new})
        found = mixed.table()
        assert found.mix_code.isna().sum() == found.loss_code.isna().sum() == 3
        assert RunTable.from_frame(found, "x").hash() == RunTable.from_frame(table, "x").hash()
    finally:
        for run in mixed.ended():
            run.write_status(statuses[run.path.name])


def test_runs_of_a_mixture_share_a_trunk_and_see_their_mixture(tmp_path: Path) -> None:
    trunk = "fit=[{sizes: [{width: 8, depth: 1}], flops: [2e8, 4e8], trunk: true}]"
    table = train(tmp_path / "trunk", MIXTURES, trunk, "schedule=wsd").table()
    assert table.groupby("corpus").trunk_id.nunique().tolist() == [1, 1, 1]
    assert table.trunk_id.nunique() == 3
    _, speech, code = by_mixture(table)
    assert speech.loss_speech.max() < code.loss_speech.min()


def test_text_that_repeats_is_counted_by_source(tmp_path: Path) -> None:
    sources = []
    for name, count in (("much", 400), ("little", 60)):
        texts = [{"text": f"{name} {i} " + f"{i * i} and so on " * (i % 5)} for i in range(count)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
        sources.append({"path": str(tmp_path / f"{name}.jsonl"), "name": name})
    spec = {"name": "made", "tokenizer": "bytes", "held_out": 0.2, "sources": sources}
    build(BuildSpec.model_validate(spec), tmp_path / "built", 1, lambda _: None)
    corpus = f"corpus={{path: {tmp_path / 'built'}, epochs: 1000}}"
    one = "fit=[{sizes: [{width: 8, depth: 1}], flops: 2e8}]"
    sweep = train(tmp_path / "sweep", [{"much": 0.4, "little": 0.6}], corpus, one)
    (row,) = sweep.table().itertuples()
    text = load_sweep_text(parse_sweep(SWEEP, "tiny.yaml", [corpus, one]))
    has = {name: (len(tokens) // 32 - 1) * 32 for name, tokens in text.sources.items()}
    assert row.epochs_little == pytest.approx(0.6 * row.tokens / has["little"])
    assert row.epochs_much == pytest.approx(0.4 * row.tokens / has["much"])
    assert row.epochs_much < 1 < row.epochs_little
    assert row.unique_tokens == pytest.approx(has["little"] + 0.4 * row.tokens, abs=1)
    assert row.epochs == pytest.approx(row.tokens / row.unique_tokens)


def test_a_mixture_that_diverges_has_shares_and_no_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "evaluate_run", lambda *_: DIVERGED)
    one = "fit=[{sizes: [{width: 8, depth: 1}], flops: 2e8}]"
    table = train(tmp_path / "diverged", MIXTURES[1:], one).table()
    assert (table.status == "diverged").all()
    assert table[["loss", "loss_code", "loss_speech_stderr", "bits_per_byte_code"]].isna().all(axis=None)
    assert sorted(table.mix_code) == [0.05, 0.95]
    assert table.held_out_sha256_code.notna().all()
