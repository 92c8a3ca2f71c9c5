"""YAML in which every value has its location, so that messages can say file:line:column."""

import math
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, StreamMark, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from scaling.errors import InputError

_LARGEST_FILE = 2**20
_DEEPEST = 20
_MOST_VALUES = 10_000
_EXCESS = "values are too many, or nested too deeply"


@dataclass(frozen=True)
class Location:
    """The location of a value: a file, line and column, counted from 1; or an override as a whole."""

    source: str
    line: float = math.inf
    column: int = 0

    def __str__(self) -> str:
        return self.source if self.line == math.inf else f"{self.source}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Located:
    """A value and its location.

    Attributes:
        value: text (numbers too: the reader of a key knows what it expects), a bool, None, or a list or dict
            of more.
        location: of the value.
        key: of the key before it, in a mapping.
    """

    value: "str | bool | list[Located] | dict[str, Located] | None"
    location: Location
    key: Location | None = None

    def plain(self) -> object:
        """The value without locations."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def find(self, path: tuple[str | int, ...]) -> "Located":
        """The value at a path of keys and indices, or the last existing one on the way there.

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


Violations = list[tuple[Location, str]]


def read_file(path: str | Path, what: str) -> str:
    """Reads the text of a YAML file, which messages call ``what``.

    Raises:
        InputError: it cannot be read, is larger than 1 MiB, or is not UTF-8.
    """
    try:
        with Path(path).open("rb") as stream:
            content = stream.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: cannot read the {what}: {reason}") from None
    if len(content) > _LARGEST_FILE:
        raise InputError(f"{path}: larger than 1 MiB; this is no {what}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file: byte {content[error.start]:#04x} is not UTF-8") from None


def read_yaml(text: str, source: str) -> tuple[Located | None, Violations]:
    """Reads YAML 1.2.

    Args:
        text: of the file.
        source: its name, for locations.

    Returns:
        The file's value, None if it is empty or cannot be read; and its violations: the first error of syntax, or
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
        location = Location(source, mark.line + 1, mark.column + 1) if mark else Location(source)
        return None, [(location, _syntax(": ".join(filter(None, (error.context, error.problem)))))]
    except ReaderError as error:
        before = text[: error.position]
        location = Location(source, before.count("\n") + 1, len(before) - before.rfind("\n"))
        return None, [(location, f"character {_code(error.character)} is not allowed")]
    except YAMLError as error:
        return None, [(Location(source), " ".join(str(error).split()))]
    except (ValueError, OverflowError):  # ruamel leaves these to Python
        return None, [(Location(source), "the number of a character or of a YAML version is too large")]
    reader = _Reader(source)
    try:
        located = None if node is None else reader.read(node, 0)
    except _Excess as excess:
        return None, [(excess.at(source), _EXCESS)]
    return located, reader.violations


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

    def at(self, source: str) -> Location:
        return Location(source, self._mark.line + 1, self._mark.column + 1)


class _Limited(Composer):
    """A composer that stops at the limits, so that no file takes long to read."""

    count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.count += 1
        if self.count > _MOST_VALUES or self.depth > _DEEPEST + 1:
            raise _Excess(self.parser.peek_event().start_mark)
        return super().compose_node(parent, index)


class _Reader:
    """A reader of ruamel's nodes into Located values, which collects violations."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.violations: Violations = []
        self.left = _MOST_VALUES

    def location(self, node: Node) -> Location:
        return Location(self.source, node.start_mark.line + 1, node.start_mark.column + 1)

    def read(self, node: Node, depth: int) -> Located:
        # Aliases can make a small file endless: a mapping inside itself, or a list of lists of lists.
        self.left -= 1
        if depth > _DEEPEST or self.left < 0:
            raise _Excess(node.start_mark)
        if isinstance(node, MappingNode):
            return Located(self.mapping(node, depth), self.location(node))
        if isinstance(node, SequenceNode):
            return Located([self.read(item, depth + 1) for item in node.value], self.location(node))
        assert isinstance(node, ScalarNode)
        return Located(_scalar(node), self.location(node))

    def mapping(self, node: MappingNode, depth: int) -> dict[str, Located]:
        items: dict[str, Located] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.violations.append((self.location(key), "a key must be a word, not a list or mapping"))
            elif key.value in items:
                first = items[key.value].key
                self.violations.append((self.location(key), f"duplicate key '{key.value}', first given at {first}"))
            else:
                items[key.value] = replace(self.read(value, depth + 1), key=self.location(key))
        return items


def _scalar(node: ScalarNode) -> str | bool | None:
    if node.tag == "tag:yaml.org,2002:bool":
        return node.value.lower() == "true"
    return None if node.tag == "tag:yaml.org,2002:null" else str(node.value)


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
    if not equals or not all(steps) or len(steps) > _DEEPEST:
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
