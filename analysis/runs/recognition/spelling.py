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
_POWERS = {"g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18, "z": 1e21}
_FLOPS = re.compile(
    r"(?:(?P<stem>(?:(?:train|training|total)_)?(?:flops?|compute|c))_(?:in_)?)?"
    r"(?:(?P<prefix>[gtpez]|giga|tera|peta|exa|zetta)_?f(?:lops?)?(?P<days>(?:_?s)?_?days?)?|1?e_?(?P<power>\d\d))"
)


def flops_unit(name: str) -> float:
    """Size of the unit in which a normalised name counts FLOPs: of ``pflops``, ``compute_pf_days``, ``flops_1e18``."""
    found = _FLOPS.fullmatch(name)
    if found is None or (found["power"] and not found["stem"]):
        return 1.0
    if found["power"]:
        return float(10 ** int(found["power"]))
    return _POWERS[found["prefix"][0]] * (86_400.0 if found["days"] else 1.0)


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
