"""A file with contenders read into one sweep for each: all violations at once, with file, line and column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from scaling.errors import InputError
from scaling.sweep.contenders.overlay import locations_in, overlay
from scaling.sweep.spec.fields import Name, show
from scaling.sweep.spec.sweep_file import SHORTHANDS, expand_shorthands, validate_sweep
from scaling.sweep.spec.sweep_spec import SweepSpec
from scaling.sweep.spec.violations import lines_of, read_mapping
from scaling.sweep.spec.yaml_locations import Located, Violations, override, read_file

CONTENDERS, COMPARE_ON = "contenders", "compare_on"
_FEWEST = 2
_FOLDER: TypeAdapter[str] = TypeAdapter(Name)  # each contender has a folder of its name
_TUNED = "contenders tune nothing; tune each by a sweep of its own first"
_MIXED = "contenders choose no mixture; choose each one's by a sweep of its own first"


@dataclass(frozen=True)
class Contenders:
    """A validated file with contenders: sweeps that are compared at their targets.

    Each contender is a sweep of the file's keys, ``fit`` and ``target`` among them, with its own keys laid over them:
    mapping by mapping, and lists and sizes as a whole. So ``{recipe: {weight_decay: 0}}`` differs from the others by
    its weight decay alone. There is no ``grid``, and every contender has a target.

    Attributes:
        name: of the comparison and of its folder; each contender has a folder of its name below.
        contenders: by name, two or more; each a mapping of keys of a sweep, which may be empty.
        compare_on: which of ``evaluate``'s sets the losses are compared on; by default the held-out text of the corpus,
            which must then be the same for all.
    """

    name: str
    contenders: Mapping[str, SweepSpec]
    compare_on: str | None
    _source: Located

    def where_of(self, contender: str, *path: str | int) -> str:
        """Location of a contender's own value, or of its name in the file where there is none."""
        block = self._source.find((CONTENDERS, contender))
        found = block.find(path)
        return str(block.key or block.location) if found is block else str(found.location)


def has_contenders(text: str) -> bool:
    """Whether the text of a file is a mapping with the key ``contenders``."""
    try:
        return CONTENDERS in read_mapping(text, "", "sweep file")[1]
    except InputError:
        return False


def load_contenders(path: str | Path, overrides: Sequence[str] = ()) -> Contenders:
    """Reads a file with contenders; as ``load_sweep`` reads a sweep's.

    Args:
        path: of the YAML file.
        overrides: assignments such as ``target.seeds=4``, for all contenders, or
            ``contenders.muon.recipe.weight_decay=0``.

    Raises:
        InputError: every violation in the file and the overrides, as ``file:line:column: message``.
    """
    return parse_contenders(read_file(path, "sweep file"), str(path), overrides)


def parse_contenders(text: str, name: str, overrides: Sequence[str] = ()) -> Contenders:
    """Validates the text of a file with contenders, which messages call ``name``; as :func:`load_contenders`."""
    root, items, violations = read_mapping(text, name, "sweep file")
    _expand_all(items)
    for assignment in overrides:
        violations += override(root, assignment, SHORTHANDS)
        _expand_all(items)  # for the next one
    own, wrong = _blocks(items[CONTENDERS])
    violations += wrong
    shared = {key: item for key, item in items.items() if key not in (CONTENDERS, COMPARE_ON)}
    if "grid" in shared:
        grid = shared.pop("grid")
        violations.append((grid.key or grid.location, f"grid: {_TUNED}"))
    if "mixtures" in shared:
        mixtures = shared["mixtures"]
        violations.append((mixtures.key or mixtures.location, f"mixtures: {_MIXED}"))
    called = items["name"].plain() if "name" in items else None
    if wrong := _misnamed(items):
        violations += wrong
        called = "contenders"  # in its place, so that all else is validated
    merged = {key: _merged(replace(root, value=shared), block, f"{called}-{key}") for key, block in own.items()}
    found = {key: _validated(each) for key, each in merged.items()}
    violations += _reported(found, own, root)
    specs = {key: spec for key, (spec, _) in found.items() if spec is not None}
    compare_on, wrong = _compare_on(items, specs)
    violations += wrong
    if violations:
        raise InputError(lines_of(violations))
    return Contenders(str(called), specs, compare_on, root)


def _expand_all(items: dict[str, Located]) -> None:
    """Expands the shorthands of the file and of every contender in it."""
    expand_shorthands(items)
    blocks = items[CONTENDERS].value if CONTENDERS in items else None
    for block in blocks.values() if isinstance(blocks, dict) else ():
        if isinstance(block.value, dict):
            expand_shorthands(block.value)


def _misnamed(items: Mapping[str, Located]) -> Violations:
    """The violation of the file's name, once for all contenders; none where it is missing, which each will say."""
    if "name" not in items:
        return []
    try:
        _FOLDER.validate_python(items["name"].plain())
    except ValidationError as error:
        reason = error.errors()[0].get("ctx", {}).get("error", f"must be text, not {show(items['name'].plain())}")
        return [(items["name"].location, f"name: {reason}")]
    return []


def _blocks(contenders: Located) -> tuple[dict[str, Located], Violations]:
    """The contenders' own keys by name, without those that have violations."""
    if not isinstance(contenders.value, dict):
        return {}, [(contenders.location, f"contenders: maps names to keys of a sweep, not {show(contenders.plain())}")]
    found: Violations = []
    if len(contenders.value) < _FEWEST:
        where = contenders.key or contenders.location
        found.append((where, f"contenders: {len(contenders.value)} given; two or more are compared"))
    blocks = {}
    for name, block in contenders.value.items():
        try:
            _FOLDER.validate_python(name)
        except ValidationError as error:
            found.append((block.key or block.location, f"contenders.{name}: {error.errors()[0]['ctx']['error']}"))
            continue
        if block.value is None:
            block = replace(block, value={})
        if not isinstance(block.value, dict):
            found.append((block.location, f"contenders.{name}: must be a mapping, not {show(block.plain())}"))
            continue
        for key, reason in (("grid", _TUNED), ("mixtures", _MIXED), ("name", "a contender is called by its key")):
            if key in block.value:
                item = block.value[key]
                found.append((item.key or item.location, f"contenders.{name}.{key}: {reason}"))
        kept = {key: item for key, item in block.value.items() if key not in ("grid", "name")}
        blocks[name] = replace(block, value=kept)
    return blocks, found


def _merged(shared: Located, own: Located, called: str) -> Located:
    """The sweep of a contender, with its name, at the location of the whole file."""
    both = overlay(shared, own).value
    assert isinstance(both, dict)
    if "name" in both:
        both = {**both, "name": replace(both["name"], value=called)}
    return replace(shared, value=both)


def _validated(merged: Located) -> tuple[SweepSpec | None, Violations]:
    spec, violations = validate_sweep(merged)
    assert isinstance(merged.value, dict)
    if "target" in merged.value:
        return spec, violations
    # A sweep may have a grid in its place, and its own message says so.
    others = [each for each in violations if "missing key 'target'" not in each[1]]
    return None, [*others, (merged.location, "missing key 'target', which contenders are compared at")]


def _reported(
    found: Mapping[str, tuple[SweepSpec | None, Violations]], own: Mapping[str, Located], root: Located
) -> Violations:
    """The violations of all contenders: once what all have in common, and under its name what one has."""
    every = [set(violations) for _, violations in found.values()]
    common = set.intersection(*every) if every else set()
    reported: Violations = []
    for name, (_, violations) in found.items():
        inside = set(locations_in(own[name]))
        for location, message in violations:
            if (location, message) in common:
                reported.append((location, message))
            elif location in inside and not message.startswith(("unknown key", "missing key")):
                reported.append((location, f"contenders.{name}.{message}"))
            else:
                at = (own[name].key or own[name].location) if location == root.location else location
                reported.append((at, f"contenders.{name}: {message}"))
    return reported


def _compare_on(items: Mapping[str, Located], specs: Mapping[str, SweepSpec]) -> tuple[str | None, Violations]:
    """The name of the set that losses are compared on, and what is wrong with it."""
    if COMPARE_ON not in items:
        return None, []
    given = items[COMPARE_ON]
    name = given.plain()
    if not isinstance(name, str):
        return None, [(given.location, f"{COMPARE_ON}: must be the name of a set, not {show(name)}")]
    for key, spec in specs.items():
        if name not in (spec.evaluate or {}):
            there = f"there are {', '.join(spec.evaluate)}" if spec.evaluate else "there is no `evaluate`"
            return None, [(given.location, f"{COMPARE_ON}: {key} is not evaluated on {show(name)}: {there}")]
    return name, []
