"""What the rules ask of a character, as a table over code points."""

from functools import lru_cache

import numpy as np
from jaxtyping import UInt8

from scaling.data.curate.text.words import classes

SPACE, LETTER, DIGIT, ALONE, SIGN, OPEN, BULLET, END = (1 << bit for bit in range(8))
"""Bits: white space, a letter or mark, a digit, a character of a script without spaces, a sign of programs, an opening
bracket, a bullet, the end of a sentence."""
QUOTES = np.array([ord(sign) for sign in "\"'\u2019\u201d\u00bb\u300d\u300f"], np.uint32)
"""What may follow the end of a sentence."""
_SIGNS = {
    SIGN: "={}_`\\",
    OPEN: "([",
    BULLET: "-*\u2022\u2023\u25e6\u25aa\u25ab\u25a0\u25a1\u25b6\u25c0\u00b7\u2013",
    # Latin; double signs; Armenian, Arabic, Devanagari, Burmese, Ethiopic, Khmer; Chinese and Japanese, small and wide.
    END: ".?!\u203c\u203d\u2047\u2048\u2049\u0589\u061f\u06d4\u0964\u0965\u104a\u104b\u1362\u1367\u1368\u17d4\u17d5"
    "\u3002\ufe52\ufe56\ufe57\uff01\uff0e\uff1f\uff61",
}


@lru_cache(maxsize=1)
def kinds() -> UInt8[np.ndarray, " points"]:
    """The bits of each code point; those behind the last have its bits."""
    known = classes()
    table = np.where(known == 2, LETTER | ALONE, np.where(known == 1, LETTER, 0)).astype(np.uint8)
    for point in np.flatnonzero(known == 1).tolist():
        if chr(point).isnumeric() and not chr(point).isalpha():
            table[point] = DIGIT
    table[ord("_")] = 0
    for bit, signs in _SIGNS.items():
        for sign in signs:
            table[ord(sign)] |= bit
    for point in range(0x3001):
        if chr(point).isspace():
            table[point] = SPACE
    table[0] = SPACE
    return table
