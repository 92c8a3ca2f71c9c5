"""Tokenizers from their files, or trained here; each is stored as one file with the tokens that it made."""

import hashlib
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from jaxtyping import Int32, Integer
from pydantic import BaseModel, ConfigDict

from scaling.data.ranks import are_ranks, end_of, family_of, read_ranks, special_tokens
from scaling.data.spec import TokenizerSpec
from scaling.data.tokenizer import BYTES, Tokenizer
from scaling.errors import InputError
from scaling.files import write_bytes

_ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "<end_of_text>")
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
    kind, content = _kind(content, name), encodes_all(content)[0]
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / name, content)
    vocab, end, pattern = _ids_of_file(kind, folder / name, content, spec)
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


def ids_of(spec: TokenizerSpec) -> tuple[int, int]:
    """Number of ids, and the one that closes documents, of a tokenizer that is not trained here.

    Raises:
        InputError: as ``keep_tokenizer``.
    """
    with TemporaryDirectory() as folder:
        record = keep_tokenizer(spec, Path(folder), iter(()))
    return record.vocab, record.end


def _ids_of_file(kind: str, path: Path, content: bytes, spec: TokenizerSpec) -> tuple[int, int, str | None]:
    """Number of ids, the one that closes documents, and how tiktoken splits text."""
    if kind == "tiktoken":
        ranks = read_ranks(content, path.name)
        return *end_of(ranks, spec.end, path.name), spec.pattern or family_of(ranks).pattern
    if spec.pattern is not None:
        raise InputError(f"tokenizer {path.name}: pattern applies to tiktoken's ranks only")
    read = _of_huggingface if kind == "huggingface" else _of_sentencepiece
    return *read(path, spec.end), None


def _kind(content: bytes, name: str) -> str:
    """What a tokenizer's file is, by its content; by its name where the content is of no kind."""
    if content.lstrip()[:1] == b"{" or name.endswith(".json"):
        return "huggingface"
    if are_ranks(content) or name.endswith(".tiktoken"):
        return "tiktoken"
    if name.endswith(".model") or content[:1] == b"\n":  # the first field of a SentencePiece model: its pieces
        return "sentencepiece"
    raise InputError(f"tokenizer {name}: not a file of a known kind: tokenizer.json, .tiktoken or .model")


def encodes_all(content: bytes) -> tuple[bytes, list[str]]:
    """A ``tokenizer.json`` without what cuts, fills or varies the ids of a text, and the names of what it had.

    Any other content is returned as it is.
    """
    try:
        settings = json.loads(content) if content.lstrip()[:1] == b"{" else None
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        return content, []
    model = settings.get("model")
    holders = {"truncation": settings, "padding": settings, "dropout": model if isinstance(model, dict) else {}}
    found = [name for name, holder in holders.items() if holder.get(name)]
    for name in found:
        holders[name][name] = None
    return (json.dumps(settings, ensure_ascii=False).encode() if found else content), found


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

    unknown: int | None = None
    spaces = True

    def __init__(self, record: TokenizerRecord) -> None:
        self.name, self.vocab, self.end, self.hash = record.name, record.vocab, record.end, record.hash


class HuggingFace(_OfFile):
    """The tokenizer of a ``tokenizer.json``; the text of a special token is encoded like any other."""

    def __init__(self, record: TokenizerRecord, path: Path) -> None:
        super().__init__(record)
        self._tokenizer = _huggingface(path)
        self._tokenizer.encode_special_tokens = True
        _complete(self._tokenizer)
        settings = json.loads(self._tokenizer.to_str())
        self.unknown = _unknown(self._tokenizer, settings["model"])
        self.spaces = any(sign in str(settings["decoder"]) for sign in ("ByteLevel", "Metaspace", "\u2581"))

    def encode(self, text: bytes) -> Int32[np.ndarray, " tokens"]:
        return np.array(self._tokenizer.encode(text.decode(), add_special_tokens=False).ids, dtype=np.int32)

    def decode(self, ids: Integer[np.ndarray, " tokens"]) -> str:
        return str(self._tokenizer.decode(ids.tolist()))


class Tiktoken(_OfFile):
    """The tokenizer of tiktoken's ranks, with the special tokens beside them."""

    def __init__(self, record: TokenizerRecord, path: Path) -> None:
        super().__init__(record)
        ranks = read_ranks(path.read_bytes(), path.name)
        special = special_tokens(ranks, record.end)
        self._tokens = {rank: token for token, rank in ranks.items()} | {
            id: name.encode() for name, id in special.items()
        }
        try:
            self._tokenizer = imported("tiktoken").Encoding(
                record.name, pat_str=record.pattern, mergeable_ranks=ranks, special_tokens=special
            )
        except ValueError as error:
            raise InputError(f"{path}: pattern: {error}") from None

    def encode(self, text: bytes) -> Int32[np.ndarray, " tokens"]:
        return np.array(self._tokenizer.encode_ordinary(text.decode()), dtype=np.int32)

    def decode(self, ids: Integer[np.ndarray, " tokens"]) -> str:
        tokens = (self._tokens.get(id, f"<|{id}|>".encode()) for id in ids.tolist())
        return b"".join(tokens).decode(errors="replace")


class SentencePiece(_OfFile):
    """The tokenizer of a SentencePiece ``.model``."""

    def __init__(self, record: TokenizerRecord, path: Path) -> None:
        super().__init__(record)
        self._tokenizer = _sentencepiece(path)
        self.unknown = self._tokenizer.unk_id()

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


def _complete(tokenizer: Any) -> None:
    """Gives a tokenizer without a decoder the one that its words were made for."""
    if tokenizer.decoder is None:
        decoders, before = imported("tokenizers").decoders, str(json.loads(tokenizer.to_str())["pre_tokenizer"])
        if "'ByteLevel'" in before:
            tokenizer.decoder = decoders.ByteLevel()
        elif "'Metaspace'" in before:
            tokenizer.decoder = decoders.Metaspace()


def _unknown(tokenizer: Any, model: dict[str, Any]) -> int | None:
    """The id of text that a tokenizer of the tokenizers library has no token for, if it has one."""
    if model.get("unk_id") is not None:
        return int(model["unk_id"])
    token = model.get("unk_token")
    return None if token is None else tokenizer.token_to_id(token)


def _huggingface(path: Path) -> Any:
    try:
        tokenizer = imported("tokenizers").Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer
    except InputError:
        raise
    except Exception as error:  # the library raises plain Exceptions
        raise InputError(f"tokenizer {path.name}: not a tokenizer.json: {error}") from None


def _of_huggingface(path: Path, end: str | int | None) -> tuple[int, int]:
    """Number of ids of a ``tokenizer.json``, and the id that closes documents."""
    known = _huggingface(path).get_vocab(with_added_tokens=True)
    vocab = max(known.values()) + 1
    if isinstance(end, int):
        found = [end] if end in known.values() else []
    else:
        found = [known[name] for name in (_ENDS if end is None else (end,)) if name in known]
        if not found and str(end).isdecimal():
            found = [int(str(end))] if int(str(end)) in known.values() else []
    if not found:
        missing = f"has no token {end!r}" if end is not None else f"has none of {', '.join(_ENDS)}; give end: TOKEN"
        raise InputError(f"tokenizer {path.name}: {missing}")
    return vocab, found[0]


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
        missing = f"has no token {end!r}" if end is not None else "it has no end of text; give end: TOKEN"
        raise InputError(f"tokenizer {path.name}: {missing}")
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
