"""The row filter of ``--where``: comparisons joined by and, or, not; parsed, never executed."""

import ast
import difflib
import operator
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from analysis.errors import InputError

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
        expression: for example ``excluded_by_epoch == 0 and flops <= 1e20`` or ``corpus in ["c4", "sotu"]``.

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


def _quoted(expression: str) -> str:
    """Short text of an expression on one line, for errors."""
    return repr(expression if len(expression) <= 200 else f"{expression[:197]}...")


def _parse(expression: str) -> ast.expr:
    try:
        return ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(
            f"`where` {_quoted(expression)} is no expression such as: flops <= 1e20 and corpus == 'c4'"
        ) from None


def _evaluate(node: ast.expr, frame: pd.DataFrame) -> Any:
    match node:
        case ast.BoolOp(op=joint, values=values):
            parts = [_evaluate(value, frame) for value in values]
            result = parts[0]
            for part in parts[1:]:
                result = result & part if isinstance(joint, ast.And) else result | part
            return result
        case ast.UnaryOp(op=ast.Not(), operand=operand):
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
            if name not in frame.columns:
                raise InputError(f"`where`: no column {name!r}{closest(name, [str(c) for c in frame.columns])}")
            return frame[name]
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_evaluate(item, frame) for item in items]
        case _:
            raise InputError(
                f"`where`: {_quoted(ast.unparse(node))} is not allowed; use comparisons joined by and, or, not, in"
            )


def _compare(op: ast.cmpop, value: Any, other: Any) -> Any:
    if isinstance(op, ast.In | ast.NotIn):
        if not isinstance(value, pd.Series) or not isinstance(other, list):
            raise InputError("`where`: 'in' tests whether a column is in a list, as in corpus in ['c4', 'sotu']")
        found = value.isin(other)
        return ~found if isinstance(op, ast.NotIn) else found
    if type(op) not in _COMPARISONS:
        raise InputError("`where`: 'is' is not a comparison of values; use ==")
    if isinstance(value, list) or isinstance(other, list):
        raise InputError("`where`: a list goes with 'in', as in corpus in ['c4', 'sotu']")
    return _COMPARISONS[type(op)](value, other)
