"""Files told by their content: what can be read is read whatever its name, the rest is refused, and text stays text."""

import csv
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from scaling.data.corpus import CorpusSpec, load_corpus
from scaling.data.sources import find_parts, read_part, strict
from scaling.data.spec import SourceSpec
from scaling.errors import InputError

TEXTS = [f'page {i}: "quoted", a comma;\nand a second line äö' for i in range(40)]


def documents(path: Path, **options: object) -> list[str]:
    """The texts of a source, as a build reads them."""
    source = SourceSpec.model_validate({"path": str(path), **options})
    found = find_parts(source, 0)
    if found.refused:
        raise InputError(found.refused)
    return [text.decode() for part in found.parts for text in strict(read_part(part, source, 0))]  # type: ignore[union-attr]


def jsonl() -> bytes:
    return "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(TEXTS)).encode()


def array(**options: object) -> bytes:
    return json.dumps([{"text": text} for text in TEXTS], **options).encode()  # type: ignore[arg-type]


def table(delimiter: str) -> bytes:
    sheet = io.StringIO()
    csv.writer(sheet, delimiter=delimiter).writerows([("id", "text"), *enumerate(TEXTS)])
    return sheet.getvalue().encode()


def arrow(write: Callable[[io.BytesIO, pa.Table], None], values: pa.Array | None = None) -> bytes:
    content = io.BytesIO()
    write(content, pa.table({"n": list(range(len(TEXTS))), "text": pa.array(TEXTS) if values is None else values}))
    return content.getvalue()


def ipc(new: Callable[..., pa.ipc.RecordBatchFileWriter]) -> Callable[[io.BytesIO, pa.Table], None]:
    def write(content: io.BytesIO, rows: pa.Table) -> None:
        with new(content, rows.schema) as writer:
            writer.write_table(rows, max_chunksize=7)

    return write


def parquet(content: io.BytesIO, rows: pa.Table) -> None:
    pq.write_table(rows, content)


def compressed(content: bytes, codec: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as stream:
        stream.write(content)
    return bytes(sink.getvalue().to_pybytes())


READ = {
    "lines of JSON": (jsonl(), ["a.jsonlines", "a.txt", "a", "a.data", "a.json", "a.csv", "a.parquet", "a.bin"]),
    "gzip": (gzip.compress(jsonl()), ["a.jsonl", "a.txt", "a.gz"]),
    "gzip in members": (gzip.compress(jsonl()[:500]) + gzip.compress(jsonl()[500:]), ["a.jsonl.gz"]),
    "xz": (lzma.compress(jsonl()), ["a.jsonl.xz", "a"]),
    "lz4": (compressed(jsonl(), "lz4"), ["a.jsonl.lz4"]),
    "zstd in frames": (compressed(jsonl()[:500], "zstd") + compressed(jsonl()[500:], "zstd"), ["a.jsonl"]),
    "no gzip": (jsonl(), ["a.jsonl.gz"]),
    "long lines": ("".join(json.dumps({"text": text + "x" * 70_000}) + "\n" for text in TEXTS).encode(), ["a.txt"]),
    "array": (array(), ["a.json", "a.jsonl", "a.txt"]),
    "array in lines": (array(indent=1), ["a.json", "a.txt"]),
    "packed array": (gzip.compress(array()), ["a.json.gz"]),
    "commas": (table(","), ["a.csv", "a.txt", "a"]),
    "tabs": (table("\t"), ["a.tsv", "a.csv", "a.txt"]),
    "semicolons": (b"\xef\xbb\xbf" + table(";"), ["a.csv"]),
    "packed table": (gzip.compress(table(",")), ["a.csv.gz", "a.csv"]),
    "spaces around names": (table(",").replace(b"id,text", b"id, text ", 1), ["a.csv", "a.csv.gz"]),
    "Parquet": (arrow(parquet), ["a.parquet", "a.txt", "a.jsonl", "a"]),
    "Parquet of bytes": (arrow(parquet, pa.array([text.encode() for text in TEXTS])), ["a.parquet"]),
    "Parquet of categories": (arrow(parquet, pa.array(TEXTS).dictionary_encode()), ["a.parquet"]),
    "Arrow file": (arrow(ipc(pa.ipc.new_file)), ["a.arrow", "a.txt"]),
    "Arrow stream": (arrow(ipc(pa.ipc.new_stream)), ["a.arrow", "a.data"]),
    "Feather": (arrow(lambda content, rows: feather.write_feather(rows, content)), ["a.feather"]),
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, (_, names) in READ.items() for name in names])
def test_what_can_be_read_is_read_whatever_its_name(tmp_path: Path, kind: str, name: str) -> None:
    (tmp_path / name).write_bytes(READ[kind][0])
    assert [text.rstrip("x") for text in documents(tmp_path / name)] == TEXTS


@pytest.mark.parametrize(
    "text",
    [
        "{ a brace } begins it\nand, a comma\n",
        "[Music]\n[Laughs] and text\n",
        "Dear text, reader\nHello, you\nBye\n",
        "---\ntitle: text\n---\n# Head, text\n",
        'x = {"text": 1}\nprint(x)\n',
        '{"a": 1}',
        "<p>text</p>",
        "PAR1 is how Parquet begins",
        "ORCHESTRA, text",
        "one\ttwo\n",
        "form\x0cfeed \x1b[1mbold",
    ],
)
def test_text_stays_text(tmp_path: Path, text: str) -> None:
    for name in ("a.txt", "a.md", "a"):
        (tmp_path / name).write_text(text)
        assert documents(tmp_path / name) == [text]


def wrong(kind: pa.DataType) -> pa.Array:
    """A column of text that is none, as a careless writer leaves it."""
    offsets = np.arange(len(TEXTS) + 1, dtype="<i8" if kind == pa.large_string() else "<i4") * 2
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"a\xff" * len(TEXTS))]
    return pa.Array.from_buffers(kind, len(TEXTS), buffers)


def packed(content: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("a.txt")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def zipped(content: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.txt", content)
    return archive.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", zipped(b"x"), "a zip archive"),
        ("a.bin", zipped(b"x"), "a zip archive"),
        ("a.tar.gz", gzip.compress(packed(b"x"), mtime=0), "a tar archive"),
        ("a.txt", packed(b"x"), "a tar archive"),
        ("a.txt", b"%PDF-1.4\n", "a PDF document"),
        ("a.pkl", pickle.dumps(TEXTS), "a pickle"),
        ("a.txt", b"{\\rtf1 text}", "a Rich Text document"),
        ("a.orc", b"ORC\n\3\0\0", "an ORC file"),
        ("a.idx", b"MMIDIDX\0\0", "an? .*index without the .bin"),
        ("a.parquet.gz", gzip.compress(arrow(parquet), mtime=0), "parquet within gzip; unpack it first"),
        ("a.jsonl", "text".encode("utf-16"), "UTF-16 text; convert it"),
        ("a.arrow", arrow(ipc(pa.ipc.new_file))[:-20], "no Arrow file"),
        ("a.csv", table(",").replace(b"text", b"body", 1), "no column 'text'; its columns are id, body"),
        ("a.csv", table(",") + b"1,2,3\n", "a.csv:82: 3 cells, and the header has 2"),
        ("a.csv", table(",") + b"1,\xff\n", "a.csv:82: 'text' has bytes that are not UTF-8, at offset 0"),
        ("a.csv", b'id,text\n1,"no end\n', "not CSV after line"),
        ("a.json", b'[{"text": "a"}, {"body": "b"}]', "a.json: element 1: no key 'text'"),
        ("a.json", b'[{"text": "a"}', "a.json:1: not JSON"),
        ("a.txt", b'{"text": "a"}{"text": "b"}', "a.txt:1: not JSON: Extra data"),
        ("a.parquet", arrow(parquet, pa.array([b"\xff"] * len(TEXTS))), "row 1 of .* are not UTF-8, at offset 0"),
        ("a.arrow", arrow(ipc(pa.ipc.new_file), wrong(pa.string())), "row 1 of .* are not UTF-8, at offset 1"),
        ("a.arrow", arrow(ipc(pa.ipc.new_stream), wrong(pa.large_string())), "row 1 of .* are not UTF-8, at offset 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=reason) as error:
        documents(tmp_path / name)
    assert len(error.value.errors) == 1
    assert "\n" not in error.value.errors[0]


def test_a_database_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.txt") as database:
        database.execute("create table t (text)")
    database.close()
    with pytest.raises(InputError, match=r"a\.txt: an SQLite database"):
        documents(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("name", "content", "options", "option"),
    [
        ("a.txt", b"plain", {"text": "text"}, "text"),
        ("a.jsonl", jsonl(), {"piece": "2k"}, "piece"),
        ("a.parquet", arrow(parquet), {"dtype": "uint16"}, "dtype"),
        ("a.bin", b"\1\0" * 40, {"text": "body"}, "text"),
    ],
)
def test_an_option_that_does_not_apply_is_an_error(
    tmp_path: Path, name: str, content: bytes, options: dict[str, str], option: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: the option {option} does not apply"):
        documents(tmp_path / name, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"path": "a", "split": "test"},
        {"path": "a", "subset": "x"},
        {"hf": "a", "piece": 9},
        {"hf": "a", "dtype": "uint32"},
        {"hf": "a", "format": "text"},
        {"corpus": "code", "format": "text"},
        {"corpus": "code", "text": "body"},
        {"corpus": "code", "split": "test"},
    ],
)
def test_options_of_the_other_kind_of_source_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="does not apply"):
        SourceSpec.model_validate(options)


def test_the_format_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(jsonl())
    assert documents(tmp_path / "a.txt", format="text") == [jsonl().decode()]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt", "a"])
@pytest.mark.parametrize("count", [1, 3])
def test_objects_over_several_lines_are_documents(name: str, count: int, tmp_path: Path) -> None:
    rows = [{"id": number, "meta": {"of": [1]}, "text": text} for number, text in enumerate(TEXTS[:count])]
    (tmp_path / name).write_text("\n".join(json.dumps(row, indent=2) for row in rows) + "\n")
    assert documents(tmp_path / name) == TEXTS[:count]


def test_an_object_over_more_lines_than_are_looked_at_is_a_document(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"of": list(range(30_000)), "text": "all"}, indent=1))
    assert documents(tmp_path / "a.json") == ["all"]
    (tmp_path / "a.json").write_text('{\n "text": "cut')
    with pytest.raises(InputError, match=r"a\.json:1: not JSON: Unterminated string"):
        documents(tmp_path / "a.json")


@pytest.mark.parametrize("name", ["UTF-16", "UTF-32"])
def test_wide_text_says_how_it_is_converted(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("some text".encode(name))
    with pytest.raises(InputError, match=rf"{name} text; convert it to UTF-8: iconv -f {name} -t UTF-8"):
        documents(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (jsonl(), "rows of JSON or CSV, no plain text: scaling data build reads them"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "a pointer of Git LFS, not the file"),
        (b"{\\rtf1\\ansi text}", "a Rich Text document"),
    ],
)
def test_a_sweep_does_not_train_on_what_is_no_prose(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("plain")
    (tmp_path / "b.txt").write_bytes(content)
    with pytest.raises(InputError, match=rf"b\.txt: {why}"):
        load_corpus(CorpusSpec(path=str(tmp_path)))
