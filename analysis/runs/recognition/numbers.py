"""Numbers in cells as people write them: ``20M``, ``1,600,000,000``, ``38%``, ``5,407`` with a decimal comma."""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
from jaxtyping import Bool

from analysis.formatting import parse_quantity
from analysis.runs.recognition.states import without_result

# What tools and people write where there is no number; lower case.
_MISSING = frozenset(
    [
        *("", "-", "--", "\u2013", "\u2014", "?", ".", "..", "...", "\u2026"),
        *("na", "n/a", "n.a.", "#n/a", "#na", "nan", "<na>", "null", "none", "nil", "missing", "tbd"),
        *("#num!", "#div/0!", "#value!", "#ref!", "#name?", "#null!", "1.#qnan", "1.#ind", "-1.#ind"),
    ]
)
# Signs that stand for those of a keyboard: spaces of any width, the apostrophe and the minus of typography.
_SIGNS = str.maketrans(dict.fromkeys("\u2007\u2008\u2009\u200a", "\u202f") | {"\u2019": "'", "\u2212": "-"})
_DOTS = re.compile(r"\s*[1-9]\d{0,2}(?:\.\d{3})*\s*")
_TWO_DOTS = re.compile(r"\s*\d+\.\d{3}\.\d{3}")
_COUNTED = re.compile(r"(?<=[\dmMbBtT])\s+(?:params?|parameters?|tokens?|flops?)$", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+(?:[eE][-+]?\d+)?\s*\D{0,9}")
_ONE_GROUP = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}\s*(\D{0,9})")


def numbers_in(values: pd.Series, plain: bool = False) -> tuple[pd.Series, Bool[np.ndarray, " rows"]]:
    """A column in float64, NaN where there is no number, and a mask (rows,) of the cells that are no numbers.

    Empty cells and words such as ``NA`` and ``null`` are missing numbers.

    Args:
        values: the column.
        plain: for a loss, which no suffix scales and no comma groups: ``7B`` is no number, and ``5,407`` is 5.407.
    """
    dtype = values.dtype
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype):
        return values.astype("float64"), np.zeros(len(values), bool)
    # Through text: what pandas would convert includes dates and truth values.
    texts = values.astype("str")
    if not plain and _dots_group(texts[values.notna()]):
        texts = texts.str.replace(".", "")
    numbers = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64, copy=True)
    left = np.flatnonzero(np.isnan(numbers) & values.notna().to_numpy())
    words = texts.iloc[left].str.strip()
    given = ~(words.str.lower().isin(_MISSING).to_numpy() | (without_result(words) if plain else False))
    left, words = left[given], words[given]
    different = words.unique().tolist()
    read = _reader(different, plain)
    numbers[left] = words.map({text: read(text) for text in different}).to_numpy(np.float64)
    unread = np.zeros(len(values), bool)
    unread[left] = np.isnan(numbers[left])
    return pd.Series(numbers, values.index), unread


def _dots_group(texts: pd.Series) -> bool:
    """Whether the dots of a column group digits: one cell has two of them, as ``20.000.000``, and none begins less."""
    return bool(texts.str.match(_TWO_DOTS).any() and texts.str.fullmatch(_DOTS).all())


def _reader(texts: list[str], plain: bool) -> Callable[[str], float]:
    """How the texts of one column are read: by all of them, since a comma groups digits or begins a fraction."""
    commas = [text for text in texts if "," in text]
    # Where one cell can only be a fraction, all commas are.
    fraction = all(_DECIMAL_COMMA.fullmatch(text) for text in commas) and (
        plain or any(not _ONE_GROUP.fullmatch(text) for text in commas)
    )

    def read(text: str) -> float:
        text = text.translate(_SIGNS) if plain else _COUNTED.sub("", text.translate(_SIGNS))
        if fraction:
            text = text.replace(",", ".")
        elif (group := _ONE_GROUP.fullmatch(text)) and group[1]:
            return np.nan  # 1,600B: 1.6T with a comma that groups, 1.6B with one that begins a fraction
        try:
            return float(text) if plain else parse_quantity(text)
        except ValueError:
            return np.nan

    return read
