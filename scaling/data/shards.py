"""Built data on disk: memory-mapped shards of token ids, and a manifest with their hashes."""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int32, Int64, Integer
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scaling.data.building.notes import BuildWarning
from scaling.data.tokenizer_kinds import TokenizerRecord
from scaling.errors import InputError

MANIFEST, TOKENIZER, SHARDS = "manifest.json", "tokenizer", "shards"
_FORMAT: Literal["scaling-data-1"] = "scaling-data-1"
_LENGTHS = np.dtype("<u4")

Split = Literal["train", "held_out"]
Dtype = Literal["uint8", "uint16", "uint32"]
SPLITS: tuple[Split, ...] = ("train", "held_out")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shard(_Record):
    """A file of token ids and a file of the documents' lengths.

    Attributes:
        file: of little-endian ids, each document closed by the tokenizer's end; from the manifest's folder.
        source: number of its source.
        split: which side of the split it is.
        tokens: how many ids.
        documents: how many.
        bytes: of the text before tokenization; None where the source was tokens.
        sha256: of the ids.
        lengths_sha256: of the file of lengths, ``.lengths`` in place of ``.bin``: tokens of each document, uint32.
    """

    file: str = Field(pattern=r"^shards/[\w.-]+\.bin$")
    source: int = Field(ge=0)
    split: Split
    tokens: int = Field(ge=0)
    documents: int = Field(ge=0)
    bytes: int | None
    sha256: str
    lengths_sha256: str

    @property
    def lengths(self) -> str:
        """Path of the file of lengths, from the manifest's folder."""
        return self.file.removesuffix(".bin") + ".lengths"


class SourceRecord(_Record):
    """A source's part in the mixture: name, weight and epochs as in :class:`SourceSpec`."""

    name: str
    weight: float | None
    epochs: float


class Manifest(_Record):
    """The contents of a folder of built data.

    Attributes:
        format: of the folder.
        name: of the corpus.
        dtype: of the ids.
        tokenizer: that made them.
        held_out: share of the documents that was to be held out.
        sources: in their order.
        shards: in the order of the text.
        duplicates: documents left out because another has the same content.
        empty: documents left out because they have none.
        leaks: held-out documents with a near-duplicate that is trained on.
        warnings: of the build.
        sha256: of all of this but the warnings, as JSON with sorted keys.
    """

    format: Literal["scaling-data-1"] = _FORMAT
    name: str
    dtype: Dtype
    tokenizer: TokenizerRecord
    held_out: float
    sources: tuple[SourceRecord, ...]
    shards: tuple[Shard, ...]
    duplicates: int
    empty: int
    leaks: int
    warnings: tuple[BuildWarning, ...] = ()
    sha256: str = ""

    def signed(self) -> "Manifest":
        """The manifest with its own SHA-256."""
        content = self.model_dump(mode="json", exclude={"sha256", "warnings"})
        return self.model_copy(update={"sha256": hashlib.sha256(_canonical(content)).hexdigest()})

    def of(self, split: Split, source: int | None = None) -> list[Shard]:
        """Shards of a side of the split, of one source or all."""
        return [shard for shard in self.shards if shard.split == split and source in (None, shard.source)]

    def tokens(self, split: Split, source: int | None = None) -> int:
        """Number of tokens of a side of the split, of one source or all."""
        return sum(shard.tokens for shard in self.of(split, source))

    def bytes(self, split: Split, source: int | None = None) -> int | None:
        """Bytes of text of a side of the split, of one source or all; None where some source was tokens."""
        known = [shard.bytes for shard in self.of(split, source)]
        return None if None in known else sum(size for size in known if size is not None)

    @property
    def documents(self) -> int:
        """Number of documents on both sides of the split."""
        return sum(shard.documents for shard in self.shards)

    @property
    def shares(self) -> list[float]:
        """Passes over each source's training tokens in one pass over the mixture."""
        held = [self.tokens("train", number) for number in range(len(self.sources))]
        weights = [source.weight for source in self.sources]
        if None in weights:
            return [source.epochs for source in self.sources]
        # The source that its weight would first have repeated too often decides how long the mixture is.
        mixed = [(source, have) for source, have in zip(self.sources, held, strict=True) if have]
        total = min(source.epochs * have / (source.weight or 1.0) for source, have in mixed)
        return [
            total * (source.weight or 1.0) / have if have else 0.0
            for source, have in zip(self.sources, held, strict=True)
        ]

    @property
    def drawn(self) -> list[int]:
        """Training tokens of each source in one pass over the mixture."""
        held = [self.tokens("train", number) for number in range(len(self.sources))]
        return [math.floor(share * have + 0.5) for share, have in zip(self.shares, held, strict=True)]


def _canonical(content: object) -> bytes:
    return json.dumps(content, sort_keys=True).encode()


def is_built(folder: str | Path) -> bool:
    """Whether a path is a folder of built data rather than of texts."""
    try:
        return _FORMAT in (Path(folder).expanduser() / MANIFEST).read_text()
    except (OSError, ValueError, RuntimeError):
        return False


def read_manifest(folder: Path) -> Manifest:
    """Reads a folder's manifest and checks that every shard has its size and the tokenizer exists.

    Raises:
        InputError: a line for each that is not what the manifest says.
    """
    path = folder / MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: no built data: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{path}: damaged: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if manifest.signed().sha256 != manifest.sha256:
        raise InputError(f"{path}: damaged: it has been changed since it was written")
    violations = [
        violation
        for shard in manifest.shards
        for violation in _size_violations(folder, shard, np.dtype(manifest.dtype))
    ]
    if violations:
        raise InputError(violations[:10])
    return manifest


def _size_violations(folder: Path, shard: Shard, dtype: np.dtype) -> Iterator[str]:
    for file, wanted in (
        (shard.file, shard.tokens * dtype.itemsize),
        (shard.lengths, shard.documents * _LENGTHS.itemsize),
    ):
        try:
            size = (folder / file).stat().st_size
        except OSError as error:
            yield f"{folder / file}: {error.strerror}"
            continue
        if size != wanted:
            how = "cut" if size < wanted else "too long"
            yield f"{folder / file}: the shard is {how}: {size} bytes, and the manifest says {wanted}"


def verify(folder: Path, manifest: Manifest) -> list[str]:
    """Reads every shard; returns a line for each whose content does not have the manifest's hash."""
    violations = []
    for shard in manifest.shards:
        for file, sha256 in ((shard.file, shard.sha256), (shard.lengths, shard.lengths_sha256)):
            if sha256_of(folder / file) != sha256:
                violations.append(f"{folder / file}: damaged: its hash is not the manifest's")
    return violations


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def map_ids(folder: Path, shard: Shard, dtype: str) -> Integer[np.ndarray, " tokens"]:
    """Token ids of a shard, memory-mapped."""
    if not shard.tokens:
        return np.empty(0, dtype=dtype)
    return np.memmap(folder / shard.file, np.dtype(dtype).newbyteorder("<"), mode="r")


def read_lengths(folder: Path, shard: Shard) -> Int64[np.ndarray, " documents"]:
    """Number of tokens of each document of a shard, the closing token included."""
    return np.fromfile(folder / shard.lengths, dtype=_LENGTHS).astype(np.int64)


@dataclass(frozen=True)
class Segments:
    """Segments of shards end to end as one text; nothing is copied until windows are taken.

    Attributes:
        parts: ids, each memory-mapped.
        ends: position after each document's closing token; of text that is trained on, of each part.
    """

    parts: Sequence[Integer[np.ndarray, " _"]]
    ends: Int64[np.ndarray, " documents"]

    def __len__(self) -> int:
        return int(self._begins[-1])

    @cached_property
    def _begins(self) -> Int64[np.ndarray, " parts_and_end"]:
        return np.concatenate([np.zeros(1, np.int64), np.cumsum([len(part) for part in self.parts], dtype=np.int64)])

    def windows(self, starts: Int64[np.ndarray, "*shape"], width: int) -> Int32[np.ndarray, "*shape width"]:
        """The ``width`` tokens from each start on."""
        flat = starts.ravel()
        taken = np.empty((len(flat), width), dtype=np.int32)
        first = np.searchsorted(self._begins, flat, side="right") - 1
        for row, (start, number) in enumerate(zip(flat.tolist(), first.tolist(), strict=True)):
            filled = 0
            while filled < width:
                at = start + filled - int(self._begins[number])
                piece = self.parts[number][at : at + width - filled]
                taken[row, filled : filled + len(piece)] = piece
                filled, number = filled + len(piece), number + 1
        return taken.reshape(*starts.shape, width)

    def counts(self, vocab: int) -> Int64[np.ndarray, " vocab"]:
        """How often each token occurs."""
        total = np.zeros(vocab, dtype=np.int64)
        for part in self.parts:
            for begin in range(0, len(part), 2**22):
                total += np.bincount(part[begin : begin + 2**22], minlength=vocab)
        return total


def train_segments(folder: Path, manifest: Manifest) -> Segments:
    """The training text of one pass over the mixture: each source as often as its weight and epochs say.

    Of a part of a pass, the first shards are taken.
    """
    parts: list[Integer[np.ndarray, " _"]] = []
    for number, left in enumerate(manifest.drawn):
        mapped = [map_ids(folder, shard, manifest.dtype) for shard in manifest.of("train", number)]
        while left > 0:
            for ids in mapped:
                parts.append(ids[:left])
                left -= len(parts[-1])
                if left <= 0:
                    break
    ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
    return Segments(tuple(part for part in parts if len(part)), ends)


def source_segments(folder: Path, manifest: Manifest, source: int) -> Segments:
    """The training text of one source, once, whatever its weight and epochs."""
    parts = [map_ids(folder, shard, manifest.dtype) for shard in manifest.of("train", source) if shard.tokens]
    return Segments(tuple(parts), np.cumsum([len(part) for part in parts], dtype=np.int64))


def held_out_segments(folder: Path, manifest: Manifest) -> Segments:
    """All held-out text, each document once, whatever the weights."""
    return document_segments(folder, manifest, "held_out")


def document_segments(folder: Path, manifest: Manifest, split: Split, source: int | None = None) -> Segments:
    """The text of a side of the split by document, of one source or all, each once, whatever the weights."""
    shards = manifest.of(split, source)
    lengths = [read_lengths(folder, shard) for shard in shards]
    mapped = tuple(map_ids(folder, shard, manifest.dtype) for shard in shards if shard.tokens)
    return Segments(mapped, np.cumsum(np.concatenate([np.zeros(0, np.int64), *lengths]), dtype=np.int64))
