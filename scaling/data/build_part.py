"""Token ids of one part of the sources, written to disk by one process, all or nothing."""

import hashlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from scaling.data.leaks import HASHES, text_signature, token_signature
from scaling.data.shards import SPLITS, TOKENIZER, Split
from scaling.data.sources import Part, read_part
from scaling.data.spec import SourceSpec
from scaling.data.tokenizer import Tokenizer
from scaling.data.tokenizer_files import TokenizerRecord, open_tokenizer
from scaling.errors import InputError

DOCUMENT = np.dtype(
    [("hash", "S16"), ("tokens", "<u4"), ("bytes", "<i8"), ("held_out", "?"), ("signature", "<u4", HASHES)]
)
"""A row of a part's table of documents while data is built: bytes are -1 where the source was tokens."""
PARTS = "parts"


@dataclass(frozen=True)
class Job:
    """A part to build.

    Attributes:
        folder: that is being built.
        number: of the part.
        part: where its documents are.
        source: its source.
        tokenizer: whose file the folder has.
        dtype: of the ids.
        held_out: share of documents to hold out.
    """

    folder: Path
    number: int
    part: Part
    source: SourceSpec
    tokenizer: TokenizerRecord
    dtype: str
    held_out: float


def ids_path(folder: Path, number: int, split: Split) -> Path:
    """Path of a part's ids until the build is complete."""
    return folder / PARTS / f"{number:05}.{split}.bin"


def documents_path(folder: Path, number: int) -> Path:
    """Path of a part's table of documents, which is written last: where it exists, the part is done."""
    return folder / PARTS / f"{number:05}.documents.npy"


def is_held_out(digest: bytes, share: float) -> bool:
    """Whether the document of a SHA-256 is held out, which depends on nothing but its content and the share."""
    return int.from_bytes(digest[-8:], "big") < share * 2**64


def make_part(job: Job) -> int:
    """Reads, splits and encodes a part's documents, each content once; returns the number of tokens.

    Raises:
        InputError: an invalid file, or ids beyond the vocabulary.
    """
    tokenizer = _tokenizer(job.tokenizer, job.folder)
    suffix = f".{uuid.uuid4().hex[:12]}"
    paths = {split: ids_path(job.folder, job.number, split) for split in SPLITS}
    open_files = {split: Path(f"{path}{suffix}").open("wb") for split, path in paths.items()}  # noqa: SIM115
    documents, seen = [], set()
    try:
        for digest, ids, size, signature in _encoded(job, tokenizer):
            if digest in seen:
                ids = ids[:0]
            seen.add(digest)
            held_out = is_held_out(digest, job.held_out) if job.source.only is None else job.source.only == "held_out"
            if len(ids):
                closed = np.append(ids, np.array(job.tokenizer.end, ids.dtype))
                open_files["held_out" if held_out else "train"].write(closed.astype(job.dtype).tobytes())
            tokens = len(ids) + 1 if len(ids) else 0
            documents.append((digest[:16], tokens, size, held_out, signature))
        for split, file in open_files.items():
            file.close()
            os.replace(file.name, paths[split])
        table = documents_path(job.folder, job.number)
        with open(f"{table}{suffix}", "wb") as file:
            np.save(file, np.array(documents, dtype=DOCUMENT))
        os.replace(file.name, table)
    finally:
        for file in open_files.values():
            file.close()
            Path(file.name).unlink(missing_ok=True)
    return sum(document[1] for document in documents)


@lru_cache(maxsize=1)
def _tokenizer(record: TokenizerRecord, folder: Path) -> Tokenizer | None:
    return open_tokenizer(record, folder / TOKENIZER)


def _encoded(
    job: Job, tokenizer: Tokenizer | None
) -> Iterator[tuple[bytes, Integer[np.ndarray, " tokens"], int, np.ndarray]]:
    """Digest, ids, bytes of text (-1 of token ids) and signature of each document; an empty one has no ids."""
    for number, document in enumerate(read_part(job.part, job.source, job.tokenizer.end), job.part.begin):
        if isinstance(document, bytes):
            digest = hashlib.sha256(document).digest()
            if tokenizer is None:
                raise InputError(f"{job.source.label}: text needs a tokenizer, and tokenizer: ids is none")
            ids = tokenizer.encode(document) if document else np.empty(0, np.int32)
            size, signature = len(document), text_signature(document)
        else:
            ids, size, signature = document, -1, token_signature(document)
            digest = hashlib.sha256(ids.astype("<u4").tobytes()).digest()
            if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < job.tokenizer.vocab:
                at = int(np.flatnonzero((ids < 0) | (ids >= job.tokenizer.vocab))[0])
                where = f"{job.part.paths[0]}: document {number}, token {at}"
                raise InputError(f"{where}: id {ids[at]} is beyond the vocabulary of {job.tokenizer.vocab}")
        yield digest, ids, size if len(ids) else 0, signature
