"""Rows gathered, split by the hash of their prompts, put in an order by hash, and counted where they are left out."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from scaling.data.answers.rows import Example, Ids, Pair
from scaling.errors import InputError

Item = TypeVar("Item", Example, Pair, Ids)
TOO_LONG = "longer than the context"
PROMPT_TOO_LONG = "prompt longer than the context"


@dataclass(frozen=True)
class Kept(Generic[Item]):
    """What is kept: both sides in order of hash, how many rows were left out by reason, and the SHA-256 of both."""

    train: tuple[Item, ...]
    held_out: tuple[Item, ...]
    dropped: dict[str, int]
    sha256: str


class Gathered(Generic[Item]):
    """Gathers the rows of a set.

    Args:
        where: the text that they are from, for errors.
        seq_len: of the model, tokens; None for no limit.
    """

    def __init__(self, where: str, seq_len: int | None) -> None:
        self._where, self._seq_len = where, seq_len
        self._sides: tuple[dict[bytes, Item], dict[bytes, Item]] = ({}, {})
        self._dropped: Counter[str] = Counter()

    def drop(self, reason: str) -> None:
        """Counts a row that is left out."""
        self._dropped[reason] += 1

    def fits(self, length: int, prompt: int) -> bool:
        """Whether a row fits the context; one that does not is counted.

        Args:
            length: of the row, tokens.
            prompt: of its prompt, which leaves room for an answer's first token at least.
        """
        if self._seq_len is None or length <= self._seq_len:
            return True
        self.drop(PROMPT_TOO_LONG if prompt >= self._seq_len else TOO_LONG)
        return False

    def add(self, item: Item, held_out: bool) -> None:
        """Keeps a row; one that is there already is counted as a duplicate."""
        digest = _digest(item)
        if digest in self._sides[held_out]:
            self.drop("duplicate")
        else:
            self._sides[held_out][digest] = item

    def closed(self) -> Kept[Item]:
        """What is kept.

        Raises:
            InputError: nothing is left, or nothing on one side.
        """
        if not any(self._sides):
            raise InputError(f"{self._where}: no row is left{self._reasons()}")
        for rows, side in zip(self._sides, ("to train on", "to hold out"), strict=True):
            if not rows:
                raise InputError(f"{self._where}: no row is left {side}{self._reasons()}: choose another `held_out`")
        sides = [dict(sorted(rows.items())) for rows in self._sides]
        sha256 = hashlib.sha256(b"|".join(b"".join(rows) for rows in sides)).hexdigest()
        train, held_out = (tuple(rows.values()) for rows in sides)
        return Kept(train, held_out, dict(sorted(self._dropped.items())), sha256)

    def _reasons(self) -> str:
        if not self._dropped:
            return ""
        context = "" if self._seq_len is None else f" (of {self._seq_len} tokens)"
        each = [
            f"{count} {reason}{context if reason in (TOO_LONG, PROMPT_TOO_LONG) else ''}"
            for reason, count in sorted(self._dropped.items())
        ]
        return f"; left out: {', '.join(each)}"


def is_held_out(opening: str, share: float) -> bool:
    """Whether rows are held out whose prompts open with a text: its hash decides, in whatever file they are.

    The opening is the first message of the user, so that a dialogue and its beginning are on one side, and so are an
    example and a pair that ask the same.
    """
    digest = hashlib.sha256(" ".join(opening.split()).encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def _digest(item: Example | Pair | Ids) -> bytes:
    if isinstance(item, Example):
        parts = [item.ids, item.counted]
    elif isinstance(item, Pair):
        parts = [item.prompt, item.chosen, item.rejected, np.array([np.nan if item.rating is None else item.rating])]
        parts.append(np.array([item.safety]))
    else:
        parts = [item]
    content = b"".join(len(part).to_bytes(8, "big") + part.tobytes() for part in parts)
    return hashlib.sha256(content).digest()
