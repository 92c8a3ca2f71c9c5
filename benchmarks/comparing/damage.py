"""Corpora with planted damage: some of the training documents are shuffled, or copies of others.

Documents are pieces of the State of the Union addresses, all of one length, and the damaged ones keep their place and
length, so that every corpus has the same number of tokens. Held-out documents are whole addresses that no corpus is
trained on, the same and undamaged for all.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scaling.data.build import build
from scaling.data.corpus import CorpusSpec, load_corpus
from scaling.data.spec import BuildSpec, SourceSpec

PIECE, PIECES = 1000, 160
KINDS = ("shuffled", "duplicated", "scrambled")


def pieces(count: int = PIECES) -> list[str]:
    """Pieces of the training side of ``sotu``, evenly spaced over it."""
    whole = "\n".join(
        document.text.decode("ascii", "ignore") for document in load_corpus(CorpusSpec(name="sotu")).train
    )
    starts = np.linspace(0, len(whole) - PIECE, count).astype(int)
    return [whole[start : start + PIECE] for start in starts]


def held_out() -> list[str]:
    """The documents that ``sotu`` holds out."""
    documents = load_corpus(CorpusSpec(name="sotu")).held_out
    return [document.text.decode("ascii", "ignore") for document in documents]


def shuffled(text: str, rng: np.random.Generator) -> str:
    """A text with its words in random order; what parts them stays where it is in their sequence."""
    parts = re.split(r"(\s+)", text)
    words = parts[::2]
    parts[::2] = [words[i] for i in rng.permutation(len(words))]
    return "".join(parts)


def scrambled(text: str, rng: np.random.Generator) -> str:
    """A text with its characters in random order."""
    return "".join(text[i] for i in rng.permutation(len(text)))


def copied(text: str) -> str:
    """A copy that differs in its last character, as the build drops what is the same throughout."""
    return text[:-1] + ("\n" if text[-1] != "\n" else " ")


def damaged(documents: Sequence[str], kind: str, share: float, seed: int = 0) -> list[str]:
    """Documents of which a share is damaged; a larger share damages the same ones, and more.

    Args:
        documents: all distinct.
        kind: ``shuffled``: their words are; ``scrambled``: their characters are; ``duplicated``: they are copies of
            undamaged ones, each of another.
        share: at most a half.
        seed: which ones, and how.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(documents))
    found = list(documents)
    for turn in range(round(share * len(documents))):
        place, other = order[turn], order[len(order) - 1 - turn]
        if kind == "duplicated":
            found[place] = copied(documents[other])
        else:
            found[place] = {"shuffled": shuffled, "scrambled": scrambled}[kind](documents[place], rng)
    return found


def write_corpus(folder: Path, documents: Sequence[str], unseen: Sequence[str]) -> None:
    """Writes documents as JSON lines, and builds a folder of data that a sweep file can name.

    Args:
        folder: gets ``train.jsonl``, ``held_out.jsonl`` and ``data``.
        documents: to be trained on.
        unseen: to be held out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sources = []
    for name, texts in (("train", documents), ("held_out", unseen)):
        path = folder / f"{name}.jsonl"
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        if not path.exists() or path.read_text() != lines:  # a build knows its files by their time
            path.write_text(lines)
        sources.append(SourceSpec.model_validate({"path": str(path), "name": name, "only": name}))
    build(BuildSpec(name=folder.name, sources=tuple(sources)), folder / "data", 1, lambda _: None)
