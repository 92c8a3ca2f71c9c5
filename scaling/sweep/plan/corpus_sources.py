"""The sources of a sweep's corpus: their training tokens, their held-out texts, and what a mixture draws of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from scaling.data.batches import HeldOutWindows, Tokens, TokenSet, window_starts
from scaling.data.corpus import Corpus, CorpusSpec, Document
from scaling.data.mixing.mixed import MixedBatches
from scaling.data.mixing.shares import rounded_shares
from scaling.data.shards import Manifest, document_segments, is_built, read_manifest, source_segments
from scaling.data.tokenizer import BYTES, Tokenizer
from scaling.errors import InputError
from scaling.sweep.plan.held_out import HeldOutText, held_out_of, held_out_of_built
from scaling.sweep.spec.evaluation import source_columns


@dataclass(frozen=True)
class Sources:
    """The sources of a corpus with several, in the corpus's order; empty for a corpus of one.

    Attributes:
        train: training tokens by source, one pass of the source alone; a source without any is none.
        drawn: how many of them are in one pass over the corpus, each weighted as the corpus says.
        held_out: held-out text by source; a source without any has none.
    """

    train: Mapping[str, Tokens] = field(default_factory=dict)
    drawn: Mapping[str, int] = field(default_factory=dict)
    held_out: Mapping[str, HeldOutText] = field(default_factory=dict)

    @property
    def proportional(self) -> dict[str, float]:
        """The mixture in which each source has the share of its training tokens in those of all."""
        return _shares({name: len(tokens) for name, tokens in self.train.items()})

    @property
    def usual(self) -> dict[str, float]:
        """The mixture of a run without one: of the corpus as it is, weights included."""
        return _shares(self.drawn)

    def mixed(self, mixture: Mapping[str, float], seq_len: int, batch_size: int, seed: int) -> MixedBatches:
        """Training batches of a mixture of the sources.

        Raises:
            InputError: the corpus has one source; or as ``MixedBatches``.
        """
        if not self.train:
            raise InputError("the corpus has one source: a mixture needs several")
        return MixedBatches(self.train, mixture, seq_len, batch_size, seed)

    def epochs(self, mixture: Mapping[str, float] | None, tokens: float, seq_len: int) -> dict[str, float]:
        """Passes over each source's training tokens that a run takes; 0 for a source that it does not draw from.

        Args:
            mixture: of the run; None for the corpus as it is.
            tokens: target tokens that it is trained on.
            seq_len: context, in tokens.

        Raises:
            InputError: as ``mixed``.
        """
        if mixture is not None:
            return dict.fromkeys(self.train, 0.0) | self.mixed(mixture, seq_len, 1, 0).epochs(tokens)
        one_pass = {name: max(1, len(have) // seq_len - 1) * seq_len for name, have in self.train.items()}
        total = sum(self.drawn.values())
        return {name: drawn / total * tokens / one_pass[name] for name, drawn in self.drawn.items()}

    def windows(self, seq_len: int, eval_tokens: int) -> dict[str, HeldOutWindows]:
        """Held-out windows by source, as many of each, the same for every run whatever its mixture.

        A source whose held-out text is shorter than one window has none.

        Args:
            seq_len: context, in tokens.
            eval_tokens: target tokens of all sources together, at most (but one window of each).
        """
        texts = {name: text for name, text in self.held_out.items() if len(window_starts(text.tokens, seq_len))}
        return {name: text.windows(seq_len, eval_tokens // len(texts)) for name, text in texts.items()}


def _shares(tokens: Mapping[str, int]) -> dict[str, float]:
    total = sum(tokens.values())
    return rounded_shares({name: count / total for name, count in tokens.items()}) if tokens else {}


def sources_of_names(names: Sequence[str], corpus: Corpus, train: TokenSet) -> Sources:
    """The sources of a corpus of several domains.

    Args:
        names: of the domains; fewer than two, and there are no sources.
        corpus: their documents, each with an id that begins with its domain.
        train: the tokens of its training documents, in their order.
    """
    if len(names) < 2:
        return Sources()
    owners = np.array([names.index(_domain(document)) for document in corpus.train])
    begins = np.concatenate([np.zeros(1, np.int64), train.ends[:-1]])
    tokens = {}
    for number, name in enumerate(names):
        places = np.flatnonzero(owners == number)  # one after another, as documents are in order of id
        if len(places):
            begin, ends = int(begins[places[0]]), train.ends[places]
            tokens[name] = TokenSet(train.tokens[begin : int(ends[-1])], ends - begin)
    if len(tokens) < 2:
        return Sources()
    held_out = {}
    for name in names:
        if own := tuple(document for document in corpus.held_out if _domain(document) == name):
            held_out[name] = held_out_of(replace(corpus, held_out=own), BYTES)
    return Sources(tokens, {name: len(part) for name, part in tokens.items()}, held_out)


def _domain(document: Document) -> str:
    return document.id.partition("/")[0]


def sources_of_built(folder: Path, manifest: Manifest, tokenizer: Tokenizer | None, whole: HeldOutText) -> Sources:
    """The sources of built data.

    Args:
        folder: the data's.
        manifest: its contents.
        tokenizer: that made its tokens; None for ids that came without one.
        whole: all held-out text.
    """
    numbers = _trained(manifest)
    if len(numbers) < 2:
        return Sources()
    names = source_columns([source.name for source in manifest.sources])
    held_out = {}
    for number, name in enumerate(names):
        if manifest.tokens("held_out", number):
            tokens, size = document_segments(folder, manifest, "held_out", number), manifest.bytes("held_out", number)
            held_out[name] = held_out_of_built(whole.fingerprint, tokens, size, tokenizer, manifest.tokenizer)
    drawn = manifest.drawn
    return Sources(
        {names[number]: source_segments(folder, manifest, number) for number in numbers},
        {names[number]: drawn[number] for number in numbers},
        held_out,
    )


def _trained(manifest: Manifest) -> list[int]:
    """Numbers of the sources that have text to train on."""
    return [number for number in range(len(manifest.sources)) if manifest.tokens("train", number)]


def count_sources(corpus: CorpusSpec) -> int:
    """How many sources a corpus has; 1 where its runs know of none, or it is not there."""
    if corpus.names is not None:
        return len(corpus.names)
    if corpus.path is None or not is_built(corpus.path):
        return 1
    try:
        return max(1, len(_trained(read_manifest(Path(corpus.path).expanduser()))))
    except InputError:
        return 1
