"""Batches of training windows from documents, without state: a run resumes at any step, on any number of devices."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, Int64, Integer

from scaling.data.corpus import Document
from scaling.data.tokenizer import Tokenizer
from scaling.errors import InputError


@runtime_checkable
class Tokens(Protocol):
    """Documents end to end as token ids, in memory or in files.

    Attributes:
        ends: position after each document's closing token; the last is the number of tokens.
    """

    @property
    def ends(self) -> Int64[np.ndarray, " documents"]: ...

    def __len__(self) -> int: ...

    def windows(self, starts: Int64[np.ndarray, "*shape"], width: int) -> Int32[np.ndarray, "*shape width"]:
        """The ``width`` tokens from each start on."""
        ...

    def counts(self, vocab: int) -> Int64[np.ndarray, " vocab"]:
        """How often each token occurs."""
        ...


@dataclass(frozen=True)
class TokenSet:
    """Documents end to end, each closed by the tokenizer's ``end``.

    Attributes:
        tokens: ids; may be memory-mapped.
        ends: position after each document's closing token; the last is the number of tokens.
    """

    tokens: Integer[np.ndarray, " tokens"]
    ends: Int64[np.ndarray, " documents"]

    def __len__(self) -> int:
        return len(self.tokens)

    def windows(self, starts: Int64[np.ndarray, "*shape"], width: int) -> Int32[np.ndarray, "*shape width"]:
        """The ``width`` tokens from each start on."""
        # Row i is the window that begins at token i: a view, no copy, whether in memory or memory-mapped.
        return np.lib.stride_tricks.sliding_window_view(self.tokens, width)[starts].astype(np.int32)

    def counts(self, vocab: int) -> Int64[np.ndarray, " vocab"]:
        """How often each token occurs."""
        return np.bincount(self.tokens, minlength=vocab)


def tokenize(documents: Iterable[Document], tokenizer: Tokenizer) -> TokenSet:
    """Encodes documents in their order."""
    encoded = [tokenizer.encode(document.text) for document in documents]
    end = np.array([tokenizer.end], dtype=encoded[0].dtype)
    tokens = np.concatenate([part for ids in encoded for part in (ids, end)])
    return TokenSet(tokens, np.cumsum([len(ids) + 1 for ids in encoded], dtype=np.int64))


@runtime_checkable
class TrainingBatches(Protocol):
    """Batches of training windows as a pure function of (seed, step): of one text, or of a mixture of sources.

    Attributes:
        seq_len: context, in tokens.
        batch_size: windows per step.
    """

    seq_len: int
    batch_size: int

    @property
    def tokens_per_epoch(self) -> int:
        """Target tokens until text repeats."""
        ...

    def epochs_needed(self, tokens: int) -> float:
        """Passes that training on ``tokens`` target tokens takes; above 1, text repeats."""
        ...

    def unique_tokens(self, tokens: int) -> int:
        """Distinct target tokens in training on ``tokens`` of them."""
        ...

    def take(self, step: int, count: int, rows: slice = slice(None)) -> Int32[np.ndarray, "count batch window"]:
        """Windows of ``count`` steps from ``step`` on, all rows of the batch or some; independent of earlier calls."""
        ...


class Batches:
    """Batches of training windows as a pure function of (seed, step).

    A window is ``seq_len + 1`` tokens: inputs ``[:-1]`` and targets ``[1:]``. Within an epoch no two windows
    share a target; every epoch shuffles the windows anew and shifts where they begin by a random phase.

    Args:
        tokens: the training tokens; documents follow one another inside a window.
        seq_len: context, in tokens.
        batch_size: windows per step.
        seed: of the order.

    Raises:
        InputError: too few tokens for one window at every phase.
    """

    def __init__(self, tokens: Tokens, seq_len: int, batch_size: int, seed: int) -> None:
        self.seq_len, self.batch_size, self.seed = seq_len, batch_size, seed
        self.windows_per_epoch = len(tokens) // seq_len - 1
        if self.windows_per_epoch < 1:
            raise InputError(
                f"the corpus has {len(tokens)} training tokens; a context of {seq_len} needs {2 * seq_len} at least"
            )
        self._tokens = tokens
        self._epoch = (-1, np.empty(0, dtype=np.int64))

    @property
    def tokens_per_epoch(self) -> int:
        """Target tokens in one pass over the corpus."""
        return self.windows_per_epoch * self.seq_len

    def epochs_needed(self, tokens: int) -> float:
        """Passes over the corpus that training on ``tokens`` target tokens takes; above 1, text repeats."""
        return tokens / self.tokens_per_epoch

    def unique_tokens(self, tokens: int) -> int:
        """Distinct target tokens in training on ``tokens`` of them."""
        return min(tokens, self.tokens_per_epoch)

    def take(self, step: int, count: int, rows: slice = slice(None)) -> Int32[np.ndarray, "count batch window"]:
        """Windows of ``count`` steps from ``step`` on, all rows of the batch or some; independent of earlier calls."""
        steps = np.arange(step, step + count, dtype=np.int64)[:, None]
        return self.windows(steps * self.batch_size + np.arange(self.batch_size)[rows])

    def windows(self, numbers: Int64[np.ndarray, "*shape"]) -> Int32[np.ndarray, "*shape window"]:
        """Windows by their numbers in the endless stream of epochs; independent of earlier calls."""
        epochs, turns = np.divmod(numbers, self.windows_per_epoch)
        starts = np.empty_like(turns)
        for epoch in np.unique(epochs):
            starts[epochs == epoch] = self._starts(int(epoch))[turns[epochs == epoch]]
        return self._tokens.windows(starts, self.seq_len + 1)

    def _starts(self, epoch: int) -> Int64[np.ndarray, " windows"]:
        """Positions of the first tokens of an epoch's windows, in the epoch's order; the last epoch is cached."""
        if self._epoch[0] != epoch:
            random = np.random.Generator(np.random.Philox(key=np.array([self.seed, epoch], dtype=np.uint64)))
            phase = random.integers(self.seq_len)
            self._epoch = (epoch, phase + self.seq_len * random.permutation(self.windows_per_epoch))
        return self._epoch[1]


def held_out_windows(
    held_out: Tokens, seq_len: int, max_tokens: int
) -> tuple[Int32[np.ndarray, "windows window"], Int64[np.ndarray, " windows"]]:
    """The held-out windows that every run of a sweep is evaluated on.

    Each document is cut into windows from its beginning, and of all windows an evenly spaced selection is
    taken, so documents count in proportion to their length and no two windows share a target. Windows stay
    inside a document, unless that would leave out more than half of the text, as where documents are shorter
    than the context: then all text is cut as one.

    Args:
        held_out: the held-out documents.
        seq_len: context, in tokens; a window has ``seq_len + 1``.
        max_tokens: target tokens to evaluate at most (but one window at least).

    Returns:
        The windows, in order of their text, and for each the index of the document it begins in, by which an
        error can be clustered.

    Raises:
        InputError: the held-out text is shorter than one window.
    """
    starts = window_starts(held_out, seq_len)
    if not len(starts):
        raise InputError(
            f"the held-out text has {len(held_out)} tokens; a context of {seq_len} needs {seq_len + 1} at least"
        )
    count = min(max(1, max_tokens // seq_len), len(starts))
    chosen = starts[(2 * np.arange(count) + 1) * len(starts) // (2 * count)]
    return held_out.windows(chosen, seq_len + 1), np.searchsorted(held_out.ends, chosen, side="right")


def window_starts(held_out: Tokens, seq_len: int) -> Int64[np.ndarray, " windows"]:
    """The first tokens of all windows that a held-out text is cut into, as ``held_out_windows`` says."""
    begins = np.concatenate([np.zeros(1, dtype=np.int64), held_out.ends[:-1]])
    inside = (held_out.ends - begins - 1) // seq_len
    if 2 * seq_len * inside.sum() >= len(held_out):
        return np.concatenate([begin + seq_len * np.arange(n) for begin, n in zip(begins, inside, strict=True)])
    return seq_len * np.arange((len(held_out) - 1) // seq_len)


@dataclass(frozen=True)
class HeldOutWindows:
    """The windows of a held-out text that a loss is measured on.

    Attributes:
        windows: shape (n, seq_len + 1).
        documents: the document of each window, shape (n,).
    """

    windows: Int32[np.ndarray, "n window"]
    documents: Int64[np.ndarray, " n"]


@dataclass(frozen=True)
class RunText:
    """The text of a run, as tokens.

    Attributes:
        batches: of training windows, as a function of (seed, step).
        windows: held-out windows, shape (n, seq_len + 1).
        documents: the document of each window, shape (n,).
        evaluation_sets: windows of further held-out texts, by name.
    """

    batches: TrainingBatches
    windows: Int32[np.ndarray, "n window"]
    documents: Int64[np.ndarray, " n"]
    evaluation_sets: Mapping[str, HeldOutWindows] = field(default_factory=dict)
