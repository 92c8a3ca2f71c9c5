"""Tables as spreadsheets and other programs export them: titles, comments, footers, row names, encodings."""

from pathlib import Path

import pytest

from analysis.errors import InputError
from analysis.runs.table import RunTable, read_table

HEADER = "params,tokens,loss"
ROWS = ["20000000,1000000000,4.0", "40000000,2000000000,3.5", "80000000,4000000000,3.1"]
LOSSES = [4.0, 3.5, 3.1]


def read(folder: Path, content: str | bytes, **options: str) -> RunTable:
    path = folder / "runs.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, **options)


@pytest.mark.parametrize(
    "above",
    ["# exported 2024-05-01\n", "# of May, by me, version 2\n# all\n", "Sweep of May,,\n,,\n", "\n\n", "#a,b,c\n\n"],
)
def test_what_stands_above_the_header_is_left_out(tmp_path: Path, above: str) -> None:
    table = read(tmp_path, above + "\n".join([HEADER, *ROWS]))
    assert table.fit.loc[:, "loss"].tolist() == LOSSES
    assert table.fit.index.tolist() == [above.count("\n") + line for line in (2, 3, 4)]


def test_comments_above_a_header_of_other_names(tmp_path: Path) -> None:
    content = "\n".join(["# exported by me", "a,b,c", *ROWS])
    path = tmp_path / "runs.csv"
    path.write_text(content)
    assert read_table(path, columns={"params": "a", "tokens": "b", "loss": "c"}).fit["loss"].tolist() == LOSSES


def test_a_header_that_begins_with_a_number_sign(tmp_path: Path) -> None:
    assert read(tmp_path, "\n".join([f"#{HEADER}", *ROWS])).fit["loss"].tolist() == LOSSES


@pytest.mark.parametrize("below", [",,", ",,\n,,\n", "# 3 runs", "Total,,", "\n\n"])
def test_what_stands_below_the_rows_is_no_run(tmp_path: Path, below: str) -> None:
    table = read(tmp_path, "\n".join([HEADER, *ROWS, below]))
    assert table.fit["loss"].tolist() == LOSSES
    assert table.diverged == ()


def test_a_comment_among_the_rows_is_a_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"runs.csv:5: column 'loss'"):
        read(tmp_path, "\n".join([HEADER, ROWS[0], "# the larger ones", ROWS[1], "1e7,2e9,much"]))


def test_a_row_that_is_cut_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Expected 3 columns, got 2"):
        read(tmp_path, "\n".join([HEADER, *ROWS, "80000000,4000"]))


def test_tables_of_r(tmp_path: Path) -> None:
    quoted = ['"","params","tokens","loss"', *(f'"{at}",{row}' for at, row in enumerate(ROWS, 1))]
    assert read(tmp_path, "\n".join(quoted)).fit["loss"].tolist() == LOSSES
    blanks = ['"params" "tokens" "loss"', *(f'"{at}" {row}'.replace(",", " ") for at, row in enumerate(ROWS, 1))]
    assert read(tmp_path, "\n".join(blanks)).fit["loss"].tolist() == LOSSES


def test_text_that_is_not_utf_8_is_as_excel_writes_it(tmp_path: Path) -> None:
    names = ["Größe", "Größe", "été"]
    rows = [f"{row};{name}".replace(",", ";") for row, name in zip(ROWS, names, strict=True)]
    content = "\n".join(["params;tokens;loss;Datensatz für das Training", *rows]).encode("cp1252")
    table = read(tmp_path, content, where="`Datensatz für das Training` == 'Größe'")
    assert table.fit["loss"].tolist() == LOSSES[:2]


@pytest.mark.parametrize(
    ("names", "kept"), [(["001", "1", "01"], ["001", "1", "01"]), (["1e5", "2", "3"], ["1e5", "2", "3"])]
)
def test_names_that_look_like_numbers_stay_as_written(tmp_path: Path, names: list[str], kept: list[str]) -> None:
    rows = [f"{row},{name}" for row, name in zip(ROWS, names, strict=True)]
    assert read(tmp_path, "\n".join([f"{HEADER},corpus", *rows])).fit["corpus"].tolist() == kept


def test_whole_numbers_as_names_stay_numbers(tmp_path: Path) -> None:
    rows = [f"{row},{name}" for row, name in zip(ROWS, (7, 8, 9), strict=True)]
    table = read(tmp_path, "\n".join([f"{HEADER},run", *rows]), where="run > 7")
    assert table.fit["run_id"].tolist() == [8, 9]
