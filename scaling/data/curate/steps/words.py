"""Drops documents with too many words of a list."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scaling.data.curate.engine.batch import Batch
from scaling.data.curate.engine.decision import Decision, Reason
from scaling.data.curate.engine.stage import Stage
from scaling.data.curate.spec import WordListSpec
from scaling.data.curate.text.word_list import WordList, read_entries, word_list_of


def check(options: Sequence[WordListSpec | None]) -> None:
    """Reads the lists.

    Raises:
        InputError: one cannot be read.
    """
    for file in inputs(options):
        read_entries(str(file))


def inputs(options: Sequence[WordListSpec | None]) -> list[Path]:
    """The files of the lists."""
    return [Path(os.path.expanduser(file)) for file in _files(options)]


def run(stage: Stage) -> None:
    """Drops documents by the words of their source's list."""
    files = _files(stage.options)
    folders = dict(zip(files, stage.tasks("lists", write, [(read_entries(file),) for file in files]), strict=True))
    lists = [None if options is None else folders[options.list] for options in stage.options]
    stage.filter_by_part(decide, [lists[view.source] for view in stage.parts], reasons)


def reasons(options: WordListSpec, source: int) -> list[Reason]:  # noqa: ARG001
    """The one reason, judged by the share of listed words."""
    span = (0.0, min(1.0, 10 * options.most))
    return [Reason("words", most=options.most, span=span, unit="share of words")]


def write(folder: Path, entries: Sequence[str]) -> None:
    """Writes a list."""
    for length, phrases in word_list_of(entries).phrases.items():
        np.save(folder / f"{length}.npy", phrases)


def decide(batch: Batch, options: WordListSpec, state: Path) -> Decision:
    """Judges a batch by the list that ``write`` has written."""
    listed = WordList({int(path.stem): np.load(path) for path in sorted(state.glob("*.npy"))})
    shares = listed.shares(batch.words)
    return Decision(np.where(shares > options.most, 0, -1).astype(np.int16), {"words": shares})


def _files(options: Sequence[WordListSpec | None]) -> list[str]:
    return sorted({each.list for each in options if each is not None})
