"""Numbers as people write them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.quantity import format_quantity, parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e18", 3e18),
        ("15T", 15e12),
        ("8B", 8e9),
        ("8G", 8e9),
        ("4M", 4e6),
        ("64k", 64e3),
        ("64K", 64e3),
        ("2P", 2e15),
        ("40%", 0.4),
        ("1_000", 1000.0),
        ("1,000,000", 1e6),
        ("1,000.5", 1000.5),
        ("12,000k", 12e6),
        (".5", 0.5),
        ("1.5e3k", 1.5e6),
        (" 7 B ", 7e9),
        ("-2", -2.0),
        (12, 12.0),
        (1e16, 1e16),
    ],
)
def test_reads(text: str | int | float, value: float) -> None:
    assert parse_quantity(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "B", "8X", "8BB", "1e", "twelve", "0x10", "nan", "inf", "1e999", "8 B B", "1..2"])
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="number"):
        parse_quantity(text)


@pytest.mark.parametrize("text", ["1,5B", "1,5", "1,50", "1,2345", "1234,567", "1,", ",5", "1,000,00", "1_0,000"])
def test_a_decimal_comma_is_refused_rather_than_read_as_a_larger_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"1\.5B"):
        parse_quantity(text)


@pytest.mark.parametrize("value", [True, math.nan, math.inf])
def test_refuses_what_is_no_finite_number(value: float) -> None:
    with pytest.raises(ValueError, match="number"):
        parse_quantity(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8.03e9, "8.03B"),
        (1.4e12, "1.4T"),
        (3.8e25, "3.8e+25"),
        (0, "0"),
        (999, "999"),
        (1234, "1.23k"),
        (-2e6, "-2M"),
        (999.99e12, "1e+15"),
        (999_999, "1M"),
        (999.99, "1k"),
    ],
)
def test_writes(value: float, text: str) -> None:
    assert format_quantity(value) == text


@given(st.floats(1e-3, 1e30))
def test_what_is_written_reads_back(value: float) -> None:
    assert parse_quantity(format_quantity(value)) == pytest.approx(value, rel=0.005)


@given(st.text(max_size=12))
def test_any_text_is_a_number_or_a_value_error(text: str) -> None:
    try:
        value = parse_quantity(text)
    except ValueError:
        return
    assert math.isfinite(value)
