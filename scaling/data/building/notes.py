"""What a build meets that its user should know: documents and files left out, text that a tokenizer loses."""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Integer
from pydantic import BaseModel, ConfigDict

from scaling.data.tokenizer import BYTES, Tokenizer, is_gone, lost
from scaling.errors import InputError

_EXAMPLES = 3
_FIRST, _NEXT, _LENGTH = 50, 2000, 2000
"""Documents of a part of which each, and of which every eighth, is decoded again, up to so many bytes."""


BuildCode = Literal[
    "skipped-files",
    "skipped-documents",
    "mixed-formats",
    "tokenizer-state",
    "lossy-tokenizer",
    "end-in-text",
    "odd-ids",
    "no-end",
]


class BuildWarning(BaseModel):
    """A warning of a build, kept with its data.

    Attributes:
        code: of the warning.
        message: in words.
        count: how many documents, files or tokens.
        examples: the first of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: BuildCode
    message: str
    count: int
    examples: tuple[str, ...] = ()


class Notes(BaseModel):
    """Counts of a part's documents as they are encoded.

    Attributes:
        documents: that were read and have text or ids.
        tokens: made of them.
        skipped: documents refused, and the first of the reasons.
        dropped: documents of text that have no ids at all.
        unknown: ids that stand for text without a token, and the beginnings of the first texts with such.
        sampled: documents that were decoded again.
        changed: of these, those that did not come back as they were, and the first differences.
        gone: of these, those of which nothing came back.
        with_end: documents whose ids have the one that closes documents.
        open: files of ids in which no document ends.
    """

    documents: int = 0
    tokens: int = 0
    skipped: int = 0
    skipped_examples: list[str] = []
    dropped: int = 0
    dropped_examples: list[str] = []
    unknown: int = 0
    unknown_examples: list[str] = []
    sampled: int = 0
    changed: int = 0
    changed_examples: list[str] = []
    gone: int = 0
    with_end: int = 0
    open: list[str] = []

    def skip(self, line: str) -> None:
        """Counts a document that is refused."""
        self.skipped += 1
        self.skipped_examples = [*self.skipped_examples, line][:_EXAMPLES]

    def encoded(self, text: bytes, ids: Integer[np.ndarray, " tokens"], tokenizer: Tokenizer) -> None:
        """Counts a document of text and its ids."""
        self.documents, self.tokens = self.documents + 1, self.tokens + len(ids)
        if tokenizer.hash == BYTES.hash:
            return
        if not len(ids):
            self.dropped += 1
            self.dropped_examples = [*self.dropped_examples, repr(text[:60].decode(errors="replace"))][:_EXAMPLES]
        unknown = 0 if tokenizer.unknown is None else int((ids == tokenizer.unknown).sum())
        if unknown:
            self.unknown += unknown
            self.unknown_examples = [*self.unknown_examples, repr(text[:60].decode(errors="replace"))][:_EXAMPLES]
        self.with_end += bool((ids == tokenizer.end).any())
        if self.documents % (1 if self.documents <= _FIRST else 8 if self.documents <= _NEXT else 256) == 0:
            self.sampled += 1
            sample = text[:_LENGTH].decode(errors="ignore")
            if (difference := lost(tokenizer, sample)) is not None:
                self.changed += 1
                self.gone += is_gone(tokenizer, sample)
                self.changed_examples = [*self.changed_examples, difference][:_EXAMPLES]


def joined(notes: Iterable[Notes]) -> Notes:
    """The counts of all parts."""
    total = Notes()
    for part in notes:
        for name in Notes.model_fields:
            one, other = getattr(total, name), getattr(part, name)
            setattr(total, name, (one + other)[:_EXAMPLES] if isinstance(one, list) and name != "open" else one + other)
    return total


def check_all(notes: Notes, tokenizer: str) -> None:
    """Checks that something of the documents is left.

    Raises:
        InputError: all are refused, or the tokenizer has no token for their text.
    """
    if notes.skipped and not notes.documents:
        raise InputError(f"no documents: all {notes.skipped} were skipped, the first: {notes.skipped_examples[0]}")
    if not notes.documents:
        raise InputError("the sources have no documents: every text is empty")
    if notes.dropped == notes.documents:
        first = notes.dropped_examples[0]
        raise InputError(f"tokenizer {tokenizer}: gives no ids for any of {notes.documents} documents, as {first}")
    if notes.sampled and notes.gone == notes.sampled:
        first = notes.changed_examples[0]
        raise InputError(f"tokenizer {tokenizer}: nothing of the text is in its ids: {first}")
    if notes.tokens and notes.unknown == notes.tokens:
        raise InputError(f"tokenizer {tokenizer}: all {notes.tokens} ids stand for text that it has no token for")


def warnings_of(notes: Notes, tokenizer: str) -> list[BuildWarning]:
    """What to tell of the documents of a build."""
    found = []

    def warn(code: BuildCode, count: int, message: str, examples: Sequence[str]) -> None:
        if count:
            first = f", the first: {examples[0]}" if examples else ""
            found.append(BuildWarning(code=code, message=message + first, count=count, examples=tuple(examples)))

    of, documents = f"tokenizer {tokenizer}", f"{notes.documents} documents"
    message = f"documents that cannot be read are skipped: {notes.skipped}"
    warn("skipped-documents", notes.skipped, message, notes.skipped_examples)
    message = f"{of}: no ids for {notes.dropped} of {documents}, which are left out"
    warn("lossy-tokenizer", notes.dropped, message, notes.dropped_examples)
    share = notes.unknown / max(notes.tokens, 1)
    message = f"{of}: {notes.unknown} of {notes.tokens} ids ({share:.2%}) stand for text that it has no token for"
    warn("lossy-tokenizer", notes.unknown, message, notes.unknown_examples)
    message = f"{of}: text is not as it was in {notes.changed} of {notes.sampled} documents that were decoded again"
    warn("lossy-tokenizer", notes.changed, message, notes.changed_examples)
    message = f"{of}: the id that closes documents is within {notes.with_end} of {documents}"
    warn("end-in-text", notes.with_end, message, [])
    message = f"no document is closed by end in files of ids: {len(notes.open)}"
    warn("no-end", len(notes.open), message, notes.open[:_EXAMPLES])
    return found
