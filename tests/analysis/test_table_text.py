"""Tables as text: aligned, whole, and plain whatever the terminal."""

import pytest

from analysis.table_text import table_text


def test_columns_are_as_wide_as_their_cells_and_aligned() -> None:
    text = table_text("lr", ["run", "loss"], [["3f2a", "2.5"], ["9c01de", "12.345"]])
    assert text.splitlines() == ["run       loss", "3f2a       2.5", "9c01de  12.345"]


def test_later_cells_may_be_missing_and_titles_too() -> None:
    assert table_text("lrl", ["run", "loss", "left"], [["a", "2.5"], ["b"]]).splitlines() == [
        "run  loss  left",
        "a     2.5",
        "b",
    ]
    assert table_text("ll", ["", ""], [["a", "b"]], indent=2) == "  a  b"


def test_nothing_is_cut_wrapped_coloured_or_read_as_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("FORCE_COLOR", "1")
    cells = ["x" * 300, "[bold]1_000_000[/bold]", ":smile:"]
    assert table_text("lrl", ["a", "b", "[red]c"], [cells]).splitlines()[1] == "  ".join(cells)


def test_each_title_needs_an_alignment_that_is_known() -> None:
    with pytest.raises(ValueError, match="argument"):
        table_text("lr", ["run"], [])
    with pytest.raises(KeyError):
        table_text("c", ["run"], [])
