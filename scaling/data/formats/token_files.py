"""Token ids as other tools write them: nanoGPT's and llm.c's .bin, NumPy's .npy, Megatron's .bin with its .idx."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64, Integer

from scaling.errors import InputError

_MAGIC = b"MMIDIDX\x00\x00"
# Megatron-LM's codes, megatron/core/datasets/indexed_dataset.py; float ids (6, 7) are no tokens.
_DTYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}
_AT_ONCE = 2**22
_NUMPY = b"\x93NUMPY"
LLMC_MAGIC = (struct.pack("<i", 20240520), struct.pack("<i", 20240801))
"""How llm.c's files of ids begin: those of GPT-2, and of Llama 3."""
_LLMC_HEADER = 1024


def read_tokens(path: Path, dtype: str, end: int, longest: int) -> Iterator[Integer[np.ndarray, " tokens"]]:
    """Documents of a file of ids, each up to ``end``, which is not part of it.

    Args:
        path: of the file: ids alone, or behind the header of NumPy or llm.c, which says what they are.
        dtype: of ids without a header, little-endian.
        end: the id that closes a document.
        longest: tokens; a longer document is cut.

    Raises:
        InputError: the file does not hold whole ids.
    """
    ids = map_tokens(path, dtype)
    begin = 0
    for offset in range(0, len(ids), _AT_ONCE):
        chunk = ids[offset : offset + _AT_ONCE]
        for stop in (offset + np.flatnonzero(chunk == end)).tolist():
            yield from _cut(ids[begin:stop], longest)
            begin = stop + 1
        while offset + len(chunk) - begin >= longest:
            yield ids[begin : begin + longest]
            begin += longest
    yield from _cut(ids[begin:], longest)


def map_tokens(path: Path, dtype: str) -> Integer[np.ndarray, " tokens"]:
    """The ids of a file, memory-mapped; ``dtype`` is theirs where no header says it.

    Raises:
        InputError: it does not hold whole ids, or its header contradicts it.
    """
    head = _head(path)
    if head.startswith(_NUMPY):
        return _map_npy(path)
    if head[:4] in LLMC_MAGIC:
        return _map_llmc(path, head)
    return _mapped(path, np.dtype(dtype).newbyteorder("<"))


def has_end(path: Path, dtype: str, end: int) -> bool:
    """Whether a file of ids that can be read has the one that closes documents."""
    try:
        ids = map_tokens(path, dtype)
    except InputError:
        return True
    return any((ids[offset : offset + _AT_ONCE] == end).any() for offset in range(0, len(ids), _AT_ONCE))


def has_header(path: Path) -> bool:
    """Whether a file of ids says itself what they are."""
    return _head(path)[:4] in (*LLMC_MAGIC, _NUMPY[:4])


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_LLMC_HEADER)


def _map_npy(path: Path) -> Integer[np.ndarray, " tokens"]:
    try:
        ids = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: no NumPy array: {' '.join(str(error).split())}") from None
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise InputError(f"{path}: an array of {ids.dtype} and shape {ids.shape}; ids are whole numbers in one row")
    return ids


def _map_llmc(path: Path, head: bytes) -> Integer[np.ndarray, " tokens"]:
    """The ids of an llm.c .bin: 256 int32 of header (magic, version, number of ids), then uint16 or uint32 ids.

    llm.c, dev/data/data_common.py.
    """
    version, count = struct.unpack_from("<ii", head, 4) if len(head) == _LLMC_HEADER else (0, 0)
    left = path.stat().st_size - _LLMC_HEADER
    widths = {2 * count: "<u2", 4 * count: "<u4"}
    if count <= 0 or left not in widths:
        raise InputError(f"{path}: llm.c's header (version {version}) says {count} ids, and {left} bytes follow it")
    return np.memmap(path, widths[left], mode="r", offset=_LLMC_HEADER)


def _cut(ids: Integer[np.ndarray, " tokens"], longest: int) -> Iterator[Integer[np.ndarray, " part"]]:
    for begin in range(0, len(ids), longest):
        yield ids[begin : begin + longest]


def _mapped(path: Path, dtype: np.dtype) -> Integer[np.ndarray, " tokens"]:
    size = path.stat().st_size
    if size % dtype.itemsize:
        raise InputError(
            f"{path}: {size} bytes are no whole number of {dtype.name} ids; it is cut, or of another dtype"
        )
    return np.memmap(path, dtype, mode="r")


@dataclass(frozen=True)
class MegatronIndex:
    """The index of a Megatron .bin: the places of its documents.

    Attributes:
        dtype: of the ids.
        lengths: of the sequences, in tokens.
        pointers: where each begins, in bytes.
        documents: the sequence that each document begins with; the last is the number of sequences.
    """

    dtype: np.dtype
    lengths: Int64[np.ndarray, " sequences"]
    pointers: Int64[np.ndarray, " sequences"]
    documents: Int64[np.ndarray, " documents_and_end"]


def read_index(path: Path) -> MegatronIndex:
    """Reads a Megatron .idx.

    Format: 9 bytes of magic, version 1 (uint64), dtype code (uint8), numbers of sequences and of document bounds
    (uint64 each), then lengths (int32), pointers (int64) and document bounds (int64); Megatron-LM,
    megatron/core/datasets/indexed_dataset.py. A byte per sequence may follow (modes), which says nothing of text.

    Raises:
        InputError: it is no index, is cut, or contradicts itself.
    """
    content = path.read_bytes()
    if len(content) < 34 or content[:9] != _MAGIC:
        raise InputError(f"{path}: no Megatron index: it does not begin with MMIDIDX, or is cut within its header")
    version, code, sequences, bounds = struct.unpack_from("<QBQQ", content, 9)
    if version != 1 or code not in _DTYPES:
        raise InputError(
            f"{path}: a Megatron index of version {version} and dtype code {code}, which is not known here"
        )
    wanted = 34 + 12 * sequences + 8 * bounds
    if len(content) not in (wanted, wanted + sequences):
        raise InputError(
            f"{path}: the index is cut: {len(content)} bytes for {sequences} sequences, which take {wanted}"
        )
    lengths = np.frombuffer(content, "<i4", sequences, 34).astype(np.int64)
    pointers = np.frombuffer(content, "<i8", sequences, 34 + 4 * sequences).astype(np.int64)
    documents = np.frombuffer(content, "<i8", bounds, 34 + 12 * sequences).astype(np.int64)
    if (
        not bounds
        or documents[0]
        or documents[-1] != sequences
        or (np.diff(documents) < 0).any()
        or (lengths < 0).any()
    ):
        raise InputError(f"{path}: the index is damaged: its documents are not in order")
    return MegatronIndex(np.dtype(_DTYPES[code]), lengths, pointers, documents)


def read_megatron(path: Path, end: int, begin: int, stop: int) -> Iterator[Integer[np.ndarray, " tokens"]]:
    """Some documents of a Megatron .bin, without the ``end`` that closes them.

    Args:
        path: of the .bin; its .idx is in the same folder.
        end: the id that closes a document, if anything does.
        begin: number of the first document.
        stop: and of the one after the last.

    Raises:
        InputError: the index is damaged, or the .bin is shorter than it says.
    """
    index = read_index(path.with_suffix(".idx"))
    ids, size = _mapped(path, index.dtype), index.dtype.itemsize
    needed = int((index.pointers + size * index.lengths).max(initial=0))
    if needed > ids.nbytes or (index.pointers % size).any() or (index.pointers < 0).any():
        raise InputError(f"{path}: {ids.nbytes} bytes; its index speaks of {needed}: it is cut, or not this index's")
    for first, after in zip(index.documents[begin:stop], index.documents[begin + 1 : stop + 1], strict=True):
        places = zip(index.pointers[first:after] // size, index.lengths[first:after], strict=True)
        parts = [ids[at : at + length] for at, length in places]
        document = np.concatenate(parts) if parts else ids[:0]
        yield document[:-1] if len(document) and document[-1] == end else document
