"""Builds a folder of shards from sources in many processes; resumes after a crash; the folder appears when complete."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scaling.data.building.joining import join
from scaling.data.building.notes import Notes
from scaling.data.building.part import DONE, PARTS, Job, is_held_out, make_part
from scaling.data.building.survey import Survey, survey
from scaling.data.locked import locked
from scaling.data.pool import spawned_pool
from scaling.data.shards import MANIFEST, TOKENIZER, Dtype, Manifest, read_manifest, sha256_of
from scaling.data.sources import Part, read_part, reading_of, strict
from scaling.data.spec import BuildSpec
from scaling.data.tokenizer_files import find_tokenizer, keep_tokenizer
from scaling.data.tokenizer_kinds import TokenizerRecord
from scaling.errors import InputError
from scaling.files import write_text

_TRAIN_BYTES = 2**26
"""Text that a vocabulary is trained on."""
_RECORD, _LOCK, _OLD = "spec.sha256", "lock", "done"


@dataclass(frozen=True)
class BuildProgress:
    """Progress of a build: finished parts, all parts, tokens made by this call, seconds since the call began."""

    parts_done: int
    parts: int
    tokens: int
    seconds: float


def build(
    spec: BuildSpec,
    out: Path,
    workers: int,
    report: Callable[[BuildProgress], None],
    on_error: Literal["stop", "skip"] = "stop",
) -> Manifest:
    """Builds a folder of data, or resumes where an earlier call was interrupted or met an error.

    It is made in a hidden folder beside ``out``. A part that is done is kept there, whatever happens to others, until
    all are done; it is used again as long as its files and what they are read with stay as they are.

    Args:
        spec: what to build.
        out: the folder, which must not be there yet, or hold the same.
        workers: processes that read and encode.
        report: called with the progress whenever a part is done.
        on_error: ``skip`` leaves out documents and files that cannot be read, and counts them; with ``stop`` the first
            is an error.

    Raises:
        InputError: invalid sources or tokenizer; another folder at ``out``; a split with an empty side.
    """
    work = out.absolute().with_name(f".{out.absolute().name}.building")
    skip = on_error == "skip"
    found = survey(spec, skip)
    record = _record(spec, found.parts)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        return _already(out, record)
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror}") from None
    with locked(work / _LOCK, "another process is building it now"):
        try:
            if not _is_whole(work, record):
                _fill(spec, work, found, workers, report, skip)
                write_text(work / _RECORD, record)
            if (work / PARTS).exists():
                # Under another name, as what is half removed is no part.
                os.replace(work / PARTS, work / _OLD)
            shutil.rmtree(work / _OLD, ignore_errors=True)
            os.replace(work, out)
        except InputError as error:
            raise InputError(_kept(work, error.errors)) from None
        except BrokenProcessPool:
            why = "a process was killed, perhaps for memory: try fewer `workers`"
            raise InputError(f"{out}: {why}; what is done is kept, and the same command goes on with it") from None
        except OSError as error:
            raise InputError(f"{out}: {error}; what is done is kept, and the same command goes on with it") from None
        (out / _LOCK).unlink()
    return read_manifest(out)


def _is_whole(work: Path, record: str) -> bool:
    """Whether a folder lacks nothing but its name, after a crash at the very end."""
    if (work / MANIFEST).exists() and (work / _RECORD).is_file() and (work / _RECORD).read_text() == record:
        return True
    for name in (_RECORD, MANIFEST):
        (work / name).unlink(missing_ok=True)
    shutil.rmtree(work / _OLD, ignore_errors=True)
    return False


def _kept(work: Path, errors: tuple[str, ...]) -> tuple[str, ...]:
    """The errors, the last with what is kept; where nothing is done, nothing is left."""
    notes = [path.with_name(path.name.replace("documents.npy", "notes.json")) for path in work.glob(DONE)]
    done = sum(Notes.model_validate_json(path.read_bytes()).documents > 0 for path in notes)
    if not done:
        shutil.rmtree(work)
        return errors
    parts = "the part that is done is" if done == 1 else f"the {done} parts that are done are"
    return (*errors[:-1], f"{errors[-1]}; {parts} kept for the next try")


def _fill(
    spec: BuildSpec, work: Path, found: Survey, workers: int, report: Callable[[BuildProgress], None], skip: bool
) -> None:
    """Writes tokenizer, parts, shards and manifest: every step but the last rename."""
    (work / PARTS).mkdir(exist_ok=True)
    tokenizer = _tokenizer(spec, work, found.parts, skip)
    dtype: Dtype = "uint8" if tokenizer.vocab <= 2**8 else "uint16" if tokenizer.vocab <= 2**16 else "uint32"
    jobs = [
        Job(
            work,
            number,
            _digest(reading_of(part, source), tokenizer.hash, dtype, spec.held_out, source.only),
            part,
            source,
            tokenizer,
            dtype,
            spec.held_out,
            skip,
        )
        for number, part in enumerate(found.parts)
        for source in [spec.sources[part.source]]
    ]
    _make(jobs, workers, report)
    manifest = join(spec, work, jobs, tokenizer, dtype, found.warnings)
    write_text(work / MANIFEST, manifest.model_dump_json(indent=1))


def _digest(*content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _record(spec: BuildSpec, parts: list[Part]) -> str:
    """Digest of everything that decides the result: the spec, the files' sizes and times, the tokenizer's content."""
    files = [reading_of(part, spec.sources[part.source]) for part in parts]
    return _digest(_content(spec), files, _tokenizer_content(spec))


def _content(spec: BuildSpec) -> dict[str, Any]:
    """The spec without what it does not name and earlier ones had not."""
    content = spec.model_dump(mode="json")
    for part in (content, *content["sources"]):
        part.pop("curate")
    return content


def _tokenizer_content(spec: BuildSpec) -> str | None:
    return sha256_of(find_tokenizer(spec.tokenizer.file)) if spec.tokenizer.file is not None else None


def _already(out: Path, record: str) -> Manifest:
    if (out / _RECORD).is_file() and (out / _RECORD).read_text() == record:
        return read_manifest(out)
    raise InputError(f"{out}: is there already, and is not this spec's data; remove it, or choose another `out`")


def _tokenizer(spec: BuildSpec, work: Path, parts: list[Part], skip: bool) -> TokenizerRecord:
    """The tokenizer of a build, which is kept with it and made again where what decides it has changed."""
    text = [reading_of(part, spec.sources[part.source]) for part in parts] if spec.tokenizer.bpe is not None else []
    key = _digest(spec.tokenizer.model_dump(mode="json"), _tokenizer_content(spec), text, spec.held_out)
    path = work / PARTS / f"{key}.tokenizer.json"
    if not path.exists():
        shutil.rmtree(work / TOKENIZER, ignore_errors=True)
        for other in (work / PARTS).glob("*.tokenizer.json"):
            other.unlink()
        record = keep_tokenizer(spec.tokenizer, work / TOKENIZER, _training_text(spec, parts, skip))
        write_text(path, record.model_dump_json())
    return TokenizerRecord.model_validate_json(path.read_bytes())


def _training_text(spec: BuildSpec, parts: list[Part], skip: bool) -> Iterator[bytes]:
    """Training documents to train a tokenizer on, an equal share of the bytes from each part."""
    share = _TRAIN_BYTES // len(parts) + 1
    for part in parts:
        source, left = spec.sources[part.source], share
        documents = read_part(part, source, 0)
        for document in documents if skip else strict(documents):
            if source.only == "held_out" or left <= 0:
                break
            if not isinstance(document, bytes):
                continue
            if source.only == "train" or not is_held_out(hashlib.sha256(document).digest(), spec.held_out):
                left -= len(document)
                yield document


def _make(jobs: list[Job], workers: int, report: Callable[[BuildProgress], None]) -> None:
    left = [job for job in jobs if not job.is_done]
    done, tokens, begun = len(jobs) - len(left), 0, time.monotonic()
    report(BuildProgress(done, len(jobs), 0, 0.0))
    for made in _results(left, min(workers, len(left))):
        done, tokens = done + 1, tokens + made
        report(BuildProgress(done, len(jobs), tokens, time.monotonic() - begun))


def _results(jobs: list[Job], workers: int) -> Iterator[int]:
    if workers <= 1:
        yield from map(make_part, jobs)
        return
    with spawned_pool(workers) as each:
        yield from each(make_part, jobs)
