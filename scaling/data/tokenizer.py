"""Text to token ids."""

import hashlib
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8


@runtime_checkable
class Tokenizer(Protocol):
    """What the rest of the toolkit asks of a tokenizer.

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

    def encode(self, text: bytes) -> UInt8[np.ndarray, " tokens"]:
        """The ids of one document's UTF-8 text, without the closing ``end``."""
        ...


class ByteTokenizer:
    """Every byte of the UTF-8 text is a token; NUL, which text never contains, closes a document."""

    name = "bytes"
    vocab = 256
    end = 0
    hash = hashlib.sha256(b"bytes vocab=256 end=0").hexdigest()

    def encode(self, text: bytes) -> UInt8[np.ndarray, " tokens"]:
        return np.frombuffer(text, dtype=np.uint8)


BYTES = ByteTokenizer()
