"""Funnels at the edges of what there can be."""

import copy
from typing import Any

from curation.funnels import RULES, Made, usual

HOSTILE = "</script><img src=x onerror=alert(1)><!-- \"'&"
MARKS = "\u202eright to left\u2066 \u200f\x07\x1b[2J\u2028"
_PLAIN = ("languages", "duplicates", "classifier", "perplexity", "contamination", "warnings")
_NONE = dict.fromkeys(["duplicates", "near_duplicates", "language", *(rule[0] for rule in RULES)], 0.0)


def odd() -> dict[str, dict[str, Any]]:
    """Funnels at the edges of what there can be."""
    whole = usual().funnel
    bare = {key: value for key, value in whole.items() if key not in _PLAIN}
    nothing = Made({"wiki": 30, "web": 20}, rates=_NONE).funnel
    everything = Made({"wiki": 30, "web": 20}, rates=_NONE | {"gopher.words": 1.0}).funnel
    return {
        "as usual": whole,
        "no optional block": bare,
        "no steps": _without_steps(nothing),
        "nothing read": Made({"wiki": 0}).funnel,
        "no sources": _without_steps(Made({"wiki": 0}).funnel) | {"sources": []},
        "nothing dropped": nothing,
        "all dropped": everything,
        "one document": Made({"wiki": 1}, rates=_NONE).funnel,
        "the only document dropped": Made({"wiki": 1}, rates=_NONE | {"gopher.words": 1.0}).funnel,
        "one source": Made({"wiki": 90}).funnel,
        "a source without documents": Made({"wiki": 90, "none": 0}).funnel,
        "many sources": Made({f"source {number}": 5 + number for number in range(30)}).funnel,
        "hostile": _hostile(whole),
        "huge texts": _texts(whole, "x y " * 5_000),
        "null values": _nulls(whole),
        "longer texts": _longer(whole),
        "unknown steps": _renamed(whole),
        "a sample": whole | {"sample": 0.01},
    }


def _without_steps(funnel: dict[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(funnel) | {"steps": []}
    for key in ("documents", "bytes"):
        made[key]["kept"] = made[key]["read"]
    for source in made["sources"]:
        source["kept"] = source["read"]
    return {key: value for key, value in made.items() if key not in _PLAIN}


def _walked(value: Any, change: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _walked(each, change, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_walked(each, change, key) for each in value]
    return change(key, value)


def _hostile(funnel: dict[str, Any]) -> dict[str, Any]:
    """Every string of it is an attack, the names of steps and notes too."""
    made: dict[str, Any] = _walked(
        funnel, lambda _, value: HOSTILE + MARKS + value if isinstance(value, str) else value
    )
    for step in made["steps"]:
        step["notes"] = {HOSTILE + MARKS: 3}
    return made


def _texts(funnel: dict[str, Any], text: str) -> dict[str, Any]:
    made: dict[str, Any] = _walked(funnel, lambda key, value: text if key == "text" else value)
    return made


def _nulls(funnel: dict[str, Any]) -> dict[str, Any]:
    names = ("value", "similarity", "auc", "low", "high", "thirds")
    made: dict[str, Any] = _walked(funnel, lambda key, value: None if key in names else value)
    return made


def _longer(funnel: dict[str, Any]) -> dict[str, Any]:
    """Masks that are longer than what they hide."""
    made = copy.deepcopy(funnel)
    made["steps"][2]["changed"] = {"documents": 1, "bytes": -12}
    made["steps"][3]["changed"] = {"documents": 2, "bytes": 0}
    return made


def _renamed(funnel: dict[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(funnel)
    for step in made["steps"]:
        step["name"] = f"own {step['name']}"
    return made
