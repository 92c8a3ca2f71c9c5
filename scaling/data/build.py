"""Builds a folder of shards from sources in many processes; resumes after a crash; the folder appears when complete."""

import hashlib
import json
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from scaling.data.build_part import DOCUMENT, PARTS, Job, documents_path, ids_path, is_held_out, make_part
from scaling.data.leaks import near_duplicates
from scaling.data.shards import (
    MANIFEST,
    SHARDS,
    SPLITS,
    TOKENIZER,
    Dtype,
    Manifest,
    Shard,
    SourceRecord,
    Split,
    read_manifest,
    sha256_of,
)
from scaling.data.sources import Part, parts_of, read_part
from scaling.data.spec import BuildSpec
from scaling.data.tokenizer_files import TokenizerRecord, keep_tokenizer
from scaling.errors import InputError
from scaling.files import write_text

_TRAIN_BYTES = 2**26
"""Text that a vocabulary is trained on."""
_RECORD, _LOCK = "spec.sha256", "lock"


@dataclass(frozen=True)
class BuildProgress:
    """Progress of a build: finished parts, all parts, tokens made by this call, seconds since the call began."""

    parts_done: int
    parts: int
    tokens: int
    seconds: float


def build(spec: BuildSpec, out: Path, workers: int, report: Callable[[BuildProgress], None]) -> Manifest:
    """Builds a folder of data, or resumes where an earlier call was interrupted.

    It is made in a hidden folder beside ``out``, which is left where the process is killed and is removed where the
    input is wrong.

    Args:
        spec: what to build.
        out: the folder, which must not be there yet, or hold the same.
        workers: processes that read and encode.
        report: called with the progress whenever a part is done.

    Raises:
        InputError: invalid sources or tokenizer; another folder at ``out``; a split with an empty side.
    """
    work = out.absolute().with_name(f".{out.absolute().name}.building")
    parts = [part for number, source in enumerate(spec.sources) for part in parts_of(source, number)]
    _check_formats(spec, parts)
    record = _record(spec, parts)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        return _already(out, record)
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror}") from None
    with _locked(work):
        if not (work / _RECORD).exists():
            write_text(work / _RECORD, record)
        elif (work / _RECORD).read_text() != record:
            raise InputError(f"{work}: has the beginning of other data; remove it, or choose another `out`")
        try:
            if not (work / MANIFEST).exists():
                _fill(spec, work, parts, workers, report)
            shutil.rmtree(work / PARTS, ignore_errors=True)
            os.replace(work, out)
        except InputError:
            shutil.rmtree(work)
            raise
        except BrokenProcessPool:
            why = "a process was killed, perhaps for memory: try fewer `workers`"
            raise InputError(f"{out}: {why}; what is done is kept, and the same command goes on with it") from None
        except OSError as error:
            raise InputError(f"{out}: {error}; what is done is kept, and the same command goes on with it") from None
        (out / _LOCK).unlink()
    return read_manifest(out)


def _fill(
    spec: BuildSpec, work: Path, parts: list[Part], workers: int, report: Callable[[BuildProgress], None]
) -> None:
    """Writes tokenizer, parts, shards and manifest: every step but the last rename."""
    (work / PARTS).mkdir(exist_ok=True)
    tokenizer = _tokenizer(spec, work, parts)
    dtype: Dtype = "uint8" if tokenizer.vocab <= 2**8 else "uint16" if tokenizer.vocab <= 2**16 else "uint32"
    jobs = [
        Job(work, number, part, spec.sources[part.source], tokenizer, dtype, spec.held_out)
        for number, part in enumerate(parts)
    ]
    _make(jobs, workers, report)
    manifest = _whole(spec, work, jobs, tokenizer, dtype)
    write_text(work / MANIFEST, manifest.model_dump_json(indent=1))


def _check_formats(spec: BuildSpec, parts: list[Part]) -> None:
    if not parts:
        raise InputError("the sources have no files")
    for part in parts:
        ids = part.format in ("tokens", "megatron")
        if ids and (spec.tokenizer.name is not None or spec.tokenizer.bpe is not None):
            raise InputError(
                f"{part.paths[0]}: token ids of another tokenizer; give its file as tokenizer, or {{ids: N, end: ID}}"
            )
        if not ids and spec.tokenizer.ids is not None:
            raise InputError(f"{part.paths[0]}: text needs a tokenizer, and {{ids: N}} is none")


def _record(spec: BuildSpec, parts: list[Part]) -> str:
    """JSON of everything that decides the result: the spec, the files' sizes and times, the tokenizer's content."""
    stats = {path: os.stat(path) for part in parts for path in part.paths if os.path.isfile(path)}
    files = {path: [stat.st_size, stat.st_mtime_ns] for path, stat in stats.items()}
    file = Path(spec.tokenizer.file or "").expanduser()
    tokenizer = sha256_of(file) if spec.tokenizer.file is not None and file.is_file() else None
    content = {
        "spec": spec.model_dump(mode="json"),
        "parts": [asdict(part) for part in parts],
        "files": files,
        "tokenizer": tokenizer,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _already(out: Path, record: str) -> Manifest:
    if (out / _RECORD).is_file() and (out / _RECORD).read_text() == record:
        return read_manifest(out)
    raise InputError(f"{out}: is there already, and is not this spec's data; remove it, or choose another `out`")


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    import fcntl

    with (work / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{work}: another process is building it now") from None
        yield


def _tokenizer(spec: BuildSpec, work: Path, parts: list[Part]) -> TokenizerRecord:
    path = work / PARTS / "tokenizer.json"
    if not path.exists():
        record = keep_tokenizer(spec.tokenizer, work / TOKENIZER, _training_text(spec, parts))
        write_text(path, record.model_dump_json())
    return TokenizerRecord.model_validate_json(path.read_bytes())


def _training_text(spec: BuildSpec, parts: list[Part]) -> Iterator[bytes]:
    """Training documents to train a tokenizer on, an equal share of the bytes from each part."""
    share = _TRAIN_BYTES // len(parts) + 1
    for part in parts:
        source, left = spec.sources[part.source], share
        for document in read_part(part, source, 0):
            assert isinstance(document, bytes)
            if source.only == "held_out" or left <= 0:
                break
            if source.only == "train" or not is_held_out(hashlib.sha256(document).digest(), spec.held_out):
                left -= len(document)
                yield document


def _make(jobs: list[Job], workers: int, report: Callable[[BuildProgress], None]) -> None:
    left = [job for job in jobs if not documents_path(job.folder, job.number).exists()]
    done, tokens, begun = len(jobs) - len(left), 0, time.monotonic()
    report(BuildProgress(done, len(jobs), 0, 0.0))
    for made in _results(left, min(workers, len(left))):
        done, tokens = done + 1, tokens + made
        report(BuildProgress(done, len(jobs), tokens, time.monotonic() - begun))


def _results(jobs: list[Job], workers: int) -> Iterator[int]:
    if workers <= 1:
        yield from map(make_part, jobs)
        return
    # Spawned, not forked: the parent may have threads.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker, initargs=(os.getpid(),))
    try:
        queue = iter(jobs)
        waiting = {pool.submit(make_part, job) for job in islice(queue, 2 * workers)}
        while waiting:
            future = next(as_completed(waiting))
            waiting.remove(future)
            yield future.result()
            waiting |= {pool.submit(make_part, job) for job in islice(queue, 1)}
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker(parent: int) -> None:
    """Sets up a worker process: one thread for the tokenizer, and exit when the parent has gone."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _whole(spec: BuildSpec, work: Path, jobs: list[Job], tokenizer: TokenizerRecord, dtype: Dtype) -> Manifest:
    """Drops duplicates across parts, makes the shards, counts the leaks; returns the manifest of the whole."""
    tables = [np.load(documents_path(work, job.number)) for job in jobs]
    documents = np.concatenate([*tables, np.empty(0, DOCUMENT)])
    empty = documents["bytes"] == 0
    kept = _distinct(documents) & (documents["tokens"] > 0)
    held_out = documents["held_out"]
    for split, side, way in (("train", ~held_out, "smaller"), ("held_out", held_out, "larger")):
        if not (kept & side).any():
            raise InputError(
                f"none of {int(kept.sum())} documents are in the {split} split; take a {way} held_out, more documents, "
                "or smaller pieces of long text files (piece: 16k)"
            )
    (work / SHARDS).mkdir(exist_ok=True)
    shards, begin = [], 0
    for job, table in zip(jobs, tables, strict=True):
        mask = kept[begin : begin + len(table)]
        shards += [
            _shard(work, job, split, table, mask, dtype)
            for split in SPLITS
            if (mask & (table["held_out"] == (split == "held_out"))).any()
        ]
        begin += len(table)
    leaks = near_duplicates(documents["signature"][kept & held_out], documents["signature"][kept & ~held_out])
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
        leaks=int(leaks.sum()),
    ).signed()


def _distinct(documents: np.ndarray) -> np.ndarray:
    """Mask (documents,) of the first document of each content, held-out ones first: none is trained on too."""
    kept = np.zeros(len(documents), dtype=bool)
    order = np.lexsort((np.arange(len(documents)), ~documents["held_out"]))
    order = order[documents["tokens"][order] > 0]
    kept[order[np.unique(documents["hash"][order], return_index=True)[1]]] = True
    return kept


def _shard(work: Path, job: Job, split: Split, table: np.ndarray, kept: np.ndarray, dtype: str) -> Shard:
    """Makes the shard of one part and side of the split; its file may be there already after a crash."""
    side = table["held_out"] == (split == "held_out")
    lengths, mask = table["tokens"][side].astype(np.int64), kept[side]
    made, name = ids_path(work, job.number, split), f"{SHARDS}/{job.number:05}.{split}.bin"
    path = work / name
    if not path.exists():
        if mask[lengths > 0].all():
            os.replace(made, path)
        else:
            ids = np.fromfile(made, dtype=np.dtype(dtype).newbyteorder("<"))
            ids[np.repeat(mask, lengths)].tofile(made.with_suffix(".kept"))
            os.replace(made.with_suffix(".kept"), path)
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
