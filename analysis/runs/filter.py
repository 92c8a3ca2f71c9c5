"""The row filter of ``--where``: comparisons joined by and, or, not; parsed, never executed.

A column whose name is no word stands in backticks, as in pandas.
"""

import ast
import difflib
import keyword
import operator
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from analysis.errors import InputError
from analysis.formatting import parse_quantity
from analysis.runs.recognition.numbers import numbers_in

# A text, in which a backtick means nothing, or a name in backticks, where two stand for one, or a number such as 20M.
_TEXT_OR_NAME = re.compile(
    r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`((?:[^`]|``)+)`|(?<![\w.])(\d+(?:\.\d+)?(?:[kKMBGTP]\b|%(?!\s*\w)))"""
)
_TRUTH = {"true": True, "false": False}
_COMPARISONS: dict[type[ast.cmpop], Any] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def columns_of(expression: str) -> set[str]:
    """Names of the columns in a filter.

    Raises:
        InputError: if the expression cannot be read.
    """
    return {node.id for node in ast.walk(_parse(expression)) if isinstance(node, ast.Name)}


def select(frame: pd.DataFrame, expression: str) -> Bool[np.ndarray, " rows"]:
    """Mask (rows,) of the rows that meet a filter.

    Args:
        frame: the rows.
        expression: for example ``excluded_by_epoch == 0 and flops <= 1e20`` or ``corpus in ["c4", "sotu"]``; other
            names than words stand in backticks.

    Raises:
        InputError: for anything but comparisons of columns with values, joined by and, or, not.
    """
    try:
        mask = _evaluate(_parse(expression), frame)
    except TypeError:
        raise InputError(f"`where` {_quoted(expression)} compares text with numbers") from None
    except OverflowError:
        raise InputError(f"`where` {_quoted(expression)} compares with a number that is too large") from None
    except RecursionError:
        raise InputError(f"`where` {_quoted(expression)} is nested too deeply") from None
    if not isinstance(mask, pd.Series) or mask.dtype != bool:
        raise InputError(f"`where` {_quoted(expression)} is no comparison; write for example flops <= 1e20")
    return mask.to_numpy()


def closest(name: str, choices: list[str]) -> str:
    """A hint `` (did you mean 'x'?)`` at the choice nearest to a name, or empty text."""
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def check_columns(
    columns: Mapping[str, str] | None, names: Iterable[str], table: str, frame: pd.DataFrame, source: str
) -> None:
    """Checks a mapping from a schema's names to a table's own.

    Args:
        columns: the mapping; None for none.
        names: the schema's.
        table: such a table in messages.
        frame: the rows; ``attrs["known"]`` has the source's columns where only some of them were read.
        source: for messages.

    Raises:
        InputError: one line for every name that the schema or the table has not.
    """
    ours, known = list(names), frame.attrs.get("known") or list(map(str, frame.columns))
    errors = [
        f"`columns` {name}={own}: "
        + (
            f"no such name in a table of {table}{closest(name, ours)}"
            if name not in ours
            else f"{source} has no column {own!r}{closest(own, known)}"
        )
        for name, own in (columns or {}).items()
        if name not in ours or own not in frame
    ]
    if errors:
        raise InputError(errors)


def _quoted(expression: str) -> str:
    """Short text of an expression on one line, for errors."""
    return repr(expression if len(expression) <= 200 else f"{expression[:197]}...")


def quoted_name(name: str) -> str:
    """A column's name as a filter spells it: in backticks, unless it is a word."""
    plain = name.isidentifier() and not keyword.iskeyword(name)
    return name if plain else "`" + name.replace("`", "``") + "`"


def _parse(expression: str) -> ast.expr:
    names: list[str] = []

    def placeholder(found: re.Match[str]) -> str:
        if found[2] is not None:
            return repr(parse_quantity(found[2]))
        if found[1] is None:
            return found[0]
        names.append(found[1].replace("``", "`"))
        return f" __column_{len(names) - 1}__ "

    try:
        tree = ast.parse(_TEXT_OR_NAME.sub(placeholder, expression).strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(
            f"`where` {_quoted(expression)} is no expression such as: flops <= 1e20 and corpus == 'c4'"
        ) from None
    try:
        return _Names({f"__column_{number}__": name for number, name in enumerate(names)}).visit(tree)
    except RecursionError:
        raise InputError(f"`where` {_quoted(expression)} is nested too deeply") from None


class _Names(ast.NodeTransformer):
    """Puts the names of columns back that stood in backticks, and takes ``a.b`` as one name."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self._names.get(node.id, node.id))

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        inner = self.visit(node.value)
        return ast.Name(f"{inner.id}.{node.attr}") if isinstance(inner, ast.Name) else node


def _evaluate(node: ast.expr, frame: pd.DataFrame) -> Any:
    match node:
        case ast.BoolOp(op=joint, values=values):
            parts = [_evaluate(value, frame) for value in values]
            result = parts[0]
            for part in parts[1:]:
                result = result & part if isinstance(joint, ast.And) else result | part
            return result
        case ast.BinOp(left=ast.Compare() | ast.BinOp(), op=ast.BitAnd() | ast.BitOr() as joint, right=right):
            left, right = _evaluate(node.left, frame), _evaluate(right, frame)  # as in pandas, between parentheses
            return left & right if isinstance(joint, ast.BitAnd) else left | right
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            return ~_evaluate(operand, frame)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Compare(left=left, ops=ops, comparators=rights):
            result, value = True, _evaluate(left, frame)
            for op, right in zip(ops, rights, strict=True):
                other = _evaluate(right, frame)
                result = _compare(op, value, other) & result
                value = other
            return result
        case ast.Name(id=name):
            own = name if name in frame.columns else name.strip()
            if own not in frame.columns and name in _TRUTH:  # as JSON writes it
                return _TRUTH[name]
            if own not in frame.columns:
                raise InputError(f"`where`: no column {name!r}{closest(name, [str(c) for c in frame.columns])}")
            return frame[own]
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_evaluate(item, frame) for item in items]
        case _:
            raise InputError(
                f"`where`: {_quoted(ast.unparse(node))} is not allowed; use comparisons joined by and, or, not, in; "
                "a column's name that is no word stands in backticks"
            )


def _compare(op: ast.cmpop, value: Any, other: Any) -> Any:
    if isinstance(op, ast.In | ast.NotIn):
        if not isinstance(value, pd.Series) or not isinstance(other, list):
            raise InputError("`where`: 'in' tests whether a column is in a list, as in corpus in ['c4', 'sotu']")
        found = pd.Series(False, value.index)
        for item in other:
            found |= _compare(ast.Eq(), value, item)
        return ~found if isinstance(op, ast.NotIn) else found
    if type(op) not in _COMPARISONS:
        raise InputError("`where`: 'is' is not a comparison of values; use ==")
    if isinstance(value, list) or isinstance(other, list):
        raise InputError("`where`: a list goes with 'in', as in corpus in ['c4', 'sotu']")
    return _COMPARISONS[type(op)](_alike(value, other), _alike(other, value))


def _alike(value: Any, other: Any) -> Any:
    """A value as what it is compared with: texts such as ``20M`` as numbers, ``true`` as a truth value, dates as texts.

    Raises:
        TypeError: if a text is compared with numbers.
    """
    if isinstance(value, str) and isinstance(other, pd.Series) and not _is_text(other):
        if pd.api.types.is_bool_dtype(other):
            return _TRUTH.get(value.strip().lower(), value)
        return _number(value) if pd.api.types.is_numeric_dtype(other) else value
    if not isinstance(value, pd.Series) or pd.api.types.is_numeric_dtype(value):
        return value
    if isinstance(other, bool):
        truth = value.astype("str").str.strip().str.lower().map(_TRUTH)
        return truth if truth.notna().any() else value
    if isinstance(other, int | float) or (isinstance(other, pd.Series) and pd.api.types.is_numeric_dtype(other)):
        numbers, unread = numbers_in(value)
        if unread.any() and _is_text(value):
            raise TypeError
        return value if unread.any() else numbers
    if isinstance(other, str) and not _is_text(value) and pd.api.types.is_object_dtype(value):
        return value.map(str, na_action="ignore")  # dates, and what else JSON and Parquet hold
    return value


def _is_text(values: pd.Series) -> bool:
    return pd.api.types.is_string_dtype(values)


def _number(text: str) -> float:
    try:
        return parse_quantity(text)
    except ValueError:
        raise TypeError from None
