"""Texts of a crawl or a model, which may be hostile: what would be invisible, or turn what follows, is shown."""

import unicodedata
from typing import Any

from markupsafe import Markup

# Lines and tabs of a text, and the joiners that scripts and emoji are written with.
_KEPT = "\n\t\u200c\u200d"
_SHOWN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def visible(text: str) -> str:
    """A text with controls, bidirectional marks and the like as their code points: ``[U+202E]``."""
    if text.isprintable():
        return text
    return "".join(sign if _is_plain(sign) else f"[U+{ord(sign):04X}]" for sign in text.replace("\r\n", "\n"))


def _is_plain(sign: str) -> bool:
    return sign.isprintable() or sign in _KEPT or unicodedata.category(sign) not in _SHOWN


def finalized(value: Any) -> Any:
    """What a template writes: strings with every sign visible, before they are escaped."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
