"""Sweeps on two corpora that are evaluated on common texts, trained here: their tables, and what reads them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.report.tables import runs
from analysis.runs.schema import NATS
from analysis.runs.table import RunTable, read_table
from scaling.llama.sharding import PLAIN
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.evaluation import load_sweep_text
from scaling.sweep.plan.expand import expand
from scaling.sweep.spec.sweep_file import parse_sweep
from scaling.sweep.workers.job_training import JobTrainer
from scaling.sweep.workers.worker import Worker
from scaling.train import loop
from scaling.train.evaluate import DIVERGED

SWEEP = """\
name: tiny
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
evaluate: {speech: sotu, prose: speech, program: code}
recipe: {batch_tokens: 64, learning_rate: 3e-3}
fit:
  - {sizes: [{width: 8, depth: 1}], flops: [2e8, 4e8], trunk: true}
target: {size: {width: 8, depth: 1}, flops: 1e9}
eval_tokens: 4096
"""
COLUMNS = [f"{column}{{}}" for column in ("loss", "bits_per_byte", "held_out_sha256")]


def train(path: Path, *overrides: str) -> SweepFolder:
    spec, sweep = parse_sweep(SWEEP, "tiny.yaml", overrides), SweepFolder(path)
    text = load_sweep_text(spec)
    sweep.prepare(spec.canonical(), SWEEP, expand(spec, text))
    Worker(sweep, JobTrainer(sweep, text, PLAIN)).work("fit")
    return sweep


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SweepFolder]:
    return {corpus: train(tmp_path_factory.mktemp("runs") / corpus, f"corpus={corpus}") for corpus in ("sotu", "code")}


def test_losses_on_a_text_are_the_same_under_every_name(sweeps: dict[str, SweepFolder]) -> None:
    speech, code = (sweep.table() for sweep in sweeps.values())
    assert list(speech.columns) == list(code.columns)
    own = [column.format("") for column in (*COLUMNS, "loss{}_stderr")]
    for table, names in ((speech, ("_speech", "_prose")), (code, ("_program",))):
        for name in names:  # the run's own held-out text under another name
            columns = [column.format(name) for column in (*COLUMNS, "loss{}_stderr")]
            assert (table[columns].to_numpy() == table[own].to_numpy()).all()
    # Each is better on what it was trained on.
    assert (speech.loss_program > code.loss_program).all()
    assert (code.loss_speech > speech.loss_speech).all()
    assert np.allclose(code.bits_per_byte_speech / code.loss_speech, speech.bits_per_byte / speech.loss)


def test_one_hash_a_text_whatever_a_run_is_trained_on(sweeps: dict[str, SweepFolder]) -> None:
    speech, code = (sweep.table() for sweep in sweeps.values())
    for name in ("_speech", "_prose", "_program"):
        assert len(set(pd.concat([speech, code])[f"held_out_sha256{name}"])) == 1
    assert speech.held_out_sha256.iloc[0] == code.held_out_sha256_speech.iloc[0] != code.held_out_sha256.iloc[0]


def test_a_sweep_that_evaluates_nothing_more_trains_the_same(sweeps: dict[str, SweepFolder], tmp_path: Path) -> None:
    spec = SWEEP.replace("evaluate: {speech: sotu, prose: speech, program: code}\n", "")
    plain = parse_sweep(spec, "tiny.yaml", ())
    text, sweep = load_sweep_text(plain), SweepFolder(tmp_path / "plain")
    sweep.prepare(plain.canonical(), spec, expand(plain, text))
    Worker(sweep, JobTrainer(sweep, text, PLAIN)).work("fit")
    found, with_sets = sweep.table(), sweeps["sotu"].table()
    same = [name for name in found if name not in ("run_id", "trunk_id", "wall_s", "mfu")]
    pd.testing.assert_frame_equal(found[same], with_sets[same], check_exact=True)
    names, columns = ("prose", "program", "speech"), ("loss_{}", "loss_{}_stderr", "bits_per_byte_{}")
    assert {name for name in with_sets if name not in found} == {
        column.format(name) for name in names for column in (*columns, "held_out_sha256_{}")
    }


def test_a_fit_takes_the_loss_by_name_without_a_warning(sweeps: dict[str, SweepFolder], tmp_path: Path) -> None:
    table = sweeps["sotu"].table()
    table.to_csv(tmp_path / "runs.csv", index=False)
    table.to_parquet(tmp_path / "runs.parquet")
    for path in (tmp_path / "runs.csv", tmp_path):
        read = read_table(path, columns={"loss": "loss_program", "loss_stderr": "loss_program_stderr"})
        assert sorted(read.frame.loss) == sorted(table.loss_program)
        assert sorted(read.frame.loss_stderr) == sorted(table.loss_program_stderr)
        assert read.unit == NATS
        assert not read.notes
        assert read_table(path).frame.held_out_sha256.tolist() == table.held_out_sha256.tolist()
    assert runs(read_table(tmp_path).frame).head[-3:] == ("loss_program", "loss_prose", "loss_speech")


def test_runs_that_ended_before_there_were_hashes_have_a_table(tmp_path: Path) -> None:
    sweep = train(tmp_path / "old", "evaluate={a: sotu}")
    before = RunTable.from_frame(sweep.table(), "old")
    new = ("held_out_sha256", "evaluation_sets")
    for run in sweep.ended()[:1]:
        run.write_status({key: value for key, value in run.status().items() if key not in new})
    mixed = sweep.table()
    assert mixed.held_out_sha256.isna().tolist() == [True, False]
    assert RunTable.from_frame(mixed, "old").hash() == before.hash()
    for run in sweep.ended():
        run.write_status({key: value for key, value in run.status().items() if key not in new})
    old = sweep.table()
    assert not [name for name in old if name.startswith(("held_out", "loss_a"))]
    assert RunTable.from_frame(old, "old").hash() == before.hash()


def test_a_run_that_diverges_has_empty_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "evaluate_run", lambda *_: DIVERGED)
    table = train(tmp_path / "diverged", "evaluate={a: sotu}").table()
    assert (table.status == "diverged").all()
    assert table[["loss", "loss_a", "loss_a_stderr", "bits_per_byte_a"]].isna().all(axis=None)
    assert table.held_out_sha256_a.notna().all()
