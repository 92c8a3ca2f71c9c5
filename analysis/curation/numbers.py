"""Numbers of a curation in words, with the digits that keep a sentence true."""

from collections.abc import Sequence

from analysis.formatting import format_quantity

_FEWEST, _MOST = 3, 15  # significant digits of a value
_TINY = 1e-4  # a smaller value beside thresholds of everyday size is only said to be so


def counted(number: int, noun: str = "document") -> str:
    """A number of things with every digit: ``1 document``, ``1,234 documents``."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def size(number: int) -> str:
    """A number of bytes: ``1 byte``, ``5.2M bytes``."""
    return f"{format_quantity(number)} byte{'s' * (number != 1)}"


def share(part: float, whole: float) -> str:
    """A share in percent: all and nothing are said of all and nothing alone; empty where there is no whole."""
    if not whole:
        return ""
    text = f"{100 * part / whole:.1f}".removesuffix(".0")
    if text == "0" and part:
        return "<0.1%"
    if text == "100" and part != whole:
        return ">99.9%" if part < whole else ">100%"
    return f"{text}%"


def value_of(value: float, limits: Sequence[float] = ()) -> str:
    """A value with three digits, or as many more as it needs to differ from limits that it is not equal to."""
    if 0 < value < _TINY and min(limits, default=0.0) > 10 * _TINY:
        return f"<{_TINY:.4f}"
    for digits in range(_FEWEST, _MOST):
        text = _with_digits(value, digits)
        if all(text != _with_digits(limit, digits) for limit in limits if limit != value):
            break
    return text


def _with_digits(value: float, digits: int) -> str:
    return format_quantity(value) if digits == _FEWEST else f"{value:.{digits}g}"


def range_of(least: float | None, most: float | None) -> str:
    """What stays by two thresholds: ``50 to 100k``, ``at least 0.65``, ``at most 0.3``; empty without any."""
    if least is not None and most is not None:
        return f"{value_of(least)} to {value_of(most)}"
    if least is not None:
        return f"at least {value_of(least)}"
    return "" if most is None else f"at most {value_of(most)}"


def joined(parts: Sequence[str]) -> str:
    """Parts of a sentence: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
