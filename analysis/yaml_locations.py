"""YAML in which every value has its location, so that messages can say file:line:column."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, StreamMark, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from analysis.errors import InputError

_LARGEST_FILE = 2**20
DEEPEST = 20
_MOST_VALUES = 10_000
_EXCESS = "values are too many, or nested too deeply"
_YAML = "tag:yaml.org,2002:"
_MERGE = _YAML + "merge"
# Tags of plain YAML; a timestamp and "=" are those that the reader itself finds. All their values are read as text.
_TAGS = {_YAML + name for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge", "timestamp", "value")}
_NULL = ("", "~", "null", "Null", "NULL")


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
    """Reads YAML 1.2, and the merge keys of YAML 1.1: ``<<: *base``, or ``<<: [*first, *second]``.

    A merged value keeps the location where it stands, in the base.

    Args:
        text: of the file.
        source: its name, for locations.

    Returns:
        The file's value, None if it is empty or cannot be read; and its violations: the first error of syntax, or
        all duplicate keys, keys that are no text, values that cannot be merged, and tags that are not YAML's own.
    """
    reader = _Reader(source)
    try:
        node = _composer().compose(text)
        located = None if node is None else reader.read(node, 0)
    except _Endless as endless:
        return None, [(endless.at(source), str(endless))]
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
    return located, list(dict.fromkeys(reader.violations))  # what is merged twice is in error once


def _composer() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Limited
    yaml.composer.warn_double_anchors = False
    return yaml


def _syntax(problem: str) -> str:
    if r"'\t'" in problem:
        return "a tab cannot stand here; use spaces"
    if "alias" in problem:
        return f"{problem}; a value that begins with * needs quotes"
    if "another document" in problem:
        return "a file is one document, and this begins another"
    return problem.replace("'<stream end>'", "the end").replace("end of stream", "end")


def _code(character: int | str) -> str:
    return f"U+{character if isinstance(character, int) else ord(character):04X}"


class _Endless(Exception):
    """Values that have no end, or are beyond the limits, found at a mark of ruamel's."""

    def __init__(self, mark: StreamMark, message: str = _EXCESS) -> None:
        super().__init__(message)
        self._mark = mark

    def at(self, source: str) -> Location:
        return Location(source, self._mark.line + 1, self._mark.column + 1)


class _Limited(Composer):
    """A composer that stops at the limits, so that no file takes long to read."""

    count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.count += 1
        if self.count > _MOST_VALUES or self.depth > DEEPEST + 1:
            raise _Endless(self.parser.peek_event().start_mark)
        return super().compose_node(parent, index)


class _Reader:
    """A reader of ruamel's nodes into Located values, which collects violations."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.violations: Violations = []
        self.left = _MOST_VALUES
        self.open: set[int] = set()

    def location(self, node: Node) -> Location:
        return Location(self.source, node.start_mark.line + 1, node.start_mark.column + 1)

    def report(self, node: Node, message: str) -> None:
        self.violations.append((self.location(node), message))

    def read(self, node: Node, depth: int) -> Located:
        with self._opened(node, depth):
            if node.tag not in _TAGS:
                self.report(node, f"the tag {_shown(node)} is not read here; write the value without it")
            if isinstance(node, MappingNode):
                return Located(self.mapping(node, depth), self.location(node))
            if isinstance(node, SequenceNode):
                return Located([self.read(item, depth + 1) for item in node.value], self.location(node))
            assert isinstance(node, ScalarNode)
            return Located(_scalar(node, self.text(node)), self.location(node))

    def text(self, node: ScalarNode) -> str:
        """The text of a scalar; half a character, which an escape may give, is reported and replaced."""
        text = str(node.value)
        if any("\ud800" <= character <= "\udfff" for character in text):
            self.report(node, "an escape gives half a character, U+D800 to U+DFFF")
            return text.encode(errors="replace").decode()
        return text

    @contextmanager
    def _opened(self, node: Node, depth: int) -> Iterator[None]:
        """Refuses what aliases make endless, or large: a mapping inside itself, or a list of lists of lists."""
        self.left -= 1
        if id(node) in self.open:
            raise _Endless(node.start_mark, "contains itself: an alias stands inside the value that it repeats")
        if depth > DEEPEST or self.left < 0:
            raise _Endless(node.start_mark)
        self.open.add(id(node))
        yield
        self.open.remove(id(node))

    def mapping(self, node: MappingNode, depth: int) -> dict[str, Located]:
        """The items of a mapping: its own, and of those that it merges the ones whose keys are not given before."""
        own: dict[str, Located] = {}
        merged: dict[str, Located] = {}
        merge: Node | None = None
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.report(key, "a key must be a word, not a list or mapping")
            elif key.tag == _MERGE:
                if merge is not None:
                    first = self.location(merge)
                    self.report(key, f"duplicate key '<<', first given at {first}; merge several as a list: [*a, *b]")
                    continue
                merge, merged = key, self.merged(value, depth)
            elif (name := self.text(key)) in own:
                self.report(key, f"duplicate key '{name}', first given at {own[name].key}")
            else:
                own[name] = replace(self.read(value, depth + 1), key=self.location(key))
        return merged | own

    def merged(self, node: Node, depth: int) -> dict[str, Located]:
        """The items of a mapping to merge, or of a list of them, in which the first that has a key counts."""
        items: dict[str, Located] = {}
        with self._opened(node, depth):
            if isinstance(node, MappingNode):
                return self.mapping(node, depth + 1)
            for base in node.value if isinstance(node, SequenceNode) else (node,):
                if isinstance(base, MappingNode):
                    items = self.merged(base, depth + 1) | items
                else:
                    self.report(base, "<< takes a mapping, or a list of mappings")
        return items


def _shown(node: Node) -> str:
    """A tag as it is written, at most 40 characters long."""
    text = str(node.tag).replace(_YAML, "!!")
    return text if len(text) <= 40 else text[:37] + "..."


def _scalar(node: ScalarNode, value: str) -> str | bool | None:
    if node.tag == _YAML + "bool" and value.lower() in ("true", "false"):  # 'yes' is a word, also in YAML 1.1
        return value.lower() == "true"
    return None if node.tag == _YAML + "null" and value in _NULL else value
