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

from scaling.data.building.leaks import SignatureWriter
from scaling.data.building.notes import Notes
from scaling.data.formats.streams import Refused
from scaling.data.formats.token_files import has_end
from scaling.data.shards import SPLITS, TOKENIZER, Split
from scaling.data.sources import Part, read_part
from scaling.data.spec import SourceSpec
from scaling.data.tokenizer import Tokenizer
from scaling.data.tokenizer_files import open_tokenizer
from scaling.data.tokenizer_kinds import TokenizerRecord
from scaling.errors import InputError
from scaling.files import write_text

DOCUMENT = np.dtype([("hash", "S16"), ("tokens", "<u4"), ("bytes", "<i8"), ("held_out", "?")])
"""A row of a part's table of documents while data is built: bytes are -1 where the source was tokens."""
PARTS = "parts"
DONE = f"{PARTS}/*.documents.npy"
"""The tables of the parts that are done, within the folder that is built."""
_LAYOUT = 2
"""Of a part's files; those of an earlier version of this package are not used."""


@dataclass(frozen=True)
class Job:
    """A part to build.

    Attributes:
        folder: that is being built.
        number: of the part.
        key: of all that decides the part's tokens, which names its files.
        part: where its documents are.
        source: its source.
        tokenizer: whose file the folder has.
        dtype: of the ids.
        held_out: share of documents to hold out.
        skip: documents that are refused are left out and counted; else the first is an error.
    """

    folder: Path
    number: int
    key: str
    part: Part
    source: SourceSpec
    tokenizer: TokenizerRecord
    dtype: str
    held_out: float
    skip: bool = False

    def ids_path(self, split: Split) -> Path:
        """Path of the part's ids until the build is complete."""
        return self._path(f"{split}.bin")

    @property
    def signatures_path(self) -> Path:
        """Path of the signatures of the documents in the table, in its order."""
        return self._path("signatures.bin")

    @property
    def documents_path(self) -> Path:
        """Path of the part's table of documents, which is written last: where it exists, the part is done."""
        return self._path("documents.npy")

    @property
    def notes_path(self) -> Path:
        """Path of what was met in the part."""
        return self._path("notes.json")

    def notes(self) -> Notes:
        """What was met in the part, which is done."""
        return Notes.model_validate_json(self.notes_path.read_bytes())

    @property
    def is_done(self) -> bool:
        """Whether the part is made, and without documents left out that may not be."""
        return self.documents_path.exists() and (self.skip or not self.notes().skipped)

    def _path(self, name: str) -> Path:
        return self.folder / PARTS / f"{self.key}.{_LAYOUT}.{name}"


def is_held_out(digest: bytes, share: float) -> bool:
    """Whether the document of a SHA-256 is held out, which depends on nothing but its content and the share."""
    return int.from_bytes(digest[-8:], "big") < share * 2**64


def make_part(job: Job) -> int:
    """Reads, splits and encodes a part's documents, each content once; returns the number of tokens.

    Raises:
        InputError: a document that is refused, unless such are to be skipped.
    """
    tokenizer, notes = _tokenizer(job.tokenizer, job.folder), Notes()
    suffix = f".{uuid.uuid4().hex[:12]}"
    paths: dict[str, Path] = {split: job.ids_path(split) for split in SPLITS}
    paths["signatures"] = job.signatures_path
    open_files = {name: Path(f"{path}{suffix}").open("wb") for name, path in paths.items()}  # noqa: SIM115
    signatures = SignatureWriter(open_files["signatures"])
    documents, seen = [], set()
    try:
        for digest, ids, size, document in _encoded(job, tokenizer, notes):
            signatures.add(document)
            if digest in seen:
                ids = ids[:0]
            seen.add(digest)
            held_out = is_held_out(digest, job.held_out) if job.source.only is None else job.source.only == "held_out"
            if len(ids):
                closed = np.append(ids, np.array(job.tokenizer.end, ids.dtype))
                open_files["held_out" if held_out else "train"].write(closed.astype(job.dtype).tobytes())
            tokens = len(ids) + 1 if len(ids) else 0
            documents.append((digest[:16], tokens, size, held_out))
        signatures.finish()
        for name, file in open_files.items():
            file.close()
            os.replace(file.name, paths[name])
        write_text(job.notes_path, notes.model_dump_json())
        table = job.documents_path
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
    job: Job, tokenizer: Tokenizer | None, notes: Notes
) -> Iterator[tuple[bytes, Integer[np.ndarray, " tokens"], int, bytes | Integer[np.ndarray, " tokens"]]]:
    """Digest, ids, bytes of text (-1 of token ids) of each document, and itself; an empty one has no ids."""
    for number, document in enumerate(read_part(job.part, job.source, job.tokenizer.end), job.part.begin):
        refused = document if isinstance(document, Refused) else _violation(document, job, number)
        if refused is not None:
            if not job.skip:
                left = "the rest of the file" if refused.rest else "such documents"
                raise InputError(refused.line + (f"; `on_error` skip leaves {left} out" if notes.documents else ""))
            notes.skip(refused.line + ("; the rest of the file is left out" if refused.rest else ""))
        elif isinstance(document, bytes):
            assert tokenizer is not None
            ids = tokenizer.encode(document) if document else np.empty(0, np.int32)
            if document:
                notes.encoded(document, ids, tokenizer)
            yield hashlib.sha256(document).digest(), ids, len(document) if len(ids) else 0, document
        elif not isinstance(document, Refused):
            notes.documents += bool(len(document))
            notes.tokens += len(document)
            notes.with_end += bool((document == job.tokenizer.end).any())
            digest = hashlib.sha256(document.astype("<u4").tobytes()).digest()
            yield digest, document, -1 if len(document) else 0, document
    if job.part.format == "tokens":
        paths = map(Path, job.part.paths)
        notes.open = [str(path) for path in paths if not has_end(path, job.source.dtype, job.tokenizer.end)]


def _violation(document: bytes | Integer[np.ndarray, " tokens"], job: Job, number: int) -> Refused | None:
    """Why a document has no place in the vocabulary."""
    if isinstance(document, bytes) or not len(document):
        return None
    if 0 <= int(document.min()) <= int(document.max()) < job.tokenizer.vocab:
        return None
    at = int(np.flatnonzero((document < 0) | (document >= job.tokenizer.vocab))[0])
    where = f"{job.part.paths[0]}: document {number}, token {at}"
    return Refused(f"{where}: id {document[at]} is beyond the vocabulary of {job.tokenizer.vocab}")
