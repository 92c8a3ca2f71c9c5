"""The documents of a part at one step of a curation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64

from scaling.data.curate.engine.batch import Batch
from scaling.data.curate.engine.store import INDEX, TEXTS, read_batches

KEPT, SCORES = "kept.npy", "score."


@dataclass(frozen=True)
class PartView:
    """What steps have left of a part; it can be sent to another process.

    Attributes:
        number: of the part, in the order of the sources and their files.
        source: place of its source.
        files: of the part.
        count: documents.
        bytes: of their texts.
        texts: the folder whose texts they are.
        masks: folders of the steps since then, each with a mask of the documents that it kept.
        history: folders of all steps.
    """

    number: int
    source: int
    files: tuple[str, ...]
    count: int
    bytes: int
    texts: Path
    masks: tuple[Path, ...] = ()
    history: tuple[Path, ...] = ()

    def batches(self) -> Iterator[Batch]:
        """The documents, some hundred at a time."""
        return read_batches(self.texts, self._kept())

    def index(self) -> np.ndarray:
        """Id, file and size of each document: see ``INDEX_ROW``."""
        kept, index = self._kept(), np.load(self.texts / INDEX)
        return index if kept is None else index[kept]

    def ids(self) -> np.ndarray:
        """Ids (S16) of the documents."""
        return self.index()["id"].copy()

    def sizes(self) -> Int64[np.ndarray, " documents"]:
        """Bytes of each text."""
        return self.index()["size"].copy()

    def scores(self) -> Mapping[str, np.ndarray]:
        """What steps have kept with the documents, by column."""
        found: dict[str, np.ndarray] = {}
        for folder in self.history:
            own = {path.stem.removeprefix(SCORES): np.load(path) for path in sorted(folder.glob(f"{SCORES}*.npy"))}
            kept = np.load(folder / KEPT)
            found = {name: values[kept] for name, values in (found | own).items()}
        return found

    def after(self, folder: Path, count: int, bytes: int) -> "PartView":
        """What a step has left, by its result."""
        changed = (folder / TEXTS).exists()
        return replace(
            self,
            count=count,
            bytes=bytes,
            texts=folder if changed else self.texts,
            masks=() if changed else (*self.masks, folder),
            history=(*self.history, folder),
        )

    def _kept(self) -> Bool[np.ndarray, " documents"] | None:
        """Mask of the documents among those of the texts."""
        kept: np.ndarray | None = None
        for folder in self.masks:
            mask = np.load(folder / KEPT)
            if kept is None:
                kept = mask
            else:
                kept[np.flatnonzero(kept)] = mask
        return kept
