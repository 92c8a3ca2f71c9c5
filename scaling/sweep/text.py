"""A sweep's corpus as tokens, and a run's share of it."""

import math
from dataclasses import dataclass

import numpy as np

from scaling.data.batches import Batches, RunText, TokenSet, held_out_windows, tokenize
from scaling.data.corpus import CorpusSpec, Fingerprint, load_corpus
from scaling.data.tokenizer import BYTES, Tokenizer
from scaling.train.config import RunConfig


@dataclass(frozen=True)
class SweepText:
    """All text of a sweep.

    Attributes:
        fingerprint: of the corpus.
        tokenizer: that made the tokens.
        train: what runs are trained on.
        held_out: what they are evaluated on.
        held_out_bytes: length of the held-out documents before tokenization.
    """

    fingerprint: Fingerprint
    tokenizer: Tokenizer
    train: TokenSet
    held_out: TokenSet
    held_out_bytes: int

    def of_run(self, config: RunConfig) -> RunText:
        """A run's batches, and the held-out windows that all runs share."""
        seq_len = config.model.seq_len
        windows, documents = held_out_windows(self.held_out, seq_len, config.data.eval_tokens)
        return RunText(Batches(self.train, seq_len, config.batch, config.stream), windows, documents)

    @property
    def frequency_loss(self) -> float:
        """The held-out loss, nats per token, of knowing how frequent every token is and nothing else."""
        counts = np.bincount(self.train.tokens, minlength=self.tokenizer.vocab) + 1.0
        return float(-np.log(counts / counts.sum())[self.held_out.tokens].mean())

    def bits_per_byte(self, loss: float) -> float:
        """A loss in nats per token as bits per byte of text, which compares across tokenizers."""
        return loss / math.log(2) * len(self.held_out) / self.held_out_bytes


def load_text(corpus: CorpusSpec) -> SweepText:
    """Reads, splits and tokenizes a corpus."""
    found = load_corpus(corpus)
    return SweepText(
        fingerprint=found.fingerprint,
        tokenizer=BYTES,
        train=tokenize(found.train, BYTES),
        held_out=tokenize(found.held_out, BYTES),
        held_out_bytes=sum(len(document.text) for document in found.held_out),
    )
