"""Names of columns in any spelling: case, spaces, slashes and dots do not tell two names apart."""

import re

from analysis.runs.schema import ALIASES, FURTHER, NUMBERS, TEXTS

_KNOWN = {*NUMBERS, *TEXTS, *(name for names in (ALIASES, FURTHER) for more in names.values() for name in more)}
_UNITS = {
    **dict.fromkeys(("k", "thousand", "thousands"), 1e3),
    **dict.fromkeys(("m", "mn", "million", "millions"), 1e6),
    **dict.fromkeys(("b", "bn", "g", "billion", "billions"), 1e9),
    **dict.fromkeys(("t", "tn", "trillion", "trillions"), 1e12),
}


def normalised(name: str) -> str:
    """A name in lower case, with an underscore for whatever is no letter or digit: ``Eval/Loss`` is ``eval_loss``."""
    return re.sub(r"[\W_]+", "_", name.lower()).strip("_")


def without_unit(name: str) -> tuple[str, float]:
    """A normalised name without the unit that ends it, and that unit's size: ``tokens_b`` is tokens in billions.

    The size is 1 where no unit ends it.
    """
    head, _, last = name.rpartition("_")
    head = head.removesuffix("_in")
    return (head, _UNITS[last]) if head and last in _UNITS else (name, 1.0)


def is_known(name: object) -> bool:
    """Whether a cell is a usual name of a column, perhaps with a unit."""
    spelling = normalised(name) if isinstance(name, str) else ""
    return bool(spelling) and (spelling in _KNOWN or without_unit(spelling)[0] in _KNOWN)
