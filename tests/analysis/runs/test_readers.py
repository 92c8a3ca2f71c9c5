"""Tables by their content, whatever their suffix says, and the line of each row."""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from analysis.errors import InputError
from analysis.runs.readers import read_columns
from analysis.runs.table import read_table

TEXT = "params,tokens,loss\n1000000,1e9,3\n2000000,1e9,2.5\n"
VALUES = [[1e6, 1e9, 3.0], [2e6, 1e9, 2.5]]


def values(path: Path) -> list[list[float]]:
    return read_table(path).frame[["params", "tokens", "loss"]].to_numpy().tolist()


def lines(path: Path) -> list[int]:
    return list(read_columns(path, set()).index)


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace(",", ";"),
        TEXT.replace(",", "\t"),
        TEXT.replace(",", "|"),
        TEXT.replace(",", "  "),
        TEXT.replace(",", " , "),
        "sep=;\n" + TEXT.replace(",", ";"),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", "\r"),
        "\ufeff" + TEXT,
        'params;tokens;"loss";"note, of the run"\n1000000;1e9;3;"a, b"\n2000000;1e9;2,5;c\n',
        "params;tokens;loss\n1000000;1e9;3,0\n2000000;1e9;2,5\n",
        '"params","tokens","loss"\n"1000000","1,000,000,000","3"\n"2,000,000","1B","2.5"\n',
        json.dumps([{"params": 1e6, "tokens": 1e9, "loss": 3}, {"params": 2e6, "tokens": 1e9, "loss": 2.5}], indent=1),
        '{"params": "1M", "tokens": 1e9, "loss": 3}\n\n{"params": 2000000, "tokens": "1B", "loss": 2.5}\n',
    ],
)
@pytest.mark.parametrize("name", ["t.csv", "t.txt", "t", "t.parquet"])
def test_text_of_any_kind_under_any_name(text: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text.encode())
    assert values(tmp_path / name) == VALUES


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
def test_encodings_that_a_mark_tells(encoding: str, tmp_path: Path) -> None:
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    for text in (TEXT, TEXT.replace(",", "\t"), '{"params": 1e6, "tokens": 1e9, "loss": 3}\n'):
        (tmp_path / "t.csv").write_bytes((mark + text).encode(encoding))
        assert values(tmp_path / "t.csv")[:1] == VALUES[:1]


def test_compressed_tables(tmp_path: Path) -> None:
    data = TEXT.encode()
    codec = pa.Codec("zstd")
    for name, content in {
        "t.csv.gz": gzip.compress(data),
        "t.csv": gzip.compress(data),
        "t.csv.bz2": bz2.compress(data),
        "t.zst": codec.compress(data, asbytes=True),
    }.items():
        (tmp_path / name).write_bytes(content)
        assert values(tmp_path / name) == VALUES
    (tmp_path / "t.csv.xz").write_bytes(lzma.compress(data))
    with pytest.raises(InputError, match=r"t\.csv\.xz: is no table"):
        read_table(tmp_path / "t.csv.xz")


def test_parquet_under_another_name(tmp_path: Path) -> None:
    pd.DataFrame(VALUES, columns=["params", "tokens", "loss"]).to_parquet(tmp_path / "t.csv")
    assert values(tmp_path / "t.csv") == VALUES


def test_rows_keep_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b\n1,"two\nlines"\n\n2,"with ""quotes"" and\n\nmore"\n3,c\n')
    assert lines(path) == [2, 5, 8]
    path.write_text('a,b\n1,5" disk\n2,7" disk\n3,c\n')
    assert lines(path) == [2, 3, 4]
    path.write_text("sep=;\na;b\n1;2\n3;4")
    assert lines(path) == [3, 4]


def test_a_table_with_notes_of_several_lines_of_any_size(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    note = '"' + "\n".join(["a note of several lines"] * 8) + '"'
    rows = [f"{n}000000,1000000000,3.{n % 90 + 10},{note}" for n in range(1, 8001)]
    path.write_text("\n".join(["params,tokens,loss,notes", *rows, "x,1e9,3,y", ""]))
    assert path.stat().st_size > 2**20
    with pytest.raises(InputError) as error:
        read_table(path)
    assert error.value.errors == (f"{path}:{8000 * 8 + 2}: column 'params': 'x' is not a number",)


def test_a_quote_that_never_ends_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(TEXT + '3000000,1e9,"2.4\n4000000,1e9,2.3\n')
    with pytest.raises(InputError) as error:
        read_table(path)
    (line,) = error.value.errors
    assert "\n" not in line


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\0\0", b"PK\x03\x04" + bytes(40), bytes(200)])
def test_what_is_no_table_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match="is no table") as error:
        read_table(tmp_path / "t.csv")
    assert len(error.value.errors) == 1
