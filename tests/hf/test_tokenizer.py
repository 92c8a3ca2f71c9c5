"""Tokenizers of built data as a tokenizer.json: the same ids as the file that made the data, or none and why."""

import base64
import importlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaling.data.build import build
from scaling.data.shards import TOKENIZER, read_manifest
from scaling.data.spec import BuildSpec
from scaling.data.tokenizer_files import open_tokenizer
from scaling.errors import InputError
from scaling.hf.tokenizer import write_tokenizer
from scaling.train.config import DataConfig

NEEDS = 'needs pip install -e ".[tokenizers]"'
tokenizers = pytest.importorskip("tokenizers", reason=NEEDS)
HARD = "  Two  spaces, na\u00efve DON'T\n\n\t12345 \u6771\u4eac \U0001f642 end  "


def documents() -> Iterator[str]:
    return (f"Document {i}: the quick brown fox jumps over {i * 7} lazy dogs, and then it rests.\n" for i in range(300))


def tiktoken_file(path: Path) -> None:
    """Ranks of all bytes, and of some words by way of their pieces."""
    words = [b"th", b"the", b" t", b" the", b"qu", b"ick", b"ck", b"quick", b" fox", b" f", b"ox"]
    ranks = [bytes([i]) for i in range(256)] + words
    path.write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(ranks)))


def sentencepiece_file(path: Path, **options: object) -> None:
    library, made = pytest.importorskip("sentencepiece", reason=NEEDS), io.BytesIO()
    library.SentencePieceTrainer.train(
        sentence_iterator=documents(),
        model_writer=made,
        vocab_size=400,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    path.write_bytes(made.getvalue())


def exported(file: Path, folder: Path, **tokenizer: object) -> tuple[str | None, Path, Path]:
    """Why the tokenizer of data built with a file is not converted, the data, and where it was written."""
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in documents()))
    source = {"path": str(folder / "text.jsonl")}
    spec = BuildSpec.model_validate({"name": "own", "sources": [source], "tokenizer": {"file": str(file), **tokenizer}})
    built, out = folder / "built", folder / "out"
    manifest = build(spec, built, 1, lambda _: None)
    out.mkdir()
    record = manifest.tokenizer
    data = DataConfig({"path": str(built)}, {}, {"name": record.name, "hash": record.hash}, 1000)
    end, without = write_tokenizer(data, 128, out)
    assert end == record.end
    return without, built, out


def same_ids(built: Path, out: Path) -> None:
    """Whether the tokenizer.json gives the ids of the data's own tokenizer, and the text back."""
    ours = open_tokenizer(read_manifest(built).tokenizer, built / TOKENIZER)
    assert ours is not None
    theirs = tokenizers.Tokenizer.from_file(str(out / "tokenizer.json"))
    for text in (HARD, *documents()):
        ids = theirs.encode(text, add_special_tokens=False).ids
        assert ids == ours.encode(text.encode()).tolist()
        assert theirs.decode(ids) == ours.decode(ours.encode(text.encode()))


def test_tiktoken(tmp_path: Path) -> None:
    pytest.importorskip("tiktoken", reason=NEEDS)
    tiktoken_file(tmp_path / "own.tiktoken")
    without, built, out = exported(tmp_path / "own.tiktoken", tmp_path)
    assert without is None
    same_ids(built, out)


def test_ranks_by_another_name_with_an_end_of_their_own(tmp_path: Path) -> None:
    pytest.importorskip("tiktoken", reason=NEEDS)
    tiktoken_file(tmp_path / "tokenizer.model")
    without, built, out = exported(tmp_path / "tokenizer.model", tmp_path, end=270)
    assert without is None
    same_ids(built, out)
    theirs = tokenizers.Tokenizer.from_file(str(out / "tokenizer.json"))
    assert theirs.token_to_id("<|endoftext|>") == read_manifest(built).tokenizer.end == 270


def test_a_tokenizer_json_is_exported_without_what_cuts_text(tmp_path: Path) -> None:
    own = tokenizers.Tokenizer(tokenizers.models.BPE())
    own.pre_tokenizer, own.decoder = tokenizers.pre_tokenizers.ByteLevel(), tokenizers.decoders.ByteLevel()
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<eos>"], initial_alphabet=alphabet, show_progress=False
    )
    own.train_from_iterator(documents(), trainer)
    own.enable_truncation(3)
    own.enable_padding(length=5)
    own.save(str(tmp_path / "own.json"))
    without, built, out = exported(tmp_path / "own.json", tmp_path)
    assert without is None
    same_ids(built, out)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("rule", ["identity", "nmt_nfkc"])
def test_sentencepiece(kind: str, rule: str, tmp_path: Path) -> None:
    sentencepiece_file(tmp_path / "own.model", model_type=kind, byte_fallback=True, normalization_rule_name=rule)
    without, built, out = exported(tmp_path / "own.model", tmp_path)
    assert without is None
    same_ids(built, out)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model_type": "word"}, "its model is neither BPE nor unigram"),
        ({"model_type": "bpe", "treat_whitespace_as_suffix": True}, "it puts spaces at the ends of words"),
    ],
)
def test_what_a_tokenizer_json_cannot_hold_is_reported(options: dict[str, object], reason: str, tmp_path: Path) -> None:
    sentencepiece_file(tmp_path / "own.model", **options)
    without, _, out = exported(tmp_path / "own.model", tmp_path)
    assert without is not None
    assert without.endswith(f" is not converted: {reason}")
    assert list(out.iterdir()) == []


def test_a_conversion_that_gives_other_ids_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversion is compared with the tokenizer itself before it is written."""
    pytest.importorskip("tiktoken", reason=NEEDS)
    tiktoken_file(tmp_path / "own.tiktoken")
    monkeypatch.setattr("scaling.hf.tokenizer.of_ranks", wrong)
    without, _, out = exported(tmp_path / "own.tiktoken", tmp_path)
    assert without is not None
    assert "a tokenizer.json would give other ids" in without
    assert list(out.iterdir()) == []


def wrong(ranks: dict[bytes, int], pattern: str, special: dict[str, int]) -> dict[str, object]:
    """Merges in another order."""
    from scaling.hf.byte_level import of_ranks

    made = of_ranks(ranks, pattern, special)
    made["model"]["merges"].reverse()
    made["model"]["ignore_merges"] = False
    return made


def test_without_the_libraries_the_reason_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parameters of a run are exported all the same."""
    pytest.importorskip("tiktoken", reason=NEEDS)
    tiktoken_file(tmp_path / "own.tiktoken")
    monkeypatch.setattr("scaling.hf.tokenizer.imported", missing)
    without, _, out = exported(tmp_path / "own.tiktoken", tmp_path)
    assert without is not None
    assert without.endswith(": tiktoken is missing")
    assert list(out.iterdir()) == []


def missing(library: str) -> object:
    """As ``imported``, without tiktoken."""
    if library == "tiktoken":
        raise InputError("tiktoken is missing")
    return importlib.import_module(library)
