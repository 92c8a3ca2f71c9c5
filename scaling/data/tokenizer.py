"""Tokenizers: text to token ids and back."""

import hashlib
import re
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Integer, UInt8

_SPACE = re.compile(r"[\s\u2581]+")  # and SentencePiece's sign for a space


@runtime_checkable
class Vocabulary(Protocol):
    """The vocabulary of token ids, whether their tokenizer is available or not.

    Attributes:
        name: as written in the table of runs.
        vocab: number of token ids.
        end: id that closes every document; text should not contain it.
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
    """A vocabulary with the functions from text to ids and back.

    Attributes:
        unknown: id of text that has no token of its own, if there is one.
        spaces: whether ``decode`` gives white space back as it was, but for the ends.
    """

    @property
    def unknown(self) -> int | None: ...

    @property
    def spaces(self) -> bool: ...

    def encode(self, text: bytes) -> Integer[np.ndarray, " tokens"]:
        """The ids of one document's UTF-8 text, without the closing ``end``."""
        ...

    def decode(self, ids: Integer[np.ndarray, " tokens"]) -> str:
        """The text of ids, for people to read."""
        ...

    @property
    def controls(self) -> Mapping[str, int]:
        """The tokens that no text is encoded to, as they are written in a chat template, with their ids."""
        ...

    def encode_controls(self, text: bytes) -> Integer[np.ndarray, " tokens"]:
        """As ``encode``, but what is written as a control token becomes its id."""
        ...


class ByteTokenizer:
    """Every byte of the UTF-8 text is a token; NUL, which text never contains, closes a document."""

    name = "bytes"
    vocab = 256
    end = 0
    hash = hashlib.sha256(b"bytes vocab=256 end=0").hexdigest()
    unknown, spaces = None, True
    # Text has none of these: they mark a prompt, an answer and its end.
    controls: Mapping[str, int] = {"\x00": 0, "\x01": 1, "\x02": 2}

    def encode(self, text: bytes) -> UInt8[np.ndarray, " tokens"]:
        return np.frombuffer(text, dtype=np.uint8)

    def decode(self, ids: Integer[np.ndarray, " tokens"]) -> str:
        return bytes(ids.tolist()).decode(errors="replace")

    def encode_controls(self, text: bytes) -> UInt8[np.ndarray, " tokens"]:
        return self.encode(text)


BYTES = ByteTokenizer()


def lost(tokenizer: Tokenizer, text: str) -> str | None:
    """What of a text its ids do not give back, with the place; None where they hold all of it."""
    ids, whole = tokenizer.encode(text.encode()), text.strip()
    back = tokenizer.decode(ids)
    if (changed := _difference(_SPACE.sub("", text), _SPACE.sub("", back))) is not None:
        return changed
    if tokenizer.spaces and (changed := _difference(whole, back.strip())) is not None:
        return changed
    single = " ".join(text.split())
    if not tokenizer.spaces and single != whole and _alike(tokenizer, single, whole):
        return "line ends and runs of spaces came back as single spaces"
    return "white space at its ends is left out" if whole != text and _alike(tokenizer, whole, text) else None


def is_gone(tokenizer: Tokenizer, text: str) -> bool:
    """Whether no character of a text comes back from its ids, but for white space and case."""
    back = tokenizer.decode(tokenizer.encode(text.encode()))
    return set(_SPACE.sub("", text).casefold()).isdisjoint(back.casefold())


def _alike(tokenizer: Tokenizer, one: str, other: str) -> bool:
    return np.array_equal(tokenizer.encode(one.encode()), tokenizer.encode(other.encode()))


def _difference(wanted: str, found: str) -> str | None:
    """The surroundings of the first character that differs."""
    if wanted == found:
        return None
    pairs = enumerate(zip(wanted, found, strict=False))
    at = next((at for at, (one, other) in pairs if one != other), min(len(wanted), len(found)))
    around = slice(max(0, at - 8), at + 8)
    return f"{wanted[around]!r} came back as {found[around]!r}"
