"""A sweep's corpus as tokens, and a run's share of it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from scaling.data.batches import Batches, RunText, Tokens, TrainingBatches, tokenize
from scaling.data.corpus import CorpusSpec, Fingerprint, load_corpus
from scaling.data.shards import (
    TOKENIZER,
    document_segments,
    held_out_segments,
    is_built,
    read_manifest,
    train_segments,
)
from scaling.data.tokenizer import BYTES, Tokenizer, Vocabulary
from scaling.data.tokenizer_files import open_tokenizer
from scaling.errors import InputError
from scaling.sweep.plan.corpus_sources import Sources, sources_of_built, sources_of_names
from scaling.sweep.plan.held_out import HeldOutText, held_out_of, held_out_of_built
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
        corpus: which one, with every option.
        tokenizer: that made the tokens.
        encoder: the same, to tokenize further texts; None for ids that came without one.
        train: what runs are trained on.
        train_documents: a function that returns the documents of the training text.
        held_out_text: what they are evaluated on.
        evaluation_sets: held-out texts of other corpora that they are evaluated on too, by name.
        by_source: the corpus's sources, where it has several.
    """

    corpus: CorpusSpec
    tokenizer: Vocabulary
    encoder: Tokenizer | None
    train: Tokens
    train_documents: Callable[[], Tokens]
    held_out_text: HeldOutText
    evaluation_sets: Mapping[str, HeldOutText] = field(default_factory=dict)
    by_source: Sources = field(default_factory=Sources)

    @property
    def sources(self) -> Mapping[str, Tokens]:
        """Training tokens of each source by name, one pass of it alone, where the corpus has several; else empty."""
        return self.by_source.train

    @property
    def fingerprint(self) -> Fingerprint:
        """Of the corpus."""
        return self.held_out_text.fingerprint

    @property
    def held_out(self) -> Tokens:
        """The tokens of the held-out documents."""
        return self.held_out_text.tokens

    def of_run(self, config: RunConfig) -> RunText:
        """The text of a run: its batches, and the held-out windows that all runs share.

        Raises:
            InputError: a mixture that the corpus's sources do not serve for, as ``Sources.mixed``.
        """
        seq_len, data = config.model.seq_len, config.data
        own = self.held_out_text.windows(seq_len, data.eval_tokens)
        if data.mixture is None:
            batches: TrainingBatches = Batches(self.train, seq_len, config.batch, config.stream)
        else:
            batches = self.by_source.mixed(data.mixture, seq_len, config.batch, config.stream)
        further = {
            name: self.evaluation_sets[name].windows(seq_len, held_out.eval_tokens)
            for name, held_out in data.evaluation_sets.items()
        }
        sources = self.by_source.windows(seq_len, data.eval_tokens)
        others = {name: windows for name, windows in sources.items() if name not in further}
        return RunText(batches, own.windows, own.documents, further | others)

    def held_out_named(self, name: str) -> HeldOutText:
        """An evaluation set, or else the held-out text of a source, by the name of its loss."""
        return self.evaluation_sets[name] if name in self.evaluation_sets else self.by_source.held_out[name]

    @property
    def frequency_loss(self) -> float:
        """Held-out loss, nats per token, of a unigram model: the training frequency of every token."""
        vocab = self.tokenizer.vocab
        counts = self.train.counts(vocab) + 1.0
        return float(-np.log(counts / counts.sum()) @ self.held_out.counts(vocab) / len(self.held_out))

    def bits_per_byte(self, loss: float) -> float:
        """A loss on the corpus's own held-out text as bits per byte, as ``HeldOutText.bits_per_byte``."""
        return self.held_out_text.bits_per_byte(loss)


def load_text(corpus: CorpusSpec) -> SweepText:
    """Loads a sweep's text: reads, splits and tokenizes a corpus, or maps built data.

    Raises:
        InputError: as ``load_corpus``, or built data that is not what its manifest says.
    """
    if corpus.path is not None and is_built(corpus.path):
        return _built(corpus, Path(corpus.path).expanduser())
    found = load_corpus(corpus)
    train = tokenize(found.train, BYTES)
    return SweepText(
        corpus=corpus,
        tokenizer=BYTES,
        encoder=BYTES,
        train=train,
        train_documents=lambda: train,
        held_out_text=held_out_of(found, BYTES),
        by_source=sources_of_names(corpus.names or (), found, train),
    )


def epochs_of(mixture: Mapping[str, float] | None, text: SweepText, tokens: float, seq_len: int) -> dict[str, float]:
    """Passes over each source's training tokens that a run takes, as ``Sources.epochs``."""
    return text.by_source.epochs(mixture, tokens, seq_len)


def load_evaluation_set(corpus: CorpusSpec, text: SweepText) -> HeldOutText:
    """Loads the held-out side of a corpus, tokenized as another text is.

    Args:
        corpus: whose held-out side it is.
        text: what is trained on.

    Raises:
        InputError: as ``load_text``; data built with another tokenizer than the text's, or text that the text's
            tokenizer is not there to encode.
    """
    if _options(corpus) == _options(text.corpus):
        return text.held_out_text
    if corpus.path is not None and is_built(corpus.path):
        folder = Path(corpus.path).expanduser()
        name = read_manifest(folder).tokenizer
        if name.hash != text.tokenizer.hash:
            raise InputError(
                f"{corpus.path} is built with the tokenizer {name.name}, and the runs' is {text.tokenizer.name}; "
                "name the text itself, or data built with the runs' own"
            )
        return _built(corpus, folder).held_out_text
    if text.encoder is None:
        raise InputError(
            f"the runs' data came as ids ({text.tokenizer.name}) without a tokenizer, so that no other text can be "
            "encoded; name built data of the same ids"
        )
    return held_out_of(load_corpus(corpus), text.encoder)


def text_of(config: RunConfig) -> SweepText:
    """Loads the text of a run's corpus, and of its evaluation sets.

    Raises:
        InputError: it is not what it was when the run was planned.
    """
    text = load_text(CorpusSpec.model_validate(config.data.corpus))
    _check_same(text.fingerprint, config.data.fingerprint, f"corpus {text.fingerprint.name}")
    sets = {}
    for name, planned in config.data.evaluation_sets.items():
        sets[name] = load_evaluation_set(CorpusSpec.model_validate(planned.corpus), text)
        _check_same(sets[name].fingerprint, planned.fingerprint, f"evaluation set {name}")
    return replace(text, evaluation_sets=sets)


def _check_same(found: Fingerprint, planned: Mapping[str, object], what: str) -> None:
    if asdict(found) != planned:
        raise InputError(f"{what}: its text has changed since the sweep was planned")


def _options(corpus: CorpusSpec) -> dict[str, object]:
    """What decides a corpus's text, as a JSON object."""
    return corpus.model_dump(mode="json", include=set(CorpusSpec.model_fields))


def _built(corpus: CorpusSpec, folder: Path) -> SweepText:
    manifest = read_manifest(folder)
    tokenizer = open_tokenizer(manifest.tokenizer, folder / TOKENIZER)  # or its tokens may be read as something else
    train, bytes_of = train_segments(folder, manifest), [manifest.bytes("train"), manifest.bytes("held_out")]
    fingerprint = BuiltFingerprint(
        name=manifest.name,
        documents=manifest.documents,
        bytes=sum(size for size in bytes_of if size is not None),
        sha256=manifest.sha256,
        train_tokens=len(train),
    )
    held_out = held_out_segments(folder, manifest)
    held_out_text = held_out_of_built(fingerprint, held_out, bytes_of[1], tokenizer, manifest.tokenizer)
    return SweepText(
        corpus=corpus,
        tokenizer=manifest.tokenizer,
        encoder=tokenizer,
        train=train,
        train_documents=lambda: document_segments(folder, manifest, "train"),
        held_out_text=held_out_text,
        by_source=sources_of_built(folder, manifest, tokenizer, held_out_text),
    )
