"""The rules by name: what each asks of a document, where its threshold was published, and which one a document breaks.

Gopher's and FineWeb's rules were found on the main text of web pages. The statistics follow the papers, and where these
are silent datatrove's programs, but for four things:

- A word is a run without white space, and counts only with a letter or a digit. Where signs count as words, as in
  datatrove, most manual pages and all programs miss Gopher's 80 % of words with a letter.
- Rules with ``prose`` are not judged on technical text (see ``Statistics``). There a line is a statement or is wrapped
  by hand, so that its end and its length tell nothing; lines and phrases of a reference come again; number signs begin
  comments; no stop words are needed. The other rules are judged, on repetition too: by paragraphs and top n-grams.
- Only lines that have a word count, so that braces and ruled lines are no duplicates.
- Gopher's stop words are asked of English text only.

Of FineWeb's rules, 2406.17557 drops documents with at least 10 % of characters in duplicated lines; the program that
made the data set takes 1 %, as ``fineweb.duplicated_characters`` here, and has ``fineweb.newlines`` besides. Gopher's
share of words with a letter is a minimum; datatrove names it ``max_non_alpha_words_ratio``, but compares it rightly
(its issue 202). C4 mostly cuts lines; only what drops documents is here: too few sentences in the lines that it would
keep, curly brackets, lorem ipsum.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int16

from scaling.data.curate.rules.repetition import DUPLICATE_GRAMS, TOP_GRAMS
from scaling.data.curate.rules.statistics import Statistics

Limits = Mapping[str, tuple[float | None, float | None]]
"""Least and most by the name of a rule; None has no limit."""
_GOPHER, _FINEWEB, _C4 = "Gopher (2112.11446)", "FineWeb (2406.17557)", "C4 (1910.10683)"
_LINES, _WORDS, _CHARACTERS = "share of lines", "share of words", "share of characters"


@dataclass(frozen=True)
class Rule:
    """Bounds of a statistic within which a document stays.

    Attributes:
        value: of a batch's documents, NaN where there is none.
        definition: of the value.
        source: where the bounds were published.
        least: the published lower bound; a document with less is dropped.
        most: the published upper bound; a document with more is dropped.
        unit: of the value.
        span: of a histogram of the values.
        log: whether its bins are of equal ratios.
        english: it is judged on English text only.
        prose: it is not judged on technical text.
    """

    value: Callable[[Statistics], np.ndarray]
    definition: str
    source: str
    least: float | None = None
    most: float | None = None
    unit: str = _LINES
    span: tuple[float, float] = (0.0, 1.0)
    log: bool = False
    english: bool = False
    prose: bool = False


def _top(place: int, most: float) -> Rule:
    definition = f"Share of the characters that the most frequent {TOP_GRAMS[place]} words in a row have, if repeated."
    return Rule(lambda found: found.top_grams[:, place], definition, _GOPHER, most=most, unit=_CHARACTERS)


def _duplicate(place: int, most: float) -> Rule:
    definition = (
        f"Share of the characters in {DUPLICATE_GRAMS[place]} words in a row that were there before; not judged on "
        "technical text."
    )
    return Rule(
        lambda found: found.duplicate_grams[:, place], definition, _GOPHER, most=most, unit=_CHARACTERS, prose=True
    )


RULES: Mapping[str, Rule] = {
    "gopher.words": Rule(
        lambda found: found.words,
        "Runs without white space that have a letter or a digit; two characters of scripts without spaces.",
        _GOPHER, 50, 100_000, "words", (1, 1e6), log=True,
    ),
    "gopher.word_length": Rule(
        lambda found: found.word_length,
        "Letters and digits a word; not judged where most words are of a script without spaces.",
        _GOPHER, 3, 10, "letters and digits a word", (0, 20),
    ),
    "gopher.symbols": Rule(
        lambda found: found.symbols,
        "Number signs or ellipses, whichever are more, a word; not judged on technical text.",
        _GOPHER, most=0.1, unit="symbols a word", span=(0, 0.5), prose=True,
    ),
    "gopher.bullets": Rule(
        lambda found: found.bullets, "Share of lines that begin with a bullet, a hyphen or a star.", _GOPHER, most=0.9
    ),
    "gopher.ellipses": Rule(
        lambda found: found.ellipses, "Share of lines that end with an ellipsis.", _GOPHER, most=0.3
    ),
    "gopher.letters": Rule(
        lambda found: found.letters, "Share of words that have a letter.", _GOPHER, 0.8, unit=_WORDS
    ),
    "gopher.stop_words": Rule(
        lambda found: found.stop_words,
        "How many of the, be, to, of, and, that, have, with are there; not judged on technical text, nor on other "
        "languages than English.",
        _GOPHER, 2, unit="stop words", span=(0, 8), english=True, prose=True,
    ),
    "gopher.duplicate_paragraphs": Rule(
        lambda found: found.duplicate_paragraphs,
        "Share of paragraphs, between empty lines, that were there before.",
        _GOPHER, most=0.3, unit="share of paragraphs",
    ),
    "gopher.duplicate_paragraph_characters": Rule(
        lambda found: found.duplicate_paragraph_characters,
        "Share of the characters in paragraphs that were there before.",
        _GOPHER, most=0.2, unit=_CHARACTERS,
    ),
    "gopher.duplicate_lines": Rule(
        lambda found: found.duplicate_lines,
        "Share of lines that were there before; not judged on technical text.",
        _GOPHER, most=0.3, prose=True,
    ),
    "gopher.duplicate_line_characters": Rule(
        lambda found: found.duplicate_line_characters,
        "Share of the characters in lines that were there before; not judged on technical text.",
        _GOPHER, most=0.2, unit=_CHARACTERS, prose=True,
    ),
    "gopher.top_2grams": _top(0, 0.2),
    "gopher.top_3grams": _top(1, 0.18),
    "gopher.top_4grams": _top(2, 0.16),
    "gopher.duplicate_5grams": _duplicate(0, 0.15),
    "gopher.duplicate_6grams": _duplicate(1, 0.14),
    "gopher.duplicate_7grams": _duplicate(2, 0.13),
    "gopher.duplicate_8grams": _duplicate(3, 0.12),
    "gopher.duplicate_9grams": _duplicate(4, 0.11),
    "gopher.duplicate_10grams": _duplicate(5, 0.1),
    "fineweb.line_ends": Rule(
        lambda found: found.line_ends,
        "Share of lines that end with a full stop, an exclamation mark or a question mark; not judged on technical "
        "text.",
        _FINEWEB, 0.12, prose=True,
    ),
    "fineweb.short_lines": Rule(
        lambda found: found.short_lines,
        "Share of lines of at most 30 characters; not judged on technical text.",
        _FINEWEB, most=0.67, prose=True,
    ),
    "fineweb.duplicated_characters": Rule(
        lambda found: found.duplicated_characters,
        "Share of the characters, without line ends, in lines that were there before; not judged on technical text.",
        _FINEWEB, most=0.01, unit=_CHARACTERS, span=(0, 0.2), prose=True,
    ),
    "fineweb.newlines": Rule(
        lambda found: found.newlines,
        "Line ends a word; not judged on technical text.",
        _FINEWEB, most=0.3, unit="line ends a word", prose=True,
    ),
    "c4.sentences": Rule(
        lambda found: found.sentences,
        "Sentences in lines of at least three words that end as a sentence or with a quotation mark.",
        _C4, 5, unit="sentences", span=(1, 1e5), log=True,
    ),
    "c4.curly_brackets": Rule(
        lambda found: found.curly_brackets, "Opening curly brackets.", _C4, most=0, unit="brackets", span=(0, 40)
    ),
    "c4.lorem_ipsum": Rule(
        lambda found: found.lorem_ipsum, "Times of lorem ipsum.", _C4, most=0, unit="times", span=(0, 40)
    ),
}  # fmt: skip
"""In the order in which they are judged: a document is dropped for the first that it breaks."""


def limits_of(sets: Sequence[str], limits: Limits) -> Limits:
    """The limits of the rules of some sets and of rules named by themselves, in the order of the rules.

    Args:
        sets: ``gopher``, ``fineweb``, ``c4``.
        limits: in place of the published ones, by the names of rules.
    """
    published = {name: (rule.least, rule.most) for name, rule in RULES.items() if name.split(".")[0] in sets}
    given = {**published, **limits}
    return {name: given[name] for name in RULES if name in given}


def broken(
    statistics: Statistics, limits: Limits, english: Bool[np.ndarray, " documents"]
) -> tuple[Int16[np.ndarray, " documents"], dict[str, np.ndarray]]:
    """Judges documents.

    Args:
        statistics: of the documents.
        limits: of the rules, in order.
        english: documents that the rules for English text are judged on.

    Returns:
        Of each document the place among the limits of the first that it breaks, -1 for none; and the values by rule,
        NaN where it is not judged.
    """
    reasons = np.full(len(english), -1, np.int16)
    values = {}
    for place, (name, (least, most)) in enumerate(limits.items()):
        rule = RULES[name]
        value = rule.value(statistics).astype(np.float64)
        value[(statistics.technical & rule.prose) | (~english & rule.english)] = np.nan
        breaks = np.zeros(len(value), bool)
        if least is not None:
            breaks |= value < least
        if most is not None:
            breaks |= value > most
        reasons[breaks & (reasons < 0)] = place
        values[name] = value
    return reasons, values
