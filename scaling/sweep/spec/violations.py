"""Messages on violations of a schema, each with its location."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from scaling.errors import InputError
from scaling.sweep.spec.fields import show
from scaling.sweep.spec.yaml_locations import Located, Location, Violations, read_yaml

_MOST_VIOLATIONS = 50
_ANCHORS = "x-"  # begins the keys of a file whose values are there for others to repeat or merge


def read_mapping(text: str, source: str, what: str) -> tuple[Located, dict[str, Located], Violations]:
    """Reads the mapping of a file of ours; its keys that begin with ``x-`` are left out.

    Args:
        text: of the file.
        source: its name, for locations.
        what: such a file in messages.

    Returns:
        The mapping with its location, its items, and its violations.

    Raises:
        InputError: it is not YAML, or no mapping.
    """
    root, violations = read_yaml(text, source)
    if root is None or not isinstance(root.value, dict):
        found = "the file is empty" if root is None else f"not {show(root.plain())}"
        raise InputError(lines_of(violations or [(Location(source, 1, 1), f"a {what} maps keys to values; {found}")]))
    items = {key: item for key, item in root.value.items() if not key.startswith(_ANCHORS)}
    return replace(root, value=items), items, violations


def dotted(path: Sequence[str | int]) -> str:
    """Text of a path as in overrides: ``fit.0.flops``."""
    return ".".join(map(str, path))


def lines_of(violations: Violations) -> list[str]:
    """Lines of text on violations, in the order of their locations; at most 50."""
    ordered = sorted(violations, key=lambda violation: (violation[0].line, violation[0].column))
    lines = list(dict.fromkeys(f"{location}: {' '.join(message.split())}" for location, message in ordered))
    hidden = len(lines) - _MOST_VIOLATIONS
    return lines[:_MOST_VIOLATIONS] + ([f"{ordered[0][0].source}: {hidden} more errors"] if hidden > 0 else [])


def violation_of(error: ErrorDetails, schema: type[BaseModel], root: Located) -> tuple[Location, str]:
    """Violation of a pydantic error: a message and its location.

    Args:
        error: one of the errors of a ValidationError.
        schema: the model of the whole file.
        root: the file's value.
    """
    path = error["loc"]
    found = root.find(path)
    if path and path[-1] == "[key]":  # a name that the user has chosen
        path = path[:-1]
        return found.key or found.location, f"{dotted(path)}: {_explain(error)}"
    if error["type"] == "missing":
        path, message = path[:-1], f"missing key '{path[-1]}'"
    elif error["type"] == "extra_forbidden":
        path, message = path[:-1], _unknown(str(path[-1]), schema, path[:-1])
        return found.key or found.location, f"{dotted(path)}: {message}" if path else message
    else:
        message = _explain(error)
    where = found.key if found.value is None and found.key else found.location  # an empty value is at the next line
    return where, f"{dotted(path)}: {message}" if path else message


def _explain(error: ErrorDetails) -> str:
    value, context = error["input"], error.get("ctx", {})
    match error["type"]:
        case "value_error":
            return str(context["error"])
        case "literal_error":
            choices = context["expected"]
            return f"must be {choices}, not {show(value)}{_suggest(str(value), choices.split(chr(39))[1::2])}"
        case "bool_type":
            return f"must be true or false, not {show(value)}"
        case "string_type":
            return f"must be text, not {show(value)}"
        case "model_type" | "model_attributes_type":
            return f"must be a mapping, not {show(value)}"
        case "tuple_type":
            return f"must be a list, not {show(value)}"
    return error["msg"]


def _suggest(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _unknown(key: str, schema: type[BaseModel], path: Sequence[str | int]) -> str:
    known = _keys(_model_at(schema, path))
    hint = _suggest(key, known)
    if not hint:
        others = [name for name in schema.model_fields if key in _keys(_model_at(schema, [name]))]
        here = ", ".join(known) + ("" if path else f", and {_ANCHORS}... for what aliases repeat")
        hint = f"; it belongs under '{others[0]}'" if others else f"; the keys here are {here}"
    return f"unknown key '{key}'{hint}"


def _keys(model: type[BaseModel]) -> list[str]:
    """Keys of a model's fields in a file."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel], path: Sequence[str | int]) -> type[BaseModel]:
    """The model whose keys may stand at a path from another model."""
    for step in path:
        if isinstance(step, str) and step in model.model_fields:  # not a name that the user has chosen
            model = next(_models_in(model.model_fields[step].annotation), model)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
