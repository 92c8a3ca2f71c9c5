"""Numbers as a sentence shows them, against the values that they should be."""

import math
import re

NUMBER = r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?[kMBT%]?"  # 3.2, 1e+20, 8.03B, -0.4%
SUFFIX = {"k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


def number(text: str) -> float:
    return float(text.rstrip("kMBT")) * SUFFIX.get(text[-1], 1.0)


def shows(text: str, value: float, digits: int) -> bool:
    """Whether a number is the value, rounded to significant digits."""
    if value == 0:
        return number(text) == 0
    unit = 10.0 ** (math.floor(math.log10(abs(value)) + 1e-9) - digits + 1)
    return abs(number(text) - value) <= 0.5001 * unit + 1e-9 * abs(value)


def decimals(text: str, value: float) -> bool:
    """Whether a number, or a percentage, is the value rounded to the decimals that it shows; a sign must be right."""
    share = 100.0 if text.endswith("%") else 1.0
    shown = text.rstrip("%")
    places = len(re.sub(r"^[^.]*\.?", "", shown))
    if float(shown) and text[0] in "+-" and (float(shown) > 0) != (value > 0):
        return False
    return abs(float(shown) - share * value) <= 0.5001 * 10.0**-places


def told_apart(first: str, second: str, values: tuple[float, float]) -> bool:
    """Whether two losses are shown as they are, and differ where they do."""
    digits = max(4, len(re.sub(r"^0*|\.|e.*", "", first)), len(re.sub(r"^0*|\.|e.*", "", second)))
    same = math.isclose(*values, rel_tol=1e-11)
    return shows(first, values[0], digits) and shows(second, values[1], digits) and (first != second or same)
