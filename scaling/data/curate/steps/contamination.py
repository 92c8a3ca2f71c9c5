"""Drops documents that repeat evaluations, and training documents that repeat held-out ones."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from scaling.data.building.leaks import ALIKE
from scaling.data.building.part import is_held_out
from scaling.data.curate.engine.batch import ID, Batch
from scaling.data.curate.engine.decision import Decision, Reason
from scaling.data.curate.engine.stage import Stage
from scaling.data.curate.engine.view import PartView
from scaling.data.curate.spec import ContaminationSpec
from scaling.data.curate.text.evaluations import EvaluationIndex, evaluation_files, read_evaluations, write_index
from scaling.data.curate.text.held_out import Gatherer, HeldOut, merge, signatures_of

EVALUATIONS, ALIKE_HELD_OUT, WITHIN = "evaluations", "held_out.alike", "held_out.within"
_COMMON, _COMMON_SHARE = 10, 0.001
_ROW = np.dtype([("reason", "<i2"), (EVALUATIONS, "<f8"), (ALIKE_HELD_OUT, "<f8"), (WITHIN, "<f8"), ("twin", ID)])
_PAIR = np.dtype([("document", "<i8"), ("place", "<i8"), ("twin", ID)])
_ROWS, _PAIRS, _FOUND, _HELD_OUT = "rows.npy", "pairs.npy", "found.npy", "held_out.npy"

Options = Sequence[ContaminationSpec | None]


def check(options: Options) -> None:
    """Reads the evaluations.

    Raises:
        InputError: some cannot be read.
    """
    read_evaluations(_patterns(options))


def inputs(options: Options) -> list[Path]:
    """The files of the evaluations."""
    return [Path(file) for file in evaluation_files(_patterns(options))]


def run(stage: Stage) -> None:
    """Drops documents that repeat what is measured.

    What repeats an evaluation goes, but of sources that are held out as a whole. Of the training documents go the
    near-duplicates of a held-out one, by the measure of a build's leaks, and those with a share of the n-grams of one;
    unless so many have them that it is a phrase of the corpus, as a licence is.
    """
    groups = sorted({_group(each) for each in stage.options if each is not None and each.evaluations})
    tasks = [(tuple(map(os.path.abspath, evaluation_files(patterns))), words) for patterns, words in groups]
    indexes = dict(zip(groups, stage.tasks("evaluations", write_index, tasks), strict=True))
    lengths = sorted({each.words for each in stage.options if each is not None and each.held_out})
    held_out, gathered = None, stage.folder
    if lengths:
        folders = stage.survey("gathered", gather, stage.held_out, stage.only, lengths)
        [held_out] = stage.tasks("held_out", merge, [(folders, lengths)])
        gathered = folders[0].parent
    found = stage.survey("found", search, stage.only, indexes, held_out, gathered)
    phrases = [] if held_out is None else _phrases(found, len(HeldOut(held_out).ids), stage.parts)
    decided = stage.survey("decided", settle, found[0].parent, phrases)
    stage.filter_by_part(decide, decided, reasons)
    content: dict[str, Any] = {"evaluations": _evaluations(stage, indexes, found)}
    if held_out is not None:
        content["held_out"] = {"documents": len(HeldOut(held_out).ids), "phrases": len(phrases)}
    stage.note("contamination", content)


def reasons(options: ContaminationSpec, source: int) -> list[Reason]:  # noqa: ARG001
    """Why documents are dropped: a value that reaches its threshold."""
    made = []
    if options.evaluations:
        made.append(Reason(EVALUATIONS, "Llama 2 (2307.09288)", most=options.share, unit="share of its n-grams"))
    if options.held_out:
        made.append(Reason(ALIKE_HELD_OUT, most=ALIKE, unit="similarity"))
        made.append(Reason(WITHIN, "Llama 2 (2307.09288)", most=options.share, unit="share of its n-grams"))
    return made


def gather(
    folder: Path,
    view: PartView,
    options: ContaminationSpec | None,  # noqa: ARG001
    share: float,
    only: Sequence[str | None],
    lengths: Sequence[int],
) -> None:
    """Writes the held-out documents of a part, and the mask of them.

    Args:
        folder: to write into.
        view: the documents.
        options: any.
        share: of the documents that are held out.
        only: the side that each source is for.
        lengths: numbers of words of the n-grams to look for.
    """
    side, gatherer, masks = only[view.source], Gatherer(folder, lengths), [np.empty(0, bool)]
    for batch in view.batches():
        held_out = _held_out(batch.texts, share) if side is None else np.full(len(batch), side == "held_out")
        masks.append(held_out)
        if held_out.any():
            gatherer.add(batch.ids[held_out], [batch.texts[at] for at in np.flatnonzero(held_out).tolist()])
    gatherer.close()
    np.save(folder / _HELD_OUT, np.concatenate(masks))


def _held_out(texts: Sequence[str], share: float) -> Bool[np.ndarray, " documents"]:
    """Mask of the documents that a build holds out."""
    return np.array([is_held_out(hashlib.sha256(text.encode()).digest(), share) for text in texts], bool)


def search(
    folder: Path,
    view: PartView,
    options: ContaminationSpec | None,
    only: Sequence[str | None],
    indexes: dict[tuple[tuple[str, ...], int], Path],
    held_out: Path | None,
    gathered: Path,
) -> None:
    """Writes what a part's documents repeat.

    Args:
        folder: to write into.
        view: the documents.
        options: None where nothing is looked for.
        only: the side that each source is for.
        indexes: folders of the evaluations, by what options say of them.
        held_out: folder of the held-out documents.
        gathered: folder of the folders of each part's mask of them.
    """
    rows = np.zeros(view.count, _ROW)
    rows["reason"] = -1
    for name in (EVALUATIONS, ALIKE_HELD_OUT, WITHIN):
        rows[name] = np.nan
    found, pairs = [np.empty(0, np.int64)], [np.empty(0, _PAIR)]
    if options is not None and only[view.source] != "held_out":
        index = EvaluationIndex(indexes[_group(options)]) if options.evaluations else None
        others = HeldOut(held_out) if held_out is not None and options.held_out else None
        mask = np.load(gathered / f"{view.number:06}" / _HELD_OUT) if others is not None else np.zeros(view.count, bool)
        for batch in view.batches():
            own = rows[batch.first : batch.first + len(batch)]
            if index is not None:
                found.append(_search_evaluations(own, batch, options, index))
            if others is not None:
                train = ~mask[batch.first : batch.first + len(batch)]
                pairs.append(_search_held_out(own, batch, options, others, train))
    np.save(folder / _ROWS, rows)
    np.save(folder / _FOUND, np.unique(np.concatenate(found)))
    np.save(folder / _PAIRS, np.concatenate(pairs))


def _search_evaluations(
    rows: np.ndarray, batch: Batch, options: ContaminationSpec, index: EvaluationIndex
) -> Int64[np.ndarray, " found"]:
    """Fills a batch's rows; returns the evaluation documents that are repeated."""
    repeated = index.grams.repeated(batch.words, options.share)
    rows[EVALUATIONS] = repeated.shares
    rows["reason"][repeated.documents] = 0
    return index.documents[repeated.texts]


def _search_held_out(
    rows: np.ndarray, batch: Batch, options: ContaminationSpec, others: HeldOut, train: Bool[np.ndarray, " documents"]
) -> np.ndarray:
    """Fills a batch's rows but for what is within; returns the pairs of that (see ``_PAIR``)."""
    similar, twins = others.alike(signatures_of(batch.texts, batch.words))
    repeated = others.index(options.words).repeated(batch.words, options.share)
    rows[ALIKE_HELD_OUT] = np.where(train, similar, np.nan)
    rows[WITHIN] = np.where(train, repeated.shares, np.nan)
    alike = train & (twins >= 0) & (rows["reason"] < 0)
    rows["reason"][alike] = len(reasons(options, 0)) - 2
    rows["twin"][alike] = others.ids[twins[alike]]
    of_train = train[repeated.documents]
    pairs = np.empty(int(of_train.sum()), _PAIR)
    pairs["document"], pairs["place"] = batch.first + repeated.documents[of_train], repeated.texts[of_train]
    pairs["twin"] = others.ids[pairs["place"]]
    return pairs


def _phrases(found: Sequence[Path], held_out: int, parts: Sequence[PartView]) -> list[int]:
    """The held-out documents that so many documents repeat that they are phrases of the corpus."""
    counts = np.zeros(held_out, np.int64)
    for folder in found:
        counts += np.bincount(np.load(folder / _PAIRS)["place"], minlength=held_out)
    most = max(_COMMON, _COMMON_SHARE * sum(view.count for view in parts))
    return np.flatnonzero(counts > most).tolist()


def settle(
    folder: Path, view: PartView, options: ContaminationSpec | None, found: Path, phrases: Sequence[int]
) -> None:
    """Writes what is decided of a part's documents.

    Args:
        folder: to write into.
        view: the documents.
        options: None where nothing is looked for.
        found: folder of the folders of what each part repeats.
        phrases: places of the held-out documents that do not count.
    """
    rows, pairs = (np.load(found / f"{view.number:06}" / name) for name in (_ROWS, _PAIRS))
    if options is not None:
        pairs = pairs[~np.isin(pairs["place"], phrases)]
        documents, first = np.unique(pairs["document"], return_index=True)
        own = rows["reason"][documents] < 0
        rows["reason"][documents[own]] = len(reasons(options, view.source)) - 1
        rows["twin"][documents[own]] = pairs["twin"][first[own]]
    np.save(folder / _ROWS, rows)


def decide(batch: Batch, options: ContaminationSpec, state: Path) -> Decision:
    """Drops documents as it is decided."""
    rows = np.load(state / _ROWS, mmap_mode="r")[batch.first : batch.first + len(batch)]
    values = {reason.name: np.array(rows[reason.name]) for reason in reasons(options, 0)}
    return Decision(np.array(rows["reason"]), values, twins=np.array(rows["twin"]))


def _evaluations(
    stage: Stage, indexes: dict[tuple[tuple[str, ...], int], Path], found: Sequence[Path]
) -> list[dict[str, Any]]:
    """What came of each evaluation file: its documents, those too short to be looked for, and those found."""
    names = {os.path.abspath(file): file for file in evaluation_files(_patterns(stage.options))}
    about: dict[str, dict[str, Any]] = {}
    repeated: dict[str, set[int]] = {}
    for group, folder in indexes.items():
        parts = [stage.options[view.source] for view in stage.parts]
        own = [each for each, part in zip(found, parts, strict=True) if part is not None and _group(part) == group]
        numbers = np.unique(np.concatenate([np.empty(0, np.int64), *(np.load(each / _FOUND) for each in own)]))
        first = 0
        for file in EvaluationIndex(folder).about:
            stop = first + file["documents"]
            begin, end = np.searchsorted(numbers, [first, stop]).tolist()
            about.setdefault(file["file"], file)
            repeated.setdefault(file["file"], set()).update((numbers[begin:end] - first).tolist())
            first = stop
    return [{**about[file], "file": names[file], "found": len(repeated[file])} for file in sorted(about)]


def _group(options: ContaminationSpec) -> tuple[tuple[str, ...], int]:
    """The options that decide an index of evaluations."""
    return options.evaluations, options.words


def _patterns(options: Options) -> list[str]:
    """All patterns of evaluations, once each."""
    return sorted({pattern for each in options if each is not None for pattern in each.evaluations})
