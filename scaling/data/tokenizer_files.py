"""Tokenizers from their files, or trained here; each is stored as one file with the tokens that it made."""

import hashlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int32, Integer
from pydantic import BaseModel, ConfigDict

from scaling.data.spec import TokenizerSpec
from scaling.data.tokenizer import BYTES, Tokenizer
from scaling.errors import InputError
from scaling.files import write_bytes

_ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "<end_of_text>")
# The rule of cl100k_base, tiktoken_ext/openai_public.py; Llama 3 has the same.
CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_NEEDS = 'needs: pip install "scaling-law-toolkit[tokenizers]"'


class TokenizerRecord(BaseModel):
    """The tokenizer in a manifest.

    Attributes:
        kind: of the file: Hugging Face, tiktoken or SentencePiece; bytes and ids have none.
        name: in a table of runs.
        vocab: number of ids.
        end: id that closes a document.
        hash: sha256 of the file and of what else decides the ids.
        file: its name in the folder.
        pattern: of tiktoken, the regular expression that splits text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["bytes", "huggingface", "tiktoken", "sentencepiece", "ids"]
    name: str
    vocab: int
    end: int
    hash: str
    file: str | None = None
    pattern: str | None = None


def keep_tokenizer(spec: TokenizerSpec, folder: Path, text: Iterator[bytes]) -> TokenizerRecord:
    """Copies a tokenizer's file into a folder, or trains one on ``text`` where none is given.

    Raises:
        InputError: no such file or none of a tokenizer, no end of documents in it, or a library that is missing.
    """
    if spec.name is not None:
        return TokenizerRecord(kind="bytes", name=BYTES.name, vocab=BYTES.vocab, end=BYTES.end, hash=BYTES.hash)
    if spec.ids is not None:
        end, digest = int(spec.end or 0), hashlib.sha256(f"ids vocab={spec.ids} end={spec.end}".encode()).hexdigest()
        if not 0 <= end < spec.ids:
            raise InputError(f"tokenizer: end {end} is beyond the {spec.ids} ids of the vocabulary")
        return TokenizerRecord(kind="ids", name=f"ids{spec.ids}", vocab=spec.ids, end=end, hash=digest)
    if spec.bpe is not None:
        name, content, stem = "tokenizer.json", _trained(spec.bpe, text), "bpe"
    else:
        path = Path(spec.file or "").expanduser()
        try:
            content = path.read_bytes()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"tokenizer {path}: cannot be read: {reason}") from None
        name, stem = path.name, path.stem if path.stem != "tokenizer" else path.absolute().parent.name
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / name, content)
    if name.endswith(".json"):
        kind, vocab, end = "huggingface", *_of_huggingface(folder / name, spec.end)
    elif name.endswith(".tiktoken"):
        ranks = read_ranks(folder / name)
        kind, vocab, end = "tiktoken", max(ranks.values()) + 2, max(ranks.values()) + 1
    elif name.endswith(".model"):
        kind, vocab, end = "sentencepiece", *_of_sentencepiece(folder / name, spec.end)
    else:
        raise InputError(f"tokenizer {name}: not a file of a known kind: tokenizer.json, .tiktoken or .model")
    pattern = (spec.pattern or CL100K) if kind == "tiktoken" else None
    return TokenizerRecord.model_validate(
        {
            "kind": kind,
            "name": f"{stem}{vocab}",
            "vocab": vocab,
            "end": end,
            "hash": _digest(content, kind, vocab, end, pattern),
            "file": name,
            "pattern": pattern,
        }
    )


def open_tokenizer(record: TokenizerRecord, folder: Path) -> Tokenizer | None:
    """Opens the tokenizer of a record; None for ids that came without one.

    Raises:
        InputError: its file is missing, or is not the one that made the tokens.
    """
    if record.kind == "bytes":
        return BYTES
    if record.file is None:
        return None
    path = folder / record.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the tokenizer cannot be read: {error.strerror}") from None
    if _digest(content, record.kind, record.vocab, record.end, record.pattern) != record.hash:
        raise InputError(f"{path}: not the tokenizer that made the tokens beside it: its hash is not the manifest's")
    if record.kind == "huggingface":
        return HuggingFace(record, path)
    return Tiktoken(record, path) if record.kind == "tiktoken" else SentencePiece(record, path)


def _digest(content: bytes, kind: str, vocab: int, end: int, pattern: str | None) -> str:
    rest = f"\n{kind} vocab={vocab} end={end} pattern={pattern}"
    return hashlib.sha256(content + rest.encode()).hexdigest()


class _OfFile:
    """The attributes that tokenizers from files share."""

    def __init__(self, record: TokenizerRecord) -> None:
        self.name, self.vocab, self.end, self.hash = record.name, record.vocab, record.end, record.hash


class HuggingFace(_OfFile):
    """The tokenizer of a ``tokenizer.json``; the text of a special token is encoded like any other."""

    def __init__(self, record: TokenizerRecord, path: Path) -> None:
        super().__init__(record)
        self._tokenizer = _huggingface(path)
        self._tokenizer.encode_special_tokens = True

    def encode(self, text: bytes) -> Int32[np.ndarray, " tokens"]:
        return np.array(self._tokenizer.encode(text.decode(), add_special_tokens=False).ids, dtype=np.int32)

    def decode(self, ids: Integer[np.ndarray, " tokens"]) -> str:
        return str(self._tokenizer.decode(ids.tolist()))


class Tiktoken(_OfFile):
    """The tokenizer of a ``.tiktoken`` file of ranks, with one more id that closes documents."""

    def __init__(self, record: TokenizerRecord, path: Path) -> None:
        super().__init__(record)
        special = {"<|endoftext|>": record.end}
        try:
            self._tokenizer = imported("tiktoken").Encoding(
                record.name, pat_str=record.pattern, mergeable_ranks=read_ranks(path), special_tokens=special
            )
        except ValueError as error:
            raise InputError(f"{path}: pattern: {error}") from None

    def encode(self, text: bytes) -> Int32[np.ndarray, " tokens"]:
        return np.array(self._tokenizer.encode_ordinary(text.decode()), dtype=np.int32)

    def decode(self, ids: Integer[np.ndarray, " tokens"]) -> str:
        return str(self._tokenizer.decode(ids.tolist()))


class SentencePiece(_OfFile):
    """The tokenizer of a SentencePiece ``.model``."""

    def __init__(self, record: TokenizerRecord, path: Path) -> None:
        super().__init__(record)
        self._tokenizer = _sentencepiece(path)

    def encode(self, text: bytes) -> Int32[np.ndarray, " tokens"]:
        return np.array(self._tokenizer.encode(text.decode()), dtype=np.int32)

    def decode(self, ids: Integer[np.ndarray, " tokens"]) -> str:
        return str(self._tokenizer.decode(ids.tolist()))


def imported(library: str) -> Any:
    """A module of the ``tokenizers`` extra.

    Raises:
        InputError: it is not installed; names the extra.
    """
    try:
        return importlib.import_module(library)
    except ImportError:
        raise InputError(f"the tokenizer {_NEEDS}") from None


def _huggingface(path: Path) -> Any:
    try:
        return imported("tokenizers").Tokenizer.from_file(str(path))
    except InputError:
        raise
    except Exception as error:  # the library raises plain Exceptions
        raise InputError(f"tokenizer {path.name}: not a tokenizer.json: {error}") from None


def _of_huggingface(path: Path, end: str | int | None) -> tuple[int, int]:
    """Number of ids of a ``tokenizer.json``, and the id that closes documents."""
    known = _huggingface(path).get_vocab(with_added_tokens=True)
    vocab = max(known.values()) + 1
    names = _ENDS if end is None else (str(end),)
    found = [known[name] for name in names if name in known]
    if not found and str(end).isdecimal() and int(str(end)) < vocab:
        found = [int(str(end))]
    if not found:
        missing = f"has no token {end!r}" if end is not None else f"has none of {', '.join(_ENDS)}; give end: TOKEN"
        raise InputError(f"tokenizer {path.name}: {missing}")
    return vocab, found[0]


def read_ranks(path: Path) -> dict[bytes, int]:
    """The ranks of a .tiktoken file: a line for each token, its bytes in base 64 and its rank.

    Raises:
        InputError: a line is none, or there is none.
    """
    import base64

    ranks: dict[bytes, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            if line:
                token, rank = line.split()
                ranks[base64.b64decode(token, validate=True)] = int(rank)
        except ValueError:
            raise InputError(f"tokenizer {path.name}:{number}: not a token in base 64 and its rank") from None
    if not ranks:
        raise InputError(f"tokenizer {path.name}: the file is empty")
    return ranks


def _sentencepiece(path: Path) -> Any:
    try:
        return imported("sentencepiece").SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"tokenizer {path.name}: not a SentencePiece model: {reason}") from None


def _of_sentencepiece(path: Path, end: str | int | None) -> tuple[int, int]:
    model = _sentencepiece(path)
    vocab = model.get_piece_size()
    found = model.eos_id() if end is None else int(end) if str(end).isdecimal() else model.piece_to_id(str(end))
    if not 0 <= found < vocab or (end is not None and found == model.unk_id()):
        raise InputError(f"tokenizer {path.name}: it has no end of text; give end: TOKEN")
    return vocab, found


def _trained(vocab: int, text: Iterator[bytes]) -> bytes:
    """Trains byte-level BPE with GPT-2's splitting, which is lossless; returns a tokenizer.json."""
    library = imported("tokenizers")
    tokenizer = library.Tokenizer(library.models.BPE())
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=vocab,
        show_progress=False,
        special_tokens=[_ENDS[0]],
        initial_alphabet=sorted(library.pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator((document.decode() for document in text), trainer)
    if tokenizer.get_vocab_size() < vocab:
        found = tokenizer.get_vocab_size()
        raise InputError(f"tokenizer: bpe: the text has only enough for {found} entries, not {vocab}")
    return str(tokenizer.to_str(pretty=False)).encode()
