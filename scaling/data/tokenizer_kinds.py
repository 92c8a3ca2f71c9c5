"""Tokenizers of each kind of file, opened with the library of the kind."""

import importlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int32, Integer
from pydantic import BaseModel, ConfigDict

from scaling.data.ranks import read_ranks, special_tokens
from scaling.errors import InputError

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
        self._tokenizer = open_huggingface(path)
        self._tokenizer.encode_special_tokens = True
        _complete(self._tokenizer)
        settings = json.loads(self._tokenizer.to_str())
        self.unknown = _unknown(self._tokenizer, settings["model"])
        self.spaces = any(sign in str(settings["decoder"]) for sign in ("ByteLevel", "Metaspace", "\u2581"))
        added = self._tokenizer.get_added_tokens_decoder()
        self.controls = {token.content: id for id, token in sorted(added.items()) if token.special}

    def encode(self, text: bytes) -> Int32[np.ndarray, " tokens"]:
        return np.array(self._tokenizer.encode(text.decode(), add_special_tokens=False).ids, dtype=np.int32)

    def decode(self, ids: Integer[np.ndarray, " tokens"]) -> str:
        return str(self._tokenizer.decode(ids.tolist()))

    def encode_controls(self, text: bytes) -> Int32[np.ndarray, " tokens"]:
        self._tokenizer.encode_special_tokens = False
        try:
            return self.encode(text)
        finally:
            self._tokenizer.encode_special_tokens = True


class Tiktoken(_OfFile):
    """The tokenizer of tiktoken's ranks, with the special tokens beside them."""

    def __init__(self, record: TokenizerRecord, path: Path) -> None:
        super().__init__(record)
        ranks = read_ranks(path.read_bytes(), path.name)
        self.controls = special = special_tokens(ranks, record.end)
        self._tokens = {rank: token for token, rank in ranks.items()} | {
            id: name.encode() for name, id in special.items()
        }
        try:
            self._tokenizer = imported("tiktoken").Encoding(
                record.name, pat_str=record.pattern, mergeable_ranks=ranks, special_tokens=special
            )
        except ValueError as error:
            raise InputError(f"tokenizer {path.name}: pattern: {error}") from None

    def encode(self, text: bytes) -> Int32[np.ndarray, " tokens"]:
        return np.array(self._tokenizer.encode_ordinary(text.decode()), dtype=np.int32)

    def decode(self, ids: Integer[np.ndarray, " tokens"]) -> str:
        tokens = (self._tokens.get(id, f"<|{id}|>".encode()) for id in ids.tolist())
        return b"".join(tokens).decode(errors="replace")

    def encode_controls(self, text: bytes) -> Int32[np.ndarray, " tokens"]:
        return np.array(self._tokenizer.encode(text.decode(), allowed_special="all"), dtype=np.int32)


class SentencePiece(_OfFile):
    """The tokenizer of a SentencePiece ``.model``."""

    def __init__(self, record: TokenizerRecord, path: Path) -> None:
        super().__init__(record)
        self._tokenizer = open_sentencepiece(path)
        self.unknown = self._tokenizer.unk_id()
        self.controls = {
            self._tokenizer.id_to_piece(id): id for id in range(self.vocab) if self._tokenizer.is_control(id)
        }

    def encode(self, text: bytes) -> Int32[np.ndarray, " tokens"]:
        return np.array(self._tokenizer.encode(text.decode()), dtype=np.int32)

    def decode(self, ids: Integer[np.ndarray, " tokens"]) -> str:
        return str(self._tokenizer.decode(ids.tolist()))

    def encode_controls(self, text: bytes) -> Int32[np.ndarray, " tokens"]:
        ids: list[int] = []
        for part in split_at(text.decode(), self.controls):
            ids += [self.controls[part]] if part in self.controls else self._tokenizer.encode(part)
        return np.array(ids, dtype=np.int32)


def split_at(text: str, controls: Mapping[str, int]) -> list[str]:
    """A text cut at its control tokens, these included; where two begin at one place, at the longer."""
    names = sorted(controls, key=lambda name: (-len(name), name))
    if not names:
        return [text]
    return [part for part in re.split(f"({'|'.join(map(re.escape, names))})", text) if part]


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


def open_huggingface(path: Path) -> Any:
    try:
        tokenizer = imported("tokenizers").Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer
    except InputError:
        raise
    except Exception as error:  # the library raises plain Exceptions
        raise InputError(f"tokenizer {path.name}: not a tokenizer.json: {error}") from None


def open_sentencepiece(path: Path) -> Any:
    try:
        return imported("sentencepiece").SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).replace(str(path), path.name).split())
        raise InputError(f"tokenizer {path.name}: not a SentencePiece model: {reason}") from None
