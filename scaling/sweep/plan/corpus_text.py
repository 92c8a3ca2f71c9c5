"""A sweep's corpus as tokens, and a run's share of it."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from scaling.data.batches import Batches, RunText, Tokens, held_out_windows, tokenize
from scaling.data.corpus import CorpusSpec, Fingerprint, load_corpus
from scaling.data.shards import TOKENIZER, held_out_segments, is_built, read_manifest, train_segments
from scaling.data.tokenizer import BYTES, Vocabulary
from scaling.data.tokenizer_files import open_tokenizer
from scaling.errors import InputError
from scaling.train.config import RunConfig


@dataclass(frozen=True)
class BuiltFingerprint(Fingerprint):
    """The fingerprint of built data: the manifest's hash, documents, bytes (0 if unknown) and training tokens.

    Attributes:
        train_tokens: in one pass over the mixture.
    """

    train_tokens: int


@dataclass(frozen=True)
class SweepText:
    """The text of a sweep as tokens, both sides of the split.

    Attributes:
        fingerprint: of the corpus.
        tokenizer: that made the tokens.
        train: what runs are trained on.
        held_out: what they are evaluated on.
        held_out_bytes: length of the held-out documents before tokenization; None where they came as tokens.
    """

    fingerprint: Fingerprint
    tokenizer: Vocabulary
    train: Tokens
    held_out: Tokens
    held_out_bytes: int | None

    def of_run(self, config: RunConfig) -> RunText:
        """The text of a run: its batches, and the held-out windows that all runs share."""
        seq_len = config.model.seq_len
        windows, documents = held_out_windows(self.held_out, seq_len, config.data.eval_tokens)
        return RunText(Batches(self.train, seq_len, config.batch, config.stream), windows, documents)

    @property
    def frequency_loss(self) -> float:
        """Held-out loss, nats per token, of a unigram model: the training frequency of every token."""
        vocab = self.tokenizer.vocab
        counts = self.train.counts(vocab) + 1.0
        return float(-np.log(counts / counts.sum()) @ self.held_out.counts(vocab) / len(self.held_out))

    def bits_per_byte(self, loss: float) -> float:
        """A loss in nats per token as bits per byte of text, which compares across tokenizers; NaN without bytes."""
        if self.held_out_bytes is None:
            return math.nan
        return loss / math.log(2) * len(self.held_out) / self.held_out_bytes


def load_text(corpus: CorpusSpec) -> SweepText:
    """Loads a sweep's text: reads, splits and tokenizes a corpus, or maps built data.

    Raises:
        InputError: as ``load_corpus``, or built data that is not what its manifest says.
    """
    if corpus.path is not None and is_built(corpus.path):
        return _built(Path(corpus.path).expanduser())
    found = load_corpus(corpus)
    return SweepText(
        fingerprint=found.fingerprint,
        tokenizer=BYTES,
        train=tokenize(found.train, BYTES),
        held_out=tokenize(found.held_out, BYTES),
        held_out_bytes=sum(len(document.text) for document in found.held_out),
    )


def text_of(config: RunConfig) -> SweepText:
    """Loads the text of a run's corpus.

    Raises:
        InputError: it is not what it was when the run was planned.
    """
    text = load_text(CorpusSpec.model_validate(config.data.corpus))
    if asdict(text.fingerprint) != config.data.fingerprint:
        raise InputError(f"corpus {text.fingerprint.name}: its text has changed since the sweep was planned")
    return text


def _built(folder: Path) -> SweepText:
    manifest = read_manifest(folder)
    open_tokenizer(manifest.tokenizer, folder / TOKENIZER)  # or its tokens may be read as something else
    train, held_out = train_segments(folder, manifest), held_out_segments(folder, manifest)
    bytes_of = [manifest.bytes("train"), manifest.bytes("held_out")]
    return SweepText(
        fingerprint=BuiltFingerprint(
            name=manifest.name,
            documents=manifest.documents,
            bytes=sum(size for size in bytes_of if size is not None),
            sha256=manifest.sha256,
            train_tokens=len(train),
        ),
        tokenizer=manifest.tokenizer,
        train=train,
        held_out=held_out,
        held_out_bytes=bytes_of[1],
    )
