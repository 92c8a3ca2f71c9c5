"""``scaling data build --as``: a folder of ids that is whole or not there, and what reads it back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inprocess import scaling
from posttraining import chat_tokenizers

from scaling.data.answers.examples import load_examples
from scaling.data.answers.preferences import load_pairs
from scaling.data.answers.prompts import load_prompts
from scaling.data.answers.spec import AnswersSpec
from scaling.data.tokenizer import BYTES
from scaling.errors import InputError


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def example(at: int) -> dict[str, Any]:
    turns = [("user", f"fox {at}"), ("assistant", "the dog"), ("user", "which"), ("assistant", f"dog {at * 7}")]
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def pair(at: int) -> dict[str, Any]:
    row = {"prompt": f"fox {at}", "chosen": f"dog {at}", "rejected": "no"}
    return row | ({"strength": at % 4, "safe": at % 2 == 0})


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    return lines(tmp_path / "examples.jsonl", [example(at) for at in range(30)])


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return lines(tmp_path / "pairs.jsonl", [pair(at) for at in range(30)])


def built(*arguments: object) -> dict[str, Any]:
    result = scaling("data", "build", *arguments, "--json")
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_examples_come_back(examples: Path, tmp_path: Path) -> None:
    model = chat_tokenizers.byte_level(tmp_path / "model")
    tokenizer = chat_tokenizers.opened(model)
    options = ("--tokenizer", model, "--held-out", "30%", "--seq-len", 64)
    result = built(examples, "--as", "examples", *options, "--out", tmp_path / "out")
    direct = load_examples(AnswersSpec(path=str(examples), held_out=0.3), tokenizer, 64, model)
    assert result["rows"] == {"train": len(direct.train), "held_out": len(direct.held_out)}
    assert result["tokenizer"]["hash"] == tokenizer.hash
    assert result["sha256"] == direct.sha256
    assert result["answer_tokens"]["train"] == sum(int(row.counted.sum()) for row in direct.train)
    read = load_examples(AnswersSpec(path=str(tmp_path / "out")), tokenizer, 64)
    assert (read.sha256, read.dropped, read.end) == (direct.sha256, direct.dropped, direct.end)
    for one, other in zip(read.train, direct.train, strict=True):
        assert one.ids.tolist() == other.ids.tolist()
        assert one.counted.tolist() == other.counted.tolist()
    spec = AnswersSpec(path=str(examples), held_out=0.3)
    prompts = [load_prompts(made, tokenizer, 64, model) for made in (spec, AnswersSpec(path=str(tmp_path / "out")))]
    assert prompts[0].sha256 == prompts[1].sha256


def test_pairs_come_back_with_ratings(pairs: Path, tmp_path: Path) -> None:
    options = ("--held-out", "30%", "--margin", "strength", "--safety", "safe")
    result = built(pairs, "--as", "preferences", *options, "--out", tmp_path / "out")
    assert (result["kind"], result["template"], result["seq_len"]) == ("preferences", "bytes", None)
    spec = AnswersSpec(path=str(pairs), held_out=0.3, margin="strength", safety="safe")
    direct, read = load_pairs(spec, BYTES, 64), load_pairs(AnswersSpec(path=str(tmp_path / "out")), BYTES, 64)
    assert direct.sha256 == read.sha256 == result["sha256"]
    assert [row.rating for row in read.train] == [row.rating for row in direct.train]
    assert [row.safety for row in read.train] == [row.safety for row in direct.train]
    built(pairs, "--as", "preferences", "--held-out", "30%", "--out", tmp_path / "unrated")
    unrated = load_pairs(AnswersSpec(path=str(tmp_path / "unrated")), BYTES, 64)
    assert {row.rating for row in unrated.train} == {None}


def test_a_shorter_context_counts_what_it_leaves_out(tmp_path: Path) -> None:
    more = lines(tmp_path / "more.jsonl", [*(pair(at) for at in range(30)), {**pair(99), "chosen": "x" * 99}])
    built(more, "--as", "preferences", "--seq-len", 64, "--held-out", "30%", "--out", tmp_path / "out")
    found = load_pairs(AnswersSpec(path=str(tmp_path / "out")), BYTES, 14)
    assert found.dropped == {"longer than the context": 1 + 20}
    assert len(found.train) + len(found.held_out) == 10


def test_the_same_again_is_there_already(pairs: Path, tmp_path: Path) -> None:
    arguments = (pairs, "--as", "preferences", "--held-out", "30%", "--out", tmp_path / "out")
    assert built(*arguments) == built(*arguments)
    refused = scaling("data", "build", pairs, "--as", "preferences", "--held-out", "20%", "--out", tmp_path / "out")
    assert refused.returncode == 2
    assert "is there already, and is not these rows; remove it, or choose another --out" in refused.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "answers.json", "held_out.parquet", "train.parquet"
    ]  # fmt: skip


def test_a_data_file(examples: Path, tmp_path: Path) -> None:
    file = tmp_path / "chat.yaml"
    file.write_text(f"path: {examples}\nheld_out: 30%\ntokenizer: bytes\nseq_len: 64\ntruncate: true\n")
    result = built(file, "--as", "examples", "--out", tmp_path / "out")
    assert result["source"]["truncate"]
    refused = scaling("data", "build", file, "--as", "examples", "--template", "bytes", "--out", tmp_path / "b")
    assert "takes no --template beside it" in refused.stderr
    file.write_text(f"path: {examples}\nheld_out: 7\ncolums: {{}}\n")
    refused = scaling("data", "build", file, "--as", "examples", "--out", tmp_path / "b")
    assert refused.returncode == 2
    assert [line.split(": ")[1] for line in refused.stderr.splitlines()] == [f"{file}:2:11", f"{file}:3:1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--as", "examples"), "pairs.jsonl:1: no messages, or completion and prompt; it has chosen, "),
        (("--as", "preferences", "--text", "x"), "--text: does not apply to prompts and answers"),
        (("--as", "preferences", "--workers", "2"), "--workers: does not apply"),
        (("--as", "preferences", "--tokenizer", "bpe:300"), "--tokenizer: answers are for a model that is there"),
        (("--as", "preferences", "--tokenizer", "nothing"), "tokenizer nothing: no such file"),
        (("--as", "preferences", "--template", "chatml"), "--template: chatml writes '<|im_start|>'"),
        (("--as", "preferences", "--held-out", "200%"), "--held_out: must be a fraction"),
        (("--as", "preferences", "--seq-len", "x"), "--seq_len: "),
        (("--as", "preferences", "--seq-len", "4"), "no row is left; left out: 30 prompt longer than the context"),
        (("--margin", "strength"), "--margin: applies to prompts and answers: give --as"),
        (("--as", "preferences", "other.jsonl"), "other.jsonl: a second source"),
    ],
    ids=["columns", "text", "workers", "bpe", "missing", "template", "share", "length", "short", "alone", "several"],
)
@pytest.mark.usefixtures("pairs")
def test_what_is_refused_leaves_nothing(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    result = scaling("data", "build", "pairs.jsonl", "--out", "out", *arguments)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert said.replace("_", "-") in result.stderr.replace("_", "-")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_errors_leave_nothing_and_skip_counts_them(tmp_path: Path) -> None:
    file = lines(tmp_path / "rows.jsonl", [*(pair(at) for at in range(30)), {**pair(40), "chosen": ""}])
    arguments = (file, "--as", "preferences", "--held-out", "30%", "--out", tmp_path / "out")
    refused = scaling("data", "build", *arguments)
    assert refused.stderr == f"error: {file}:31: 'chosen' is empty\n"
    assert list(tmp_path.iterdir()) == [file]
    assert built(*arguments, "--on-error", "skip")["dropped"] == {"'chosen' is empty": 1}


def test_inspect(pairs: Path, examples: Path, tmp_path: Path) -> None:
    for file, kind in ((pairs, "preferences"), (examples, "examples")):
        out = tmp_path / kind
        built(file, "--as", kind, "--held-out", "30%", "--out", out)
        shown = scaling("data", "inspect", out, "--verify", "--documents", "3")
        assert shown.returncode == 0, shown.stderr
        assert f"{kind}: bytes tokens, template bytes" in shown.stdout
        assert shown.stdout.count("prompt: ") == 3
        assert "every row is as it was written" in shown.stdout
        found = json.loads(scaling("data", "inspect", out, "--documents", "1", "--json").stdout)
        assert len(found["documents"]) == 1


def test_folders_of_another_kind_model_or_content_are_refused(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    built(pairs, "--as", "preferences", "--held-out", "30%", "--out", out)
    with pytest.raises(InputError, match="out: has preferences, not examples"):
        load_examples(AnswersSpec(path=str(out)), BYTES, 64)
    other = chat_tokenizers.opened(chat_tokenizers.byte_level(tmp_path / "model"))
    with pytest.raises(InputError, match="made by the tokenizer bytes, and the model's is model"):
        load_pairs(AnswersSpec(path=str(out)), other, 64)
    with pytest.raises(InputError, match="margin does not apply to rows that are ids already"):
        load_pairs(AnswersSpec(path=str(out), margin="strength"), BYTES, 64)
    written = AnswersSpec(path=str(out)).model_dump(mode="json")
    load_pairs(AnswersSpec.model_validate(written), BYTES, 64)  # as of a run's config, with every default
    for split, others in (("train", "held_out"), ("held_out", "train")):
        whole = (out / f"{split}.parquet").read_bytes()
        (out / f"{split}.parquet").write_bytes((out / f"{others}.parquet").read_bytes())
        with pytest.raises(InputError, match="its rows are not those that it was made with"):
            load_pairs(AnswersSpec(path=str(out)), BYTES, 64)
        assert scaling("data", "inspect", out, "--verify").returncode == 2
        (out / f"{split}.parquet").write_bytes(whole[:-40])
        with pytest.raises(InputError, match=rf"{split}\.parquet: no Parquet file"):
            load_pairs(AnswersSpec(path=str(out)), BYTES, 64)
        (out / f"{split}.parquet").write_bytes(whole)
    (out / "answers.json").write_text("{}")
    with pytest.raises(InputError, match=r"answers\.json: not a manifest of answers"):
        load_pairs(AnswersSpec(path=str(out)), BYTES, 64)


def test_a_build_that_dies_leaves_no_folder(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scaling.data.answers.build.write_answers", dying)
    scaling("data", "build", pairs, "--as", "preferences", "--held-out", "30%", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    built(pairs, "--as", "preferences", "--held-out", "30%", "--out", tmp_path / "out")


def test_ids_of_prompts_are_the_beginning_of_rows(pairs: Path, tmp_path: Path) -> None:
    """Bug 21, through a folder: a prompt is on one side."""
    built(pairs, "--as", "preferences", "--held-out", "30%", "--out", tmp_path / "out")
    prompts = load_prompts(AnswersSpec(path=str(tmp_path / "out")), BYTES, 64)
    found = load_pairs(AnswersSpec(path=str(tmp_path / "out")), BYTES, 64)
    sides = [{bytes(ids.tolist()) for ids in side} for side in (prompts.train, prompts.held_out)]
    assert sides == [{bytes(row.prompt.tolist()) for row in side} for side in (found.train, found.held_out)]
    assert sides[0].isdisjoint(sides[1])
    assert all(ids.dtype == np.int32 for ids in prompts.train)
