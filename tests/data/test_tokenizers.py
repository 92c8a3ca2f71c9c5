"""Tokenizers from files and trained here: they lose nothing, and are known again by their hash."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scaling.data.spec import TokenizerSpec
from scaling.data.tokenizer import Tokenizer
from scaling.data.tokenizer_files import keep_tokenizer, open_tokenizer
from scaling.data.tokenizer_kinds import TokenizerRecord
from scaling.errors import InputError

TEXT = "Fellow citizens, zwölf Boxkämpfer 東京 <|endoftext|> 1234\n\n\tend."


def sentences() -> Iterator[bytes]:
    return (f"the quick brown fox {i} jumps over {i * 7} lazy dogs\n".encode() for i in range(500))


def opened(spec: TokenizerSpec, folder: Path) -> tuple[TokenizerRecord, Tokenizer]:
    record = keep_tokenizer(spec, folder, sentences())
    tokenizer = open_tokenizer(record, folder)
    assert tokenizer is not None
    return record, tokenizer


def tiktoken_file(path: Path) -> None:
    ranks = [bytes([i]) for i in range(256)] + [b"th", b"the", b" fox"]
    path.write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(ranks)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SentencePiece model, made here."""
    library, made = pytest.importorskip("sentencepiece", reason='needs pip install -e ".[tokenizers]"'), io.BytesIO()
    text = [sentence.decode() for sentence in sentences()]
    library.SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_writer=made, vocab_size=400, byte_fallback=True, model_type="bpe",
        minloglevel=2, hard_vocab_limit=False,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("model") / "small.model"
    path.write_bytes(made.getvalue())
    return path


def check(record: TokenizerRecord, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(TEXT.encode())
    assert tokenizer.decode(ids) == TEXT
    assert ids.min() >= 0
    assert ids.max() < record.vocab
    assert tokenizer.end not in ids, "text that looks like the end is text"
    assert (tokenizer.name, tokenizer.vocab, tokenizer.end, tokenizer.hash) == (
        record.name,
        record.vocab,
        record.end,
        record.hash,
    )


def test_bpe_trained_here(tmp_path: Path) -> None:
    record, tokenizer = opened(TokenizerSpec(bpe=300), tmp_path / "a")
    assert (record.kind, record.name, record.vocab) == ("huggingface", "bpe300", 300)
    check(record, tokenizer)
    assert len(tokenizer.encode(b"the quick brown fox")) < 12
    again = keep_tokenizer(TokenizerSpec(bpe=300), tmp_path / "b", sentences())
    assert again == record
    other = keep_tokenizer(TokenizerSpec(file=str(tmp_path / "a/tokenizer.json")), tmp_path / "c", sentences())
    assert other.hash == record.hash
    with pytest.raises(InputError, match=r"the text has only enough for .* entries, not 100000"):
        keep_tokenizer(TokenizerSpec(bpe=100_000), tmp_path / "d", sentences())


def test_tiktoken(tmp_path: Path) -> None:
    pytest.importorskip("tiktoken", reason='needs pip install -e ".[tokenizers]"')
    tiktoken_file(tmp_path / "own.tiktoken")
    record, tokenizer = opened(TokenizerSpec(file=str(tmp_path / "own.tiktoken")), tmp_path / "kept")
    assert (record.name, record.vocab, record.end) == ("own260", 260, 259)
    check(record, tokenizer)
    assert tokenizer.encode(b"the fox").tolist() == [257, 258]
    (tmp_path / "bad.tiktoken").write_bytes(b"dGg= 1\nnonsense\n")
    with pytest.raises(InputError, match=r"bad\.tiktoken:2: not a token in base 64"):
        keep_tokenizer(TokenizerSpec(file=str(tmp_path / "bad.tiktoken")), tmp_path / "kept", sentences())


def test_sentencepiece(model: Path, tmp_path: Path) -> None:
    record, tokenizer = opened(TokenizerSpec(file=str(model)), tmp_path)
    assert (record.kind, record.end) == ("sentencepiece", 2)
    text = "the quick brown fox 東京"
    ids = tokenizer.encode(text.encode())
    assert tokenizer.decode(ids) == text
    assert ids.max() < record.vocab
    with pytest.raises(InputError, match="has no token '<none>'"):
        keep_tokenizer(TokenizerSpec(file=str(model), end="<none>"), tmp_path, sentences())


def test_ids_alone_and_bytes(tmp_path: Path) -> None:
    record = keep_tokenizer(TokenizerSpec(ids=50304, end=50256), tmp_path, sentences())
    assert (record.vocab, record.end, open_tokenizer(record, tmp_path)) == (50304, 50256, None)
    with pytest.raises(InputError, match="end 300 is beyond the 300 ids"):
        keep_tokenizer(TokenizerSpec(ids=300, end=300), tmp_path, sentences())
    _, tokenizer = opened(TokenizerSpec(name="bytes"), tmp_path)
    np.testing.assert_array_equal(tokenizer.encode(b"ab"), [97, 98])
    assert tokenizer.decode(np.array([97, 98])) == "ab"


def test_another_tokenizer_in_its_place_is_reported(tmp_path: Path) -> None:
    record, _ = opened(TokenizerSpec(bpe=300), tmp_path)
    keep_tokenizer(TokenizerSpec(bpe=290), tmp_path, sentences())
    with pytest.raises(InputError, match="not the tokenizer that made the tokens"):
        open_tokenizer(record, tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"tokenizer\.json: the tokenizer cannot be read"):
        open_tokenizer(record, tmp_path)


def words(vocab: str) -> bytes:
    return f'{{"version": "1.0", "model": {{"type": "WordLevel", "vocab": {vocab}, "unk_token": "x"}}}}'.encode()


@pytest.mark.parametrize(
    ("name", "content", "violation"),
    [
        ("tokenizer.json", b"{}", "tokenizer.json: not a tokenizer.json"),
        ("tokenizer.json", words("{}"), "tokenizer.json: has none of "),
        ("tokenizer.json", words('{"</s>": 2147483648}'), "tokenizer.json: id 2147483648 is out of range"),
        ("own.model", b"nonsense", "own.model: not a SentencePiece model"),
        ("own.tiktoken", b"", "own.tiktoken: the file is empty"),
        ("own.txt", b"x", "own.txt: not a file of a known kind"),
    ],
)
def test_no_tokenizer_is_one_line(tmp_path: Path, name: str, content: bytes, violation: str) -> None:
    pytest.importorskip("sentencepiece", reason='needs pip install -e ".[tokenizers]"')
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=violation) as error:
        keep_tokenizer(TokenizerSpec(file=str(tmp_path / name)), tmp_path / "kept", sentences())
    assert len(error.value.errors) == 1
    with pytest.raises(InputError, match=r"missing\.json: no such file; give bytes"):
        keep_tokenizer(TokenizerSpec(file=str(tmp_path / "missing.json")), tmp_path / "kept", sentences())


def test_an_end_that_is_not_there_is_reported(tmp_path: Path) -> None:
    keep_tokenizer(TokenizerSpec(bpe=300), tmp_path, sentences())
    file = str(tmp_path / "tokenizer.json")
    assert keep_tokenizer(TokenizerSpec(file=file, end="a"), tmp_path, sentences()).end > 0
    with pytest.raises(InputError, match="has no token '<eot>'"):
        keep_tokenizer(TokenizerSpec(file=file, end="<eot>"), tmp_path / "kept", sentences())
