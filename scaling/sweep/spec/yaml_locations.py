"""Values of a sweep file set on the command line, and words that stand for mappings; reading is in ``analysis``."""

import textwrap
from dataclasses import replace

from analysis.yaml_locations import DEEPEST, Located, Location, Violations, read_file, read_yaml

__all__ = ["Located", "Location", "Violations", "expand", "override", "read_file", "read_yaml"]


def override(root: Located, assignment: str, shorthands: dict[str, str]) -> Violations:
    """Sets one value in a tree of mappings and lists by ``key.key.index=value``; changes ``root``.

    Args:
        root: a mapping.
        assignment: dotted path, ``=``, and the value as YAML.
        shorthands: by top-level key, the key that a bare word in its place stands for: ``{"corpus": "name"}``
            makes ``corpus.tests=true`` understood although the file says ``corpus: python``.

    Returns:
        Violations, with the override as their location.
    """
    location = Location(f"override '{textwrap.shorten(assignment, 100, placeholder='...')}'")
    path, equals, text = assignment.partition("=")
    steps = path.strip().split(".")
    if not equals or not all(steps) or len(steps) > DEEPEST:
        return [(location, "write key=value, for example target.seeds=4")]
    read, violations = read_yaml(text, location.source)
    if violations:
        return [(location, message) for _, message in violations]
    new = _moved(read, location) if read else Located(None, location, location)
    return _graft(root, steps, new, shorthands)


def _moved(located: Located, location: Location) -> Located:
    value = located.value
    if isinstance(value, dict):
        return Located({key: _moved(item, location) for key, item in value.items()}, location, location)
    return Located([_moved(item, location) for item in value] if isinstance(value, list) else value, location, location)


def _graft(at: Located, steps: list[str], new: Located, shorthands: dict[str, str]) -> Violations:
    for number, step in enumerate(steps):
        inner, where = at.value, ".".join(steps[:number])
        if isinstance(inner, dict):
            # Missing mappings on the way are made; the schema decides later whether the keys are allowed.
            following = inner.get(step, Located({}, new.location, new.location))
            if number == 0 and step in shorthands:
                following = expand(following, shorthands[step])
            at = inner[step] = new if number == len(steps) - 1 else following
        elif not isinstance(inner, list):
            return [(new.location, f"{where} is a single value and has no '{step}'")]
        elif not step.isdecimal() or int(step) >= len(inner):
            return [(new.location, f"{where} has no item '{step}'; its items are 0 to {len(inner) - 1}")]
        elif number == len(steps) - 1:
            inner[int(step)] = new
        else:
            at = inner[int(step)]
    return []


def expand(located: Located, key: str) -> Located:
    """The mapping that a bare word is short for: ``{name: sotu}`` for ``sotu``; other values unchanged."""
    if isinstance(located.value, str):
        return replace(located, value={key: replace(located, key=located.location)})
    return located
