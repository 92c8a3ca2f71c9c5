"""Near-duplicates side by side: which words of each the other does not have there."""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

from analysis.curation.funnel import Group, Member
from analysis.curation.numbers import counted

# Words and signs with the white space behind them; scripts without spaces go by the character.
_ALONE = r"[\u2e80-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]"
_WORDS = re.compile(rf"(?:{_ALONE}|(?:(?!{_ALONE})\w)+|[^\w\s])\s*|\s+")
_MOST, _LENGTH = 400, 2000  # words and characters of a text: two of the same few words take seconds from 1,000 on


@dataclass(frozen=True)
class Run:
    """Some words of a text in a row, and whether the other text has them too."""

    text: str
    same: bool


def differences(one: str, other: str) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    """The first 400 words of two texts, within their first 2,000 characters, in runs; white space makes no difference.

    Returns:
        The runs of each text, with an ellipsis as the last one where the text goes on.
    """
    words, others = (_WORDS.findall(text[:_LENGTH])[:_MOST] for text in (one, other))
    keys, other_keys = ([word.strip() for word in found] for found in (words, others))
    blocks = SequenceMatcher(None, keys, other_keys, autojunk=False).get_matching_blocks()
    return (
        _runs(words, [(block.a, block.a + block.size) for block in blocks], one),
        _runs(others, [(block.b, block.b + block.size) for block in blocks], other),
    )


def _runs(words: list[str], same: list[tuple[int, int]], text: str) -> tuple[Run, ...]:
    """The last block of ``same`` is empty, at the end."""
    runs, done = [], 0
    for begin, stop in same:
        runs += [Run("".join(words[done:begin]), False), Run("".join(words[begin:stop]), True)]
        done = stop
    goes_on = len(text) >= _LENGTH or sum(map(len, words)) < len(text)
    return tuple(run for run in [*runs, Run("…" * goes_on, True)] if run.text)


@dataclass(frozen=True)
class Pair:
    """A document that is kept beside one that repeats it; without one that is known, alone.

    Attributes:
        title: how large their group is.
        kept: which document is kept.
        dropped: which one was dropped.
        one: the words of the one that is kept.
        other: the words of the one that was dropped.
        more: further documents of the group.
    """

    title: str
    kept: str
    dropped: str
    one: tuple[Run, ...]
    other: tuple[Run, ...]
    more: tuple[str, ...]


def pair(group: Group) -> Pair:
    """A group of near-duplicates: the one that is kept beside the first that was dropped."""
    kept = group.kept
    title = f"{counted(group.size)}; the one that is kept is of {kept.source}"
    if not group.dropped:
        return Pair(title, kept.id, "", differences(kept.text, kept.text)[0], (), ())
    names = [_name(member) for member in group.dropped]
    return Pair(title, kept.id, names[0], *differences(kept.text, group.dropped[0].text), tuple(names[1:]))


def _name(member: Member) -> str:
    alike = "" if member.similarity is None else f", similarity {member.similarity:.3f}"
    return f"{member.id} of {member.source}{alike}"
