"""A held-out text as tokens: its windows, its loss per byte, and the hash by which it is known again."""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scaling.data.batches import HeldOutWindows, Tokens, held_out_windows, tokenize, window_starts
from scaling.data.corpus import Corpus, Fingerprint
from scaling.data.shards import Segments
from scaling.data.tokenizer import Tokenizer, Vocabulary

# Text that is hashed at most, from its beginning: the tokens of built data are decoded for it.
_HASHED_BYTES = 2**22


@dataclass(frozen=True)
class HeldOutText:
    """The held-out side of a corpus.

    Attributes:
        fingerprint: of the corpus.
        tokens: of the held-out documents.
        size: bytes of the documents before tokenization; None where they came as tokens.
        documents: a function that yields each document's text.
    """

    fingerprint: Fingerprint
    tokens: Tokens
    size: int | None
    documents: Callable[[], Iterator[bytes]]

    def windows(self, seq_len: int, eval_tokens: int) -> HeldOutWindows:
        """The windows that a loss is measured on, as of :func:`held_out_windows`."""
        return HeldOutWindows(*held_out_windows(self.tokens, seq_len, eval_tokens))

    def bits_per_byte(self, loss: float) -> float:
        """A loss in nats per token as bits per byte of text, which compares across tokenizers; NaN without its size."""
        if self.size is None:
            return math.nan
        return loss / math.log(2) * len(self.tokens) / self.size

    def sha256(self, seq_len: int, eval_tokens: int) -> str:
        """The hash of what a loss is measured on, in hex digits: the same under every tokenizer that drops nothing.

        It is that of the text where all of it is measured, and otherwise of the text and how many tokens are.
        """
        starts = len(window_starts(self.tokens, seq_len))
        part = "" if eval_tokens >= starts * seq_len else f" {eval_tokens} tokens"
        return hashlib.sha256(self._text_sha256 + part.encode()).hexdigest()

    @cached_property
    def _text_sha256(self) -> bytes:
        digest = hashlib.sha256(f"{len(self.tokens.ends)} documents of {self.size} bytes".encode())
        hashed = 0
        for text in self.documents():
            digest.update(hashlib.sha256(text).digest())
            hashed += len(text)
            if hashed >= _HASHED_BYTES:
                break
        return digest.digest()


def held_out_of(corpus: Corpus, tokenizer: Tokenizer) -> HeldOutText:
    """The held-out side of a corpus of texts, tokenized."""
    texts: Sequence[bytes] = [document.text for document in corpus.held_out]
    return HeldOutText(
        fingerprint=corpus.fingerprint,
        tokens=tokenize(corpus.held_out, tokenizer),
        size=sum(map(len, texts)),
        documents=lambda: iter(texts),
    )


def held_out_of_built(
    fingerprint: Fingerprint, tokens: Segments, size: int | None, tokenizer: Tokenizer | None, vocabulary: Vocabulary
) -> HeldOutText:
    """The held-out side of built data.

    Args:
        fingerprint: of the data.
        tokens: its held-out documents.
        size: their bytes; None if unknown.
        tokenizer: that made the tokens; None for ids that came without one.
        vocabulary: of the ids.
    """

    def documents() -> Iterator[bytes]:
        for ids in documents_of(tokens):
            if tokenizer is None:  # ids alone are a text of their own
                yield f"{vocabulary.hash} ".encode() + ids.tobytes()
            else:
                yield tokenizer.decode(ids[:-1]).encode()

    return HeldOutText(fingerprint, tokens, size, documents)


def documents_of(tokens: Tokens, chosen: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """The tokens of each document with its closing one, int32: of all documents, or of those at the places chosen."""
    begins = np.concatenate([np.zeros(1, np.int64), tokens.ends[:-1]])
    for place in range(len(begins)) if chosen is None else chosen.tolist():
        begin, end = int(begins[place]), int(tokens.ends[place])
        yield tokens.windows(np.array([begin]), end - begin)[0]
