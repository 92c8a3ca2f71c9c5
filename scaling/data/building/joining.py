"""The parts of a build joined: duplicates dropped, shards made, leaks and warnings counted."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from scaling.data.building.leaks import near_duplicates, read_signatures
from scaling.data.building.notes import BuildWarning, check_all, joined, warnings_of
from scaling.data.building.part import DOCUMENT, Job
from scaling.data.shards import SHARDS, SPLITS, Dtype, Manifest, Shard, SourceRecord, Split, sha256_of
from scaling.data.spec import BuildSpec
from scaling.data.tokenizer_kinds import TokenizerRecord
from scaling.errors import InputError


def join(
    spec: BuildSpec,
    work: Path,
    jobs: list[Job],
    tokenizer: TokenizerRecord,
    dtype: Dtype,
    warnings: Sequence[BuildWarning],
) -> Manifest:
    """Drops duplicates across parts, makes the shards, counts the leaks; returns the manifest of the whole.

    Args:
        spec: of the build.
        work: the folder, with every part done; they stay as they are.
        jobs: of the parts.
        tokenizer: that made the ids.
        dtype: of the ids.
        warnings: of the files, which come before those of the documents.

    Raises:
        InputError: a side of the split is empty, or a tokenizer has lost all text.
    """
    notes = joined(job.notes() for job in jobs)
    check_all(notes, tokenizer.name)
    tables = [np.load(job.documents_path) for job in jobs]
    documents = np.concatenate([*tables, np.empty(0, DOCUMENT)])
    empty = documents["bytes"] == 0
    kept = _distinct(documents) & (documents["tokens"] > 0)
    held_out = documents["held_out"]
    _check_sides(kept, held_out, f"; no id {tokenizer.end} closes a document in {notes.open[0]}" if notes.open else "")
    shutil.rmtree(work / SHARDS, ignore_errors=True)
    (work / SHARDS).mkdir()
    shards, begin = [], 0
    for job, table in zip(jobs, tables, strict=True):
        mask = kept[begin : begin + len(table)]
        shards += [
            _shard(work, job, split, table, mask, dtype)
            for split in SPLITS
            if (mask & (table["held_out"] == (split == "held_out"))).any()
        ]
        begin += len(table)
    leaks = _leaks(jobs, tables, kept)
    return Manifest(
        name=spec.name,
        dtype=dtype,
        tokenizer=tokenizer,
        held_out=spec.held_out,
        sources=tuple(
            SourceRecord(name=source.label, weight=source.weight, epochs=source.epochs) for source in spec.sources
        ),
        shards=tuple(shards),
        duplicates=int((~kept & ~empty).sum()),
        empty=int(empty.sum()),
        leaks=leaks,
        warnings=(*warnings, *warnings_of(notes, tokenizer.name)),
    ).signed()


def _leaks(jobs: list[Job], tables: list[np.ndarray], kept: np.ndarray) -> int:
    """Held-out documents with a near-duplicate that is trained on."""
    masks = np.split(kept, np.cumsum([len(table) for table in tables])[:-1])

    def signatures(held_out: bool) -> Iterator[np.ndarray]:
        for job, table, mask in zip(jobs, tables, masks, strict=True):
            yield from read_signatures(job.signatures_path, mask & (table["held_out"] == held_out))

    return int(near_duplicates(np.concatenate(list(signatures(True))), signatures(False)).sum())


def _check_sides(kept: np.ndarray, held_out: np.ndarray, hint: str) -> None:
    """Raises an InputError where a side of the split has no documents."""
    for split, side, way in (("train", ~held_out, "smaller"), ("held_out", held_out, "larger")):
        if not (kept & side).any():
            raise InputError(
                f"none of {int(kept.sum())} documents are in the {split} split; take a {way} held_out, more documents, "
                f"or smaller pieces of long text files (piece: 16k){hint}"
            )


def _distinct(documents: np.ndarray) -> np.ndarray:
    """Mask (documents,) of the first document of each content, held-out ones first: none is trained on too."""
    kept = np.zeros(len(documents), dtype=bool)
    order = np.lexsort((np.arange(len(documents)), ~documents["held_out"]))
    order = order[documents["tokens"][order] > 0]
    kept[order[np.unique(documents["hash"][order], return_index=True)[1]]] = True
    return kept


def _shard(work: Path, job: Job, split: Split, table: np.ndarray, kept: np.ndarray, dtype: str) -> Shard:
    """Makes the shard of one part and side of the split, from the part's ids, which stay for another try."""
    side = table["held_out"] == (split == "held_out")
    lengths, mask = table["tokens"][side].astype(np.int64), kept[side]
    made, name = job.ids_path(split), f"{SHARDS}/{job.number:05}.{split}.bin"
    path = work / name
    if mask[lengths > 0].all():
        _link(made, path)
    else:
        ids = np.fromfile(made, dtype=np.dtype(dtype).newbyteorder("<"))
        ids[np.repeat(mask, lengths)].tofile(path)
    lengths[mask].astype("<u4").tofile(path.with_suffix(".lengths"))
    sizes = table["bytes"][side][mask]
    return Shard(
        file=name,
        source=job.part.source,
        split=split,
        tokens=int(lengths[mask].sum()),
        documents=int(mask.sum()),
        bytes=None if (sizes < 0).any() else int(sizes.sum()),
        sha256=sha256_of(path),
        lengths_sha256=sha256_of(path.with_suffix(".lengths")),
    )


def _link(made: Path, path: Path) -> None:
    """Gives a file a second name, or copies it where the disk has no links."""
    try:
        os.link(made, path)
    except OSError:
        shutil.copyfile(made, path)
