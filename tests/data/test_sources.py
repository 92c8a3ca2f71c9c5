"""Sources: the documents of every format, and how a violation is reported."""

import bz2
import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from scaling.data import sources
from scaling.data.formats import streams
from scaling.data.formats.texts import read_jsonl, read_text
from scaling.data.formats.token_files import read_index
from scaling.data.sources import Part, find_parts, read_part, strict
from scaling.data.spec import BuildSpec, SourceSpec, TokenizerSpec
from scaling.errors import InputError


def parts_of(source: SourceSpec) -> list[Part]:
    found = find_parts(source, 0)
    if found.refused:
        raise InputError(found.refused)
    return found.parts


def documents(source: SourceSpec, end: int = 0) -> list[bytes | list[int]]:
    found = (document for part in parts_of(source) for document in strict(read_part(part, source, end)))
    return [document if isinstance(document, bytes) else document.tolist() for document in found]


def megatron(path: Path, texts: list[list[int]], dtype: str = "<u2", code: int = 8) -> None:
    """A .bin and its .idx, one sequence a document, as Megatron-LM lays them out."""
    path.with_suffix(".bin").write_bytes(b"".join(np.array(ids, dtype).tobytes() for ids in texts))
    lengths = np.array([len(ids) for ids in texts], "<i4")
    pointers = (np.cumsum(lengths) - lengths).astype("<i8") * np.dtype(dtype).itemsize
    head = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, code, len(texts), len(texts) + 1)
    bounds = np.arange(len(texts) + 1, dtype="<i8")
    path.with_suffix(".idx").write_bytes(head + lengths.tobytes() + pointers.tobytes() + bounds.tobytes())


LINES = [f"line {i} äö".encode() for i in range(200)]


def jsonl(key: str = "text") -> bytes:
    return b"".join(json.dumps({key: line.decode(), "n": 1}).encode() + b"\n" for line in LINES)


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("name", "pack"),
    [("a.jsonl", bytes), ("a.jsonl.gz", gzip.compress), ("a.json.bz2", bz2.compress), ("a.ndjson.zst", zstd)],
)
def test_jsonl_compressed_or_not(tmp_path: Path, name: str, pack: type) -> None:
    (tmp_path / name).write_bytes(pack(jsonl()))
    assert documents(SourceSpec(path=str(tmp_path / name))) == LINES


def test_ranges_of_a_large_file_have_every_line_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl())
    size = path.stat().st_size
    for parts in (2, 3, 7, 150):
        monkeypatch.setattr(sources, "PART_BYTES", size // parts)
        source = SourceSpec(path=str(path))
        assert len(parts_of(source)) >= parts
        assert documents(source) == LINES
    edge = len(b"".join(jsonl().splitlines(keepends=True)[:50]))
    assert list(read_jsonl(path, "text", edge, None)) == LINES[50:]
    assert list(read_jsonl(path, "text", edge + 1, None)) == LINES[51:]


def test_parquet_by_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"content": [line.decode() for line in LINES]}), path, row_group_size=30)
    monkeypatch.setattr(sources, "PART_BYTES", path.stat().st_size // 4)
    source = SourceSpec(path=str(path), text="content")
    assert len(parts_of(source)) == 4
    assert documents(source) == LINES


def test_text_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone")
    (tmp_path / "b/c.md").write_bytes("zwö".encode())
    assert documents(SourceSpec(path=str(tmp_path))) == [b"one", "zwö".encode()]


@pytest.mark.parametrize(
    "text", ["word " * 500, "ä" * 999, "line\n" * 321, "para\n\n" * 200, "€" * 500 + "\n" + "x" * 700]
)
def test_a_long_text_is_cut_into_pieces_that_are_text(tmp_path: Path, text: str) -> None:
    (tmp_path / "a").write_text(text)
    pieces = list(read_text(tmp_path / "a", 100))
    assert b"".join(pieces).decode() == text
    assert max(map(len, pieces)) <= 100
    assert all(piece.decode() for piece in pieces)


def test_nanogpt_documents_end_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaling.data.formats.token_files._AT_ONCE", 7)
    monkeypatch.setattr(sources, "_LONGEST_TOKENS", 10)
    texts = [[1, 2, 3], [4], list(range(1, 9)), [5, 6]]
    for dtype in ("uint16", "uint32"):
        np.array([token for ids in texts for token in (*ids, 0)], dtype).tofile(tmp_path / "train.bin")
        source = SourceSpec.model_validate({"path": str(tmp_path / "train.bin"), "dtype": dtype})
        assert documents(source) == texts
    np.arange(1, 36, dtype=np.uint16).tofile(tmp_path / "train.bin")
    pieces = documents(SourceSpec(path=str(tmp_path / "train.bin")))
    assert [len(piece) for piece in pieces] == [10, 10, 10, 5]


@pytest.mark.parametrize(("dtype", "code"), [("<u2", 8), ("<i4", 4)])
def test_megatron_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, code: int) -> None:
    texts = [[1, 2, 3, 0], [4, 5], [], [7, 0]]
    megatron(tmp_path / "data", texts, dtype, code)
    source = SourceSpec(path=str(tmp_path / "data.bin"))
    assert documents(source) == [[1, 2, 3], [4, 5], [], [7]]
    monkeypatch.setattr(sources, "PART_BYTES", 4)
    assert len(parts_of(source)) > 1
    assert documents(SourceSpec(path=str(tmp_path))) == [[1, 2, 3], [4, 5], [], [7]]


def test_a_local_dataset_is_read_and_a_folder_of_files_streamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets", reason='needs pip install -e ".[hf]"')
    monkeypatch.setattr(sources, "_ROWS", 60)
    rows = datasets.Dataset.from_dict({"text": [line.decode() for line in LINES]})
    rows.save_to_disk(str(tmp_path / "plain"))
    datasets.DatasetDict({"train": rows}).save_to_disk(str(tmp_path / "split"))
    for folder in ("plain", "split"):
        assert len(parts_of(SourceSpec(hf=str(tmp_path / folder)))) == 4
        assert documents(SourceSpec(hf=str(tmp_path / folder))) == LINES
    (tmp_path / "files").mkdir()
    for number in range(2):
        (tmp_path / f"files/{number}.jsonl").write_bytes(b"".join(jsonl().splitlines(keepends=True)[number::2]))
    streamed = SourceSpec(hf=str(tmp_path / "files"))
    assert len(parts_of(streamed)) == 2
    assert documents(streamed) == LINES[::2] + LINES[1::2]
    for name, option in (("plain", "split"), ("plain", "subset"), ("split", "subset")):
        with pytest.raises(InputError, match=f"the option {option} does not apply"):
            documents(SourceSpec.model_validate({"hf": str(tmp_path / name), option: "train"}))
    with pytest.raises(InputError, match=r"no column 'body'; its columns are text"):
        documents(SourceSpec(hf=str(tmp_path / "plain"), text="body"))
    with pytest.raises(InputError, match=r"hf: .*nowhere"):
        documents(SourceSpec(hf=str(tmp_path / "nowhere")))


@pytest.mark.parametrize(
    ("name", "content", "violation"),
    [
        ("a.txt", b"fine \xff\xfe", "a.txt: not UTF-8 text: byte 0xff at offset 5"),
        ("a.txt", "größe".encode() + "größe".encode("latin-1"), "a.txt: not UTF-8 text: byte 0xf6 at offset 9"),
        ("a.txt", "text".encode("utf-16"), "a.txt: UTF-16 text; convert it"),
        ("a.txt", b"\x7fELF\0\0", "a.txt: not text: it has a NUL byte at offset 4"),
        ("a.txt.gz", gzip.compress(b"text" * 99, mtime=0)[:-9], "a.txt.gz: cannot be read"),
        ("a.txt.gz", gzip.compress(b"text" * 99, mtime=0)[:10] + b"damaged", "a.txt.gz: cannot be read"),
        ("a.jsonl", b'{"text": "x"}\n{"text": ', "a.jsonl:2: not JSON"),
        ("a.jsonl", b'{"text": "x"}\n["x"]', "a.jsonl:2: not a JSON object but a list"),
        ("a.jsonl", b'{"body": "x"}', "a.jsonl:1: no key 'text'; its keys are body"),
        ("a.jsonl", b'{"text": 3}', "a.jsonl:1: 'text' is no text but a number"),
        ("a.jsonl", b'{"text": "\\u0000"}', "a.jsonl:1: 'text' has a NUL character"),
        ("a.jsonl", b'{"text": "\\ud800"}', "a.jsonl:1: 'text' has half a surrogate pair"),
        ("a.jsonl", b'\n{"text": "\xff"}', "a.jsonl:2: not JSON: 'utf-8' codec"),
        ("a.jsonl", b"[" * 100_000, "a.jsonl:1: not JSON"),
        ("a.parquet", b"PAR1 no, PAR1", "a.parquet: no Parquet file"),
        ("a.bin", b"\1\0\2", "a.bin: 3 bytes are no whole number of uint16 ids"),
    ],
)
def test_a_violation_is_one_line_with_its_place(tmp_path: Path, name: str, content: bytes, violation: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        documents(SourceSpec(path=str(tmp_path / name)))
    assert len(error.value.errors) == 1
    assert "\n" not in error.value.errors[0]
    assert violation in error.value.errors[0]


def test_a_violation_in_a_later_range_has_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl() + b"{}\n")
    for parts in (3, 10, 50):
        monkeypatch.setattr(sources, "PART_BYTES", len(jsonl()) // parts)
        with pytest.raises(InputError, match=r"a\.jsonl:201: no key"):
            documents(SourceSpec(path=str(tmp_path / "a.jsonl")))


def test_an_endless_line_is_reported_and_an_endless_text_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LONGEST", 2**20)
    (tmp_path / "a.jsonl").write_bytes(b"x" * (3 * 2**20))
    with pytest.raises(InputError, match=r"a\.jsonl:1: a line longer than 1 MiB"):
        documents(SourceSpec(path=str(tmp_path / "a.jsonl")))
    (tmp_path / "a.txt").write_bytes(b"x" * (3 * 2**20))
    assert list(map(len, documents(SourceSpec(path=str(tmp_path / "a.txt"))))) == [2**20] * 3


def test_columns_of_parquet_that_are_not_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="no column 'text'; its columns are n"):
        documents(SourceSpec(path=str(tmp_path / "a.parquet")))
    with pytest.raises(InputError, match="row 1 of row group 0: 'n' is no text but a number"):
        documents(SourceSpec(path=str(tmp_path / "a.parquet"), text="n"))


def test_a_damaged_index_is_reported(tmp_path: Path) -> None:
    megatron(tmp_path / "data", [[1, 2, 0], [3, 0]])
    whole = (tmp_path / "data.idx").read_bytes()
    for length in (0, 8, 20, 34, len(whole) - 1):
        (tmp_path / "data.idx").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"data\.idx: .*(cut|MMIDIDX)"):
            documents(SourceSpec(path=str(tmp_path / "data.bin")))
    (tmp_path / "data.idx").write_bytes(whole[:-8] + struct.pack("<q", 7))
    with pytest.raises(InputError, match="its documents are not in order"):
        read_index(tmp_path / "data.idx")
    (tmp_path / "data.idx").write_bytes(whole)
    (tmp_path / "data.bin").write_bytes((tmp_path / "data.bin").read_bytes()[:-2])
    with pytest.raises(InputError, match=r"data\.bin: 8 bytes; its index speaks of 10"):
        documents(SourceSpec(path=str(tmp_path / "data.bin")))


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (SourceSpec, {}),
        (SourceSpec, {"path": "x", "hf": "y"}),
        (SourceSpec, {"path": "x", "weight": 0}),
        (SourceSpec, {"path": "x", "piece": 0.5}),
        (TokenizerSpec, {}),
        (TokenizerSpec, {"bpe": "100"}),
        (TokenizerSpec, {"ids": 100}),
        (TokenizerSpec, {"name": "bytes", "bpe": "8k"}),
        (BuildSpec, {"name": "x", "sources": []}),
        (BuildSpec, {"name": "x", "sources": ["a"], "held_out": 1}),
        (BuildSpec, {"name": "x", "sources": ["a", "a"]}),
        (BuildSpec, {"name": "x", "sources": ["a", {"path": "b", "weight": 1}]}),
    ],
)
def test_an_inconsistent_spec_is_refused(model: type, value: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(value)
