"""How numbers and names are written, and read: ``8.03B``, ``15T``, ``40%``, ``3 min 20 s``."""

import math
import re
from collections.abc import Sequence

_SUFFIX = {
    "": 1.0,
    "%": 0.01,
    **dict.fromkeys(("k", "thousand"), 1e3),
    **dict.fromkeys(("m", "mn", "million"), 1e6),
    **dict.fromkeys(("b", "bn", "g", "billion"), 1e9),
    **dict.fromkeys(("t", "tn", "trillion"), 1e12),
    "p": 1e15,
}
# Commas and spaces only group thousands: a decimal comma must not be read as one.
_WHOLE = r"(?:\d{1,3}(?:([, \u00a0\u202f'])\d{3})(?:\2\d{3})*|\d[\d_]*)"
_PATTERN = re.compile(rf"([-+]?(?:{_WHOLE}(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)\s*([a-zA-Z]*|%)")


def parse_quantity(text: str | int | float) -> float:
    """Reads a number with an optional suffix (k, M, B or G, T, P, %, million, ...).

    Underscores, commas or spaces may group its digits.

    Args:
        text: the number, for example ``"15T"``; a plain int or float is taken as it is.

    Returns:
        The value as a float; ``"40%"`` is 0.4.

    Raises:
        ValueError: if the text is no finite number.
    """
    if isinstance(text, bool):
        raise ValueError(f"{text!r} is not a number")
    if isinstance(text, str):
        match = _PATTERN.fullmatch(text.strip())
        if match is None or match[3].lower() not in _SUFFIX:
            raise ValueError(f"{text!r} is not a number such as 3e18, 15T, 1.5B or 40%")
        value = float(re.sub("[_, \u00a0\u202f']", "", match[1])) * _SUFFIX[match[3].lower()]
    else:
        value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a finite number")
    return value


def format_quantity(value: float) -> str:
    """Writes a number the way people read it: ``8.03B``, ``1.4T``, ``3.8e+25``."""
    value = float(f"{value:.2e}")  # rounded first: 999.99k is 1M
    size = abs(value)
    for limit, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if limit <= size < limit * 1000:
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.3g}"


def format_reward(value: float, sign: str = "") -> str:
    """A reward, whatever its unit: three decimals where these say enough, ``1.375``; else ``2.54e-06``.

    Args:
        value: to be written.
        sign: ``+`` to write that of a positive one too.
    """
    return format(value, f"{sign}.3f" if value == 0 or 0.01 <= abs(value) < 1e5 else f"{sign}.3g")


def format_power(value: float) -> str:
    """Two digits and the power of ten: ``3e18``, ``1.7e10``."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def format_duration(seconds: float) -> str:
    """Seconds the way people say them: ``0.4 s``, ``45 s``, ``3 min 20 s``, ``2 h 05 min``, ``12 days``."""
    whole = round(seconds)
    if whole < 10:
        return f"{seconds:.2g} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole >= 72 * 3600:
        return f"{whole / 86400:,.0f} days"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def listed(names: Sequence[object], most: int = 6) -> str:
    """The first few of some names, and how many more there are: ``a, b and 3 more``."""
    more = len(names) - most
    return ", ".join(str(name) for name in names[:most]) + (f" and {more} more" if more > 0 else "")
