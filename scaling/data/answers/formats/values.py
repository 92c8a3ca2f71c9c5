"""Values of rows: texts, parts of messages, ratings and truths; ValueError, with why, for what is none."""

import math
from collections.abc import Mapping
from typing import Any

from scaling.data.formats.streams import kind_of

# Llama 2's raters (2307.09288), as numbers.
_WORDS = {"significantly better": 3, "better": 2, "slightly better": 1, "negligibly better": 0, "unsure": 0}
_WORDS["negligibly better / unsure"] = _WORDS["negligibly better/unsure"] = 0
MOST = 3.0
"""The most that a chosen answer is better by."""


def text_of(value: Any, column: str) -> str:
    """Text, also of bytes, as Parquet holds text whose writer did not say that it is UTF-8."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"'{column}' has bytes that are not UTF-8, at offset {error.start}") from None
    if not isinstance(value, str):
        raise ValueError(f"'{column}' is no text but {kind_of(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"'{column}' has half a surrogate pair, which is no character") from None
    return value


def content_of(value: Any, column: str) -> str:
    """The text of a message: text, or a list of parts, ``{type: text, text: ...}``, one behind the other."""
    if not isinstance(value, list):
        return text_of(value, column)
    texts = []
    for number, part in enumerate(value, 1):
        kind = part.get("type", "text") if isinstance(part, Mapping) else None
        if not isinstance(part, Mapping) or kind != "text":
            what = kind_of(part) if kind is None else f"{kind!r:.40}"
            raise ValueError(f"'{column}[{number}]' is no part of text; it is {what}")
        texts.append(text_of(part.get("text"), f"{column}[{number}].text"))
    return "".join(texts)


def rating_of(value: Any, column: str) -> float:
    """How much better an answer is, from 0 to 3: a number, or a word of Llama 2's raters."""
    if isinstance(value, str):
        word = " ".join(value.lower().replace("_", " ").replace("-", " ").split())
        if word in _WORDS:
            return float(_WORDS[word])
    number = number_of(value, column)
    if not 0 <= number <= MOST:
        raise ValueError(f"'{column}' is not between 0 and 3; it is {number:g}")
    return number


def number_of(value: Any, column: str) -> float:
    """A finite number, also one in text."""
    try:
        if not isinstance(value, bool) and math.isfinite(number := float(value)):
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"'{column}' is no number and no rating such as 'slightly better'; it is {value!r:.40}")


def truth_of(value: Any, column: str) -> bool:
    """True or false, also as a word or as 1 and 0."""
    word = value.strip().lower() if isinstance(value, str) else value
    if word in (True, "true", "yes", "1"):
        return True
    if word in (False, "false", "no", "0", ""):
        return False
    raise ValueError(f"'{column}' is not true or false; it is {value!r:.40}")
