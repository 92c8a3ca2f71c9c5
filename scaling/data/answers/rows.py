"""Examples, pairs and prompts as token ids."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32

from scaling.data.tokenizer import BYTES, Tokenizer

# An axis of its own wherever it stands, as the prompt and the answers of a pair have each their length.
Ids = Int32[np.ndarray, " _tokens"]


@dataclass(frozen=True)
class Example:
    """A row to fine-tune on.

    Attributes:
        ids: the prompt, the completion, and where it is finished the end.
        counted: which tokens the loss counts: those of completions and their ends.
    """

    ids: Int32[np.ndarray, " tokens"]
    counted: Bool[np.ndarray, " tokens"]


@dataclass(frozen=True)
class Pair:
    """Two answers to a prompt, one of them preferred.

    Attributes:
        prompt: its ids.
        chosen, rejected: ids of the answers, each with the end where it is finished.
        rating: how much better the chosen one is: 0 (negligibly) to 3 (significantly), as Llama 2's raters say; None
            where nobody has said.
        safety: whether the pair says which answer is safe, rather than helpful.
    """

    prompt: Ids
    chosen: Ids
    rejected: Ids
    rating: float | None = None
    safety: bool = False


@dataclass(frozen=True)
class ExampleSet:
    """Examples, split by the hash of their prompts.

    Attributes:
        train, held_out: in an order by hash, so that the first of them are as good as drawn.
        dropped: how many were left out, by reason.
        sha256: of all that is kept.
        tokenizer: of the ids.
        end: the id that ends an answer; that of a chat template may be another than the one that closes documents.
    """

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]
    dropped: dict[str, int] = field(default_factory=dict)
    sha256: str = ""
    tokenizer: Tokenizer = BYTES
    end: int = BYTES.end


@dataclass(frozen=True)
class PairSet:
    """Pairs, split by the hash of their prompts; attributes as of ``ExampleSet``."""

    train: tuple[Pair, ...]
    held_out: tuple[Pair, ...]
    dropped: dict[str, int] = field(default_factory=dict)
    sha256: str = ""
    tokenizer: Tokenizer = BYTES
    end: int = BYTES.end


@dataclass(frozen=True)
class PromptSet:
    """Prompts to be answered, split by their hash; attributes as of ``ExampleSet``."""

    train: tuple[Ids, ...]
    held_out: tuple[Ids, ...]
    dropped: dict[str, int] = field(default_factory=dict)
    sha256: str = ""
    tokenizer: Tokenizer = BYTES
    end: int = BYTES.end


class Padded(NamedTuple):
    """Rows padded right.

    Attributes:
        tokens: ids; 0 behind the end of a row.
        counted: which tokens count in a loss; never padding.
        lengths: of the rows.
    """

    tokens: Int32[np.ndarray, "rows seq"]
    counted: Bool[np.ndarray, "rows seq"]
    lengths: Int32[np.ndarray, " rows"]


def pad(rows: Sequence[Ids], counted: Sequence[Bool[np.ndarray, " _tokens"]], length: int) -> Padded:
    """Rows, none longer than ``length``, padded right to it."""
    tokens, mask = np.zeros((len(rows), length), np.int32), np.zeros((len(rows), length), bool)
    for at, (ids, counts) in enumerate(zip(rows, counted, strict=True)):
        tokens[at, : len(ids)], mask[at, : len(ids)] = ids, counts
    return Padded(tokens, mask, np.array([len(ids) for ids in rows], np.int32))


def bucket(longest: int, most: int) -> int:
    """The length that rows are padded to: the least of 32, 48, 64, 96, 128, ... that holds them, ``most`` at most."""
    power = 32
    while power < longest:
        if power * 3 // 2 >= longest:
            return min(power * 3 // 2, most)
        power *= 2
    return min(power, most)
