"""Tokenizers: text to token ids and back."""

import hashlib
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Integer, UInt8


@runtime_checkable
class Vocabulary(Protocol):
    """The vocabulary of token ids, whether their tokenizer is available or not.

    Attributes:
        name: as written in the table of runs.
        vocab: number of token ids.
        end: id that closes every document; text never contains it.
        hash: sha256 of all that decides the ids; two tokenizers with one hash give the same ids.
    """

    @property
    def name(self) -> str: ...

    @property
    def vocab(self) -> int: ...

    @property
    def end(self) -> int: ...

    @property
    def hash(self) -> str: ...


@runtime_checkable
class Tokenizer(Vocabulary, Protocol):
    """A vocabulary with the functions from text to ids and back."""

    def encode(self, text: bytes) -> Integer[np.ndarray, " tokens"]:
        """The ids of one document's UTF-8 text, without the closing ``end``."""
        ...

    def decode(self, ids: Integer[np.ndarray, " tokens"]) -> str:
        """The text of ids, for people to read."""
        ...


class ByteTokenizer:
    """Every byte of the UTF-8 text is a token; NUL, which text never contains, closes a document."""

    name = "bytes"
    vocab = 256
    end = 0
    hash = hashlib.sha256(b"bytes vocab=256 end=0").hexdigest()

    def encode(self, text: bytes) -> UInt8[np.ndarray, " tokens"]:
        return np.frombuffer(text, dtype=np.uint8)

    def decode(self, ids: Integer[np.ndarray, " tokens"]) -> str:
        return bytes(ids.tolist()).decode(errors="replace")


BYTES = ByteTokenizer()
