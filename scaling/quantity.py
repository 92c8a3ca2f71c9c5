"""Numbers as people write them: ``3e18``, ``15T``, ``8B``, ``1_000``, ``40%``."""

import math
import re

_SUFFIX = {
    "": 1,
    "k": 10**3,
    "K": 10**3,
    "M": 10**6,
    "B": 10**9,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "%": 0.01,
}
# Commas only group thousands: a decimal comma must not be read as one.
_WHOLE = r"(?:\d{1,3}(?:,\d{3})+|\d[\d_]*)"
_PATTERN = re.compile(rf"([-+]?(?:{_WHOLE}(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)\s*([kKMBGTP%]?)")


def parse_quantity(text: str | int | float) -> float:
    """Reads a number with an optional suffix (k, M, B or G, T, P, %); underscores or commas may group its digits.

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
        if match is None:
            raise ValueError(f"{text!r} is not a number such as 3e18, 15T, 1.5B or 40%")
        digits, suffix = match.groups()
        value = float(re.sub("[_,]", "", digits)) * _SUFFIX[suffix]
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
