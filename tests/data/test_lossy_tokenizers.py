"""Tokenizers that do not encode all of a text: what can be switched off is, what is lost is reported or refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scaling.data.build import build
from scaling.data.shards import TOKENIZER, Manifest, read_manifest
from scaling.data.spec import BuildSpec
from scaling.data.tokenizer_files import open_tokenizer
from scaling.errors import InputError

NEEDS = 'needs pip install -e ".[tokenizers]"'
tk = pytest.importorskip("tokenizers", reason=NEEDS)
ENGLISH = [f"Page {i}: the Quick fox naps.\nThen  {i * 7} dogs rest.\n" for i in range(60)]
FRENCH = [text.replace("naps", "caf\u00e9 \u2014 \ufb01n") for text in ENGLISH]
CHINESE = ["\u6771\u4eac\u90fd" * (i + 1) for i in range(60)]
pre, norm = tk.pre_tokenizers, tk.normalizers


def byte_level(normalizer: Any = None, **options: Any) -> Any:
    """Byte-level BPE, which loses nothing by itself."""
    tokenizer = tk.Tokenizer(tk.models.BPE())
    tokenizer.pre_tokenizer = pre.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tk.decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    alphabet = pre.ByteLevel.alphabet() if options.get("all_bytes", True) else []
    trainer = tk.trainers.BpeTrainer(
        vocab_size=350, special_tokens=["<eos>"], initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(ENGLISH, trainer)
    return tokenizer


def words(model: Any, trainer: Any, before: Any, decoder: Any = None, normalizer: Any = None) -> Any:
    """A tokenizer of the characters of English."""
    tokenizer = tk.Tokenizer(model)
    tokenizer.pre_tokenizer = before
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if decoder is not None:
        tokenizer.decoder = decoder
    tokenizer.train_from_iterator(ENGLISH, trainer)
    return tokenizer


def word_piece() -> Any:
    trainer = tk.trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]", "<eos>"], show_progress=False)
    model = tk.models.WordPiece(unk_token="[UNK]")
    return words(model, trainer, pre.BertPreTokenizer(), tk.decoders.WordPiece(), norm.BertNormalizer())


def word_level() -> Any:
    trainer = tk.trainers.WordLevelTrainer(vocab_size=12, special_tokens=["<unk>", "<eos>"], show_progress=False)
    return words(tk.models.WordLevel(unk_token="<unk>"), trainer, pre.Whitespace())


def bpe(unknown: str | None, before: Any) -> Any:
    special = [token for token in (unknown, "<eos>") if token]
    trainer = tk.trainers.BpeTrainer(vocab_size=150, special_tokens=special, show_progress=False)
    return words(tk.models.BPE(unk_token=unknown), trainer, before)


def made(tmp_path: Path, content: str, texts: list[str]) -> Manifest:
    (tmp_path / "own.json").write_text(content)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    spec = {
        "name": "x", "sources": [str(tmp_path / "a.jsonl")], "held_out": "20%",
        "tokenizer": {"file": str(tmp_path / "own.json"), "end": "<eos>"},
    }  # fmt: skip
    return build(BuildSpec.model_validate(spec), tmp_path / "out", 1, lambda _: None)


def changed(tokenizer: Any, change: Callable[[dict[str, Any]], object]) -> str:
    settings = json.loads(tokenizer.to_str())
    change(settings)
    return json.dumps(settings)


TRUNCATION = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
PADDING = {
    "strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
    "pad_token": "<eos>",
}  # fmt: skip


@pytest.mark.parametrize(
    ("names", "change"),
    [
        (["truncation"], lambda settings: settings.update(truncation=TRUNCATION)),
        (["padding"], lambda settings: settings.update(padding=PADDING)),
        (["truncation", "padding"], lambda settings: settings.update(truncation=TRUNCATION, padding=PADDING)),
        (["dropout"], lambda settings: settings["model"].update(dropout=0.5)),
    ],
)
def test_what_cuts_fills_or_varies_ids_is_switched_off(
    tmp_path: Path, names: list[str], change: Callable[[dict[str, Any]], object]
) -> None:
    (tmp_path / "plain").mkdir()
    plain = made(tmp_path / "plain", byte_level().to_str(), ENGLISH)
    assert plain.warnings == ()
    manifest = made(tmp_path, changed(byte_level(), change), ENGLISH)
    assert [manifest.tokens(split) for split in ("train", "held_out")] == [
        plain.tokens(split) for split in ("train", "held_out")
    ]
    (warning,) = manifest.warnings
    assert (warning.code, list(warning.examples)) == ("tokenizer-state", names)
    kept = json.loads((tmp_path / "out/tokenizer/own.json").read_text())
    assert (kept["truncation"], kept["padding"], kept["model"]["dropout"]) == (None, None, None)


@pytest.mark.parametrize(
    ("tokenizer", "texts"),
    [
        (byte_level, FRENCH),
        (lambda: byte_level(norm.NFC()), FRENCH),
        (
            lambda: words(tk.models.BPE(), _trainer(), pre.Metaspace(), tk.decoders.Metaspace()),
            ["a b", "b a", "ab"] * 9,
        ),
    ],
)
def test_nothing_is_lost_and_nothing_is_said(tmp_path: Path, tokenizer: Callable[[], Any], texts: list[str]) -> None:
    assert made(tmp_path, tokenizer().to_str(), [f"{text}{'a' * i}" for i, text in enumerate(texts)]).warnings == ()


def _trainer() -> Any:
    return tk.trainers.BpeTrainer(
        vocab_size=200, special_tokens=["<eos>"], initial_alphabet=sorted("abp:\u2581"), show_progress=False
    )


def test_a_missing_decoder_is_no_loss(tmp_path: Path) -> None:
    content = changed(byte_level(), lambda settings: settings.update(decoder=None))
    assert made(tmp_path, content, FRENCH).warnings == ()
    tokenizer = open_tokenizer(read_manifest(tmp_path / "out").tokenizer, tmp_path / "out" / TOKENIZER)
    assert tokenizer is not None
    assert tokenizer.decode(tokenizer.encode(FRENCH[0].encode())) == FRENCH[0]


@pytest.mark.parametrize(
    ("tokenizer", "reasons"),
    [
        (lambda: byte_level(norm.Lowercase()), ["'Page"]),
        (lambda: byte_level(norm.Sequence([norm.NFD(), norm.StripAccents()])), ["caf\u00e9"]),
        (lambda: byte_level(norm.NFKC()), ["\ufb01"]),
        (lambda: byte_level(norm.Replace("fox", "cat")), ["fox"]),
        (lambda: byte_level(norm.Strip()), ["white space at its ends"]),
        (lambda: byte_level(all_bytes=False), ["caf\u00e9"]),
        (word_piece, ["stand for text that it has no token for", "'Page"]),
        (word_level, ["stand for text that it has no token for", "came back as 'Page:theQuic'"]),
        (lambda: bpe("<unk>", pre.Whitespace()), ["stand for text that it has no token for", "caf\u00e9"]),
        (lambda: bpe(None, pre.Whitespace()), ["caf\u00e9"]),
    ],
)
def test_what_is_lost_is_reported_with_a_count_and_an_example(
    tmp_path: Path, tokenizer: Callable[[], Any], reasons: list[str]
) -> None:
    warnings = made(tmp_path, tokenizer().to_str(), FRENCH).warnings
    assert [warning.code for warning in warnings] == ["lossy-tokenizer"] * len(reasons)
    for warning, reason in zip(warnings, reasons, strict=True):
        assert warning.count > 0
        assert reason in warning.message
        assert warning.examples


def test_spaces_that_a_split_removes_are_reported(tmp_path: Path) -> None:
    split = {"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": False}

    def change(settings: dict[str, Any]) -> None:
        settings["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, settings["pre_tokenizer"]]}

    (warning,) = made(tmp_path, changed(byte_level(), change), ENGLISH).warnings
    assert "'Page 0: the ' came back as 'Page0:theQui'" in warning.message


@pytest.mark.parametrize(
    ("tokenizer", "reason"),
    [
        (lambda: byte_level(all_bytes=False), "gives no ids for any of 60 documents, as '\u6771\u4eac\u90fd'"),
        (lambda: bpe(None, pre.Whitespace()), "gives no ids for any of 60 documents"),
        (word_level, "nothing of the text is in its ids"),
        (lambda: bpe("<unk>", pre.Metaspace()), "nothing of the text is in its ids"),
    ],
)
def test_where_everything_is_lost_the_build_is_refused(
    tmp_path: Path, tokenizer: Callable[[], Any], reason: str
) -> None:
    with pytest.raises(InputError, match=reason) as error:
        made(tmp_path, tokenizer().to_str(), CHINESE)
    assert len(error.value.errors) == 1


def test_documents_without_ids_are_counted(tmp_path: Path) -> None:
    warnings = made(tmp_path, byte_level(all_bytes=False).to_str(), [*ENGLISH, *CHINESE[:3]]).warnings
    assert warnings[0].message.startswith("tokenizer own")
    assert ": no ids for 3 of 63 documents, which are left out, the first: '\u6771" in warnings[0].message


def test_text_of_another_kind_at_the_beginning_is_not_all_of_it(tmp_path: Path) -> None:
    warnings = made(tmp_path, bpe("<unk>", pre.Metaspace()).to_str(), [*CHINESE, *ENGLISH]).warnings
    assert {warning.code for warning in warnings} == {"lossy-tokenizer"}


def test_an_end_within_the_text_is_reported(tmp_path: Path) -> None:
    def change(settings: dict[str, Any]) -> None:
        settings["added_tokens"][0]["special"] = False

    texts = [*ENGLISH, "an end <eos> within", "and <eos> another"]
    (warning,) = made(tmp_path, changed(byte_level(), change), texts).warnings
    assert (warning.code, warning.count) == ("end-in-text", 2)
