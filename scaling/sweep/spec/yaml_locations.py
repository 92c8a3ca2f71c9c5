"""YAML in which every value knows its place, so that a fault can be told as file:line:column."""

import math
import textwrap
from dataclasses import dataclass, replace
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, StreamMark, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

_DEEPEST = 20
_MOST_VALUES = 10_000
_EXCESS = "values are too many, or nested too deeply"


@dataclass(frozen=True)
class Place:
    """Where a value was written: a file's line and column, counted from 1, or an override as a whole."""

    source: str
    line: float = math.inf
    column: int = 0

    def __str__(self) -> str:
        return self.source if self.line == math.inf else f"{self.source}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Located:
    """A value and its place.

    Attributes:
        value: text (numbers too: the reader of a key knows what it expects), a bool, None, or a list or dict
            of more.
        place: of the value.
        key: of the key before it, in a mapping.
    """

    value: "str | bool | list[Located] | dict[str, Located] | None"
    place: Place
    key: Place | None = None

    def plain(self) -> object:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def find(self, path: tuple[str | int, ...]) -> "Located":
        """The value at a path of keys and indices, or the last one on the way there that exists.

        A single value may stand for a list of one: with no list, an index leads to the value itself.
        """
        if path and isinstance(self.value, dict) and path[0] in self.value:
            return self.value[str(path[0])].find(path[1:])
        if path and isinstance(path[0], int):
            if not isinstance(self.value, list):
                return self.find(path[1:])
            if path[0] < len(self.value):
                return self.value[path[0]].find(path[1:])
        return self


Violations = list[tuple[Place, str]]


def read_yaml(text: str, source: str) -> tuple[Located | None, Violations]:
    """Reads YAML 1.2.

    Args:
        text: of the file.
        source: its name, for places.

    Returns:
        The file's value, None if it is empty or cannot be read; and its faults: the first error of syntax, or
        all duplicate keys and keys that are no text.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Limited
    yaml.composer.warn_double_anchors = False
    try:
        node = yaml.compose(text)
    except _Excess as excess:
        return None, [(excess.at(source), _EXCESS)]
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(source, mark.line + 1, mark.column + 1) if mark else Place(source)
        return None, [(place, _syntax(": ".join(filter(None, (error.context, error.problem)))))]
    except ReaderError as error:
        before = text[: error.position]
        place = Place(source, before.count("\n") + 1, len(before) - before.rfind("\n"))
        return None, [(place, f"character {_code(error.character)} is not allowed")]
    except YAMLError as error:
        return None, [(Place(source), " ".join(str(error).split()))]
    except (ValueError, OverflowError):  # ruamel leaves these to Python
        return None, [(Place(source), "the number of a character or of a YAML version is too large")]
    reader = _Reader(source)
    try:
        located = None if node is None else reader.read(node, 0)
    except _Excess as excess:
        return None, [(excess.at(source), _EXCESS)]
    return located, reader.faults


def _syntax(problem: str) -> str:
    if r"'\t'" in problem:
        return "a tab cannot indent; use spaces"
    if "alias" in problem:
        return f"{problem}; a value that begins with * needs quotes"
    if "another document" in problem:
        return "a sweep file is one document, and this begins another"
    return problem.replace("'<stream end>'", "the end").replace("end of stream", "end")


def _code(character: int | str) -> str:
    return f"U+{character if isinstance(character, int) else ord(character):04X}"


class _Excess(Exception):
    """Values beyond the limits, found at a mark of ruamel's."""

    def __init__(self, mark: StreamMark) -> None:
        self._mark = mark

    def at(self, source: str) -> Place:
        return Place(source, self._mark.line + 1, self._mark.column + 1)


class _Limited(Composer):
    """Stops at the limits while it reads, so that no file takes long, whatever is in it."""

    count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.count += 1
        if self.count > _MOST_VALUES or self.depth > _DEEPEST + 1:
            raise _Excess(self.parser.peek_event().start_mark)
        return super().compose_node(parent, index)


class _Reader:
    """Turns ruamel's nodes into Located values; collects faults."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.faults: Violations = []
        self.left = _MOST_VALUES

    def place(self, node: Node) -> Place:
        return Place(self.source, node.start_mark.line + 1, node.start_mark.column + 1)

    def read(self, node: Node, depth: int) -> Located:
        # Aliases can make a small file endless: a mapping inside itself, or a list of lists of lists.
        self.left -= 1
        if depth > _DEEPEST or self.left < 0:
            raise _Excess(node.start_mark)
        if isinstance(node, MappingNode):
            return Located(self.mapping(node, depth), self.place(node))
        if isinstance(node, SequenceNode):
            return Located([self.read(item, depth + 1) for item in node.value], self.place(node))
        assert isinstance(node, ScalarNode)
        return Located(_scalar(node), self.place(node))

    def mapping(self, node: MappingNode, depth: int) -> dict[str, Located]:
        items: dict[str, Located] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.faults.append((self.place(key), "a key must be a word, not a list or mapping"))
            elif key.value in items:
                first = items[key.value].key
                self.faults.append((self.place(key), f"duplicate key '{key.value}', first given at {first}"))
            else:
                items[key.value] = replace(self.read(value, depth + 1), key=self.place(key))
        return items


def _scalar(node: ScalarNode) -> str | bool | None:
    if node.tag == "tag:yaml.org,2002:bool":
        return node.value.lower() == "true"
    return None if node.tag == "tag:yaml.org,2002:null" else str(node.value)


def override(root: Located, assignment: str, shorthands: dict[str, str]) -> Violations:
    """Sets one value in a tree of mappings and lists, as ``key.key.index=value`` says; changes ``root``.

    Args:
        root: a mapping.
        assignment: dotted path, ``=``, and the value as YAML.
        shorthands: by top-level key, the key that a bare word in its place stands for: ``{"corpus": "name"}``
            makes ``corpus.tests=true`` understood although the file says ``corpus: python``.

    Returns:
        Violations, with the override as their place.
    """
    place = Place(f"override '{textwrap.shorten(assignment, 100, placeholder='...')}'")
    path, equals, text = assignment.partition("=")
    steps = path.strip().split(".")
    if not equals or not all(steps) or len(steps) > _DEEPEST:
        return [(place, "write key=value, for example target.seeds=4")]
    read, faults = read_yaml(text, place.source)
    if faults:
        return [(place, message) for _, message in faults]
    new = _moved(read, place) if read else Located(None, place, place)
    return _graft(root, steps, new, shorthands)


def _moved(located: Located, place: Place) -> Located:
    value = located.value
    if isinstance(value, dict):
        return Located({key: _moved(item, place) for key, item in value.items()}, place, place)
    return Located([_moved(item, place) for item in value] if isinstance(value, list) else value, place, place)


def _graft(at: Located, steps: list[str], new: Located, shorthands: dict[str, str]) -> Violations:
    for number, step in enumerate(steps):
        inner, where = at.value, ".".join(steps[:number])
        if isinstance(inner, dict):
            # What is missing on the way is made; the check of keys, later, tells whether it may be there.
            following = inner.get(step, Located({}, new.place, new.place))
            if number == 0 and step in shorthands:
                following = expand(following, shorthands[step])
            at = inner[step] = new if number == len(steps) - 1 else following
        elif not isinstance(inner, list):
            return [(new.place, f"{where} is a single value and has no '{step}'")]
        elif not step.isdecimal() or int(step) >= len(inner):
            return [(new.place, f"{where} has no item '{step}'; its items are 0 to {len(inner) - 1}")]
        elif number == len(steps) - 1:
            inner[int(step)] = new
        else:
            at = inner[int(step)]
    return []


def expand(located: Located, key: str) -> Located:
    """A bare word as the mapping it is short for: ``sotu`` as ``{name: sotu}``; anything else as it is."""
    if isinstance(located.value, str):
        return replace(located, value={key: replace(located, key=located.place)})
    return located
