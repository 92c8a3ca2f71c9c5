"""The words of an answer, the one that its prompt has begun included."""

import re
from typing import NamedTuple

_WORD = re.compile(rb"[a-z]+(?:'[a-z]+)?|[0-9]+")
_REACH = 48  # bytes of the prompt that are read: the word before the answer begins in them


class Words(NamedTuple):
    """Words in lower case.

    Attributes:
        before: the last word that ends within the prompt; empty if there is none.
        own: the answer's.
    """

    before: bytes
    own: list[bytes]


def words_of(prompt: bytes, answer: bytes) -> Words:
    """The words that end within an answer, and the one before them; what is neither letter nor digit parts words."""
    near = prompt[-_REACH:]
    before, own = b"", []
    for match in _WORD.finditer((near + answer).lower()):
        if match.end() > len(near):
            own.append(match.group())
        else:
            before = match.group()
    return Words(before, own)


def words_in(text: bytes) -> list[bytes]:
    """All words of a text."""
    return _WORD.findall(text.lower())
