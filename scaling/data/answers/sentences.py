"""The embedded task: finish the President's sentence, on the State of the Union addresses."""

import re
from collections.abc import Iterable, Iterator

import numpy as np

from scaling.data.answers.rows import Example, ExampleSet, Ids, PromptSet
from scaling.data.answers.splits import Gathered
from scaling.data.corpus import CorpusSpec, Document, load_corpus
from scaling.data.tokenizer import BYTES, Tokenizer
from scaling.errors import InputError

PROMPT = 32
"""Bytes of a prompt."""
SHORTEST, LONGEST = 48, 95
"""Bytes of a sentence; with its end the longest has 96 tokens."""
_NAME = "sentences"
_BETWEEN = re.compile(rb"(?<=[.!?])\s+")


def sentences(documents: Iterable[Document]) -> Iterator[bytes]:
    """The sentences of 48 to 95 bytes, in order, on one line each; ASCII alone, as a prompt ends after 32 bytes."""
    for document in documents:
        for part in _BETWEEN.split(document.text):
            sentence = b" ".join(part.split())
            if SHORTEST <= len(sentence) <= LONGEST and sentence.isascii():
                yield sentence


def sentence_examples(tokenizer: Tokenizer, seq_len: int) -> ExampleSet:
    """Sentences as examples: the first 32 bytes are the prompt, the rest and NUL the answer.

    Sentences of held-out documents are held out; of the others those are left out whose prompt is held out too.

    Raises:
        InputError: the model does not read bytes, or no sentence fits its context.
    """
    _check(tokenizer)
    gathered = Gathered[Example](_NAME, seq_len)
    for sentence, held_out in _split(gathered):
        ids = np.frombuffer(sentence + b"\0", np.uint8).astype(np.int32)
        if gathered.fits(len(ids), PROMPT):
            gathered.add(Example(ids, np.arange(len(ids)) >= PROMPT), held_out)
    kept = gathered.closed()
    return ExampleSet(kept.train, kept.held_out, kept.dropped, kept.sha256)


def sentence_prompts(tokenizer: Tokenizer, seq_len: int) -> PromptSet:
    """The prompts of the sentences; as ``sentence_examples``."""
    _check(tokenizer)
    gathered = Gathered[Ids](_NAME, seq_len)
    for sentence, held_out in _split(gathered):
        if gathered.fits(PROMPT + 1, PROMPT):
            gathered.add(np.frombuffer(sentence[:PROMPT], np.uint8).astype(np.int32), held_out)
    kept = gathered.closed()
    return PromptSet(kept.train, kept.held_out, kept.dropped, kept.sha256)


def _split(gathered: Gathered[Example] | Gathered[Ids]) -> Iterator[tuple[bytes, bool]]:
    """Each sentence, and whether it is held out."""
    corpus = load_corpus(CorpusSpec(name="sotu"))
    held_out = list(sentences(corpus.held_out))
    prompts = {sentence[:PROMPT] for sentence in held_out}
    yield from ((sentence, True) for sentence in held_out)
    for sentence in sentences(corpus.train):
        if sentence[:PROMPT] in prompts:
            gathered.drop("prompt is held out")
        else:
            yield sentence, False


def _check(tokenizer: Tokenizer) -> None:
    if tokenizer.hash != BYTES.hash:
        raise InputError(f"{_NAME}: for models that read bytes, and this one reads {tokenizer.name}")
