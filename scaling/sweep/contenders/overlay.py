"""A contender's keys laid over those that all contenders share, each value with its location."""

from collections.abc import Iterator
from dataclasses import replace

from scaling.sweep.spec.yaml_locations import Located, Location

# Sizes are replaced as a whole: their keys together name one shape.
_WHOLE = frozenset(["size", "sizes"])
_HORIZONS = frozenset(["flops", "tokens", "tokens_per_param"])
_CORPUS = frozenset(["name", "names", "path"])
# By mapping: where the contender has a key of the first set, the shared keys of the second do not hold.
_INSTEAD: dict[str, tuple[tuple[frozenset[str], frozenset[str]], ...]] = {
    "corpus": ((_CORPUS, _CORPUS | {"tests", "site_packages"}),),
    "model": (
        (frozenset(["heads", "head_dim"]),) * 2,
        (frozenset(["depth", "width_per_layer"]),) * 2,
    ),
    "schedule": ((frozenset(["kind"]), frozenset(["decay"])),),
    "fit": ((_HORIZONS, _HORIZONS),),
    "target": ((_HORIZONS, _HORIZONS),),
}


def overlay(shared: Located, own: Located, key: str = "") -> Located:
    """The shared value of a key with a contender's own laid over it: mappings key by key, all else replaced."""
    if key in _WHOLE or not isinstance(shared.value, dict) or not isinstance(own.value, dict):
        return own
    kept = dict(shared.value)
    for given, gone in _INSTEAD.get(key, ()):
        if given & own.value.keys():
            kept = {name: item for name, item in kept.items() if name not in gone}
    for name, item in own.value.items():
        kept[name] = overlay(kept[name], item, name) if name in kept else item
    return replace(own, value=kept)


def locations_in(located: Located) -> Iterator[Location]:
    """The locations of a value, and of all keys and values in it."""
    yield from (place for place in (located.key, located.location) if place is not None)
    inner = located.value
    for item in inner.values() if isinstance(inner, dict) else inner if isinstance(inner, list) else ():
        yield from locations_in(item)
