"""Documents as the steps of a curation see them, some hundred at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64

from scaling.data.curate.text.words import Words, words_of

ID = np.dtype("S16")
"""Of a document: the first 16 bytes of the SHA-256 of its text as it was read."""


@dataclass(frozen=True)
class Batch:
    """Documents of one part: about a million characters, or a longer one by itself.

    Attributes:
        texts: as the steps before have left them; none is empty or has a NUL.
        ids: of the documents, each there once in the whole corpus once exact duplicates are gone.
        files: place of each document's file among the part's.
        sizes: bytes of each text in UTF-8.
        first: place of the first of them among the part's documents at this step.
    """

    texts: Sequence[str]
    ids: np.ndarray
    files: Int64[np.ndarray, " documents"]
    sizes: Int64[np.ndarray, " documents"]
    first: int = 0

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def words(self) -> Words:
        """Words of the texts."""
        return words_of(self.texts)
