"""Numbers in sentences, with the digits that keep a sentence true."""

import math
from collections.abc import Sequence

_FEWEST, _MOST = 4, 12  # significant digits of a loss


def count(number: int, noun: str) -> str:
    """A number of things: ``1 run``, ``2 runs``."""
    return f"{number} {noun}{'s' * (number != 1)}"


def told_apart(first: float, second: float) -> tuple[str, str]:
    """Two losses with four digits, or as many more as they need to differ where they are not equal."""
    for digits in range(_FEWEST, _MOST + 1):
        texts = f"{first:.{digits}g}", f"{second:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts


def change(share: float) -> str:
    """A change with its sign: ``-1.2%``, ``+0.034%``; without a sign where no digit of it is shown."""
    size = abs(share)
    text = f"{share:+.{1 if size >= 0.01 else 2 if size >= 0.001 else 3}%}"
    return text[1:] if not text.strip("+-0.%") else text


def at_most(share: float) -> str:
    """A bound, rounded up to two decimals of a percent: ``0.35%``."""
    return f"{math.ceil(share * 1e4 - 1e-9) / 1e4:.2%}"


def few(errors: Sequence[str], most: int = 2) -> str:
    """The first of some errors in one line, and how many more there are."""
    more = len(errors) - most
    return "; ".join(errors[:most]) + (f"; and {more} more" if more > 0 else "")
