"""The statistics of documents that rules judge, for a batch at once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float64, Int64

from scaling.data.curate.rules.flat import STOP_WORDS, Counts, Flat, flatten
from scaling.data.curate.rules.repetition import MOST, gram_characters, paragraphs, repeated
from scaling.data.curate.text.spans import SPAN

_SIGNS, _INDENTED, _UNSPACED = 0.01, 0.5, 0.5

Shares = Float64[np.ndarray, " documents"]


@dataclass(frozen=True)
class Statistics:
    """Of documents; NaN where there is nothing to divide by.

    Words, lines and their scripts are those of :class:`~scaling.data.curate.rules.flat.Flat`. Repetition is of the
    first million words and lines of a document, and a line beyond a quarter of a million characters counts as several.

    Attributes:
        words: how many.
        word_length: letters and digits a word; NaN where most words are of a script without spaces.
        symbols: number signs a word or ellipses a word, whichever are more.
        bullets: share of lines that begin with a bullet.
        ellipses: share of lines that end with an ellipsis.
        letters: share of words with a letter.
        stop_words: of Gopher's eight, how many are there.
        duplicate_lines: share of lines that an earlier one is equal to.
        duplicate_line_characters: their share of the characters.
        duplicate_paragraphs: share of paragraphs that an earlier one is equal to.
        duplicate_paragraph_characters: their share of the characters.
        top_grams: share of the characters that the most frequent n-gram of 2, 3, 4 words has.
        duplicate_grams: share of the characters in n-grams of 5 to 10 words that were there before.
        line_ends: share of lines that end as a sentence does.
        short_lines: share of lines of at most 30 characters.
        duplicated_characters: as duplicate_line_characters, of the characters without line ends.
        newlines: line ends a word.
        sentences: ends of sentences in lines that end as one, or with a quotation mark, and have three words.
        curly_brackets: opening ones.
        lorem_ipsum: how often it is there, in any case.
        technical: whether the text is a program, a table or a manual rather than the text of a page: one in a hundred
            of the characters shown is a sign of programs (``= { } _ \\``, a backtick, a bracket right behind a name),
            or half of the lines are indented and not short.
    """

    words: Int64[np.ndarray, " documents"]
    word_length: Shares
    symbols: Shares
    bullets: Shares
    ellipses: Shares
    letters: Shares
    stop_words: Int64[np.ndarray, " documents"]
    duplicate_lines: Shares
    duplicate_line_characters: Shares
    duplicate_paragraphs: Shares
    duplicate_paragraph_characters: Shares
    top_grams: Float64[np.ndarray, "documents 3"]
    duplicate_grams: Float64[np.ndarray, "documents 6"]
    line_ends: Shares
    short_lines: Shares
    duplicated_characters: Shares
    newlines: Shares
    sentences: Int64[np.ndarray, " documents"]
    curly_brackets: Int64[np.ndarray, " documents"]
    lorem_ipsum: Int64[np.ndarray, " documents"]
    technical: Bool[np.ndarray, " documents"]


def statistics_of(texts: Sequence[str]) -> Statistics:
    """Statistics of texts without NUL characters; those of each do not depend on the others."""
    parts = [_of(flat, some) for flat, some in _flats(texts)] or [_of(flatten([]), [])]
    names = [field.name for field in fields(Statistics)]
    return Statistics(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _flats(texts: Sequence[str]) -> Iterator[tuple[Flat, Sequence[str]]]:
    """The texts in order, as many at once as fit into a pass; a longer one by itself, in pieces."""
    begin, size = 0, 0
    for place, text in enumerate(texts):
        if size + len(text) + 1 > SPAN:
            if place > begin:
                yield flatten(texts[begin:place]), texts[begin:place]
            begin, size = place, 0
        if len(text) + 1 > SPAN:
            yield _joined(flatten([piece]) for piece in _pieces(text)), [text]
            begin = place + 1
        else:
            size += len(text) + 1
    if begin < len(texts):
        yield flatten(texts[begin:]), texts[begin:]


def _pieces(text: str) -> Iterator[str]:
    """Pieces of a long text, which end with a line where there is one, else with a word."""
    begin = 0
    while begin < len(text):
        stop = begin + SPAN - 1
        if stop < len(text):
            stop = (text.rfind("\n", begin, stop) + 1) or (text.rfind(" ", begin, stop) + 1) or stop
        yield text[begin:stop]
        begin = stop


def _joined(pieces: Iterable[Flat]) -> Flat:
    """A text of its pieces."""
    kept: list[Flat] = []
    counts: Counts = {}
    stops, words, lines = np.zeros((1, len(STOP_WORDS)), np.int64), 0, 0
    for piece in pieces:
        counts = {name: counts.get(name, 0) + count for name, count in piece.counts.items()}
        stops = stops + piece.stops
        if words < MOST or lines < MOST:
            kept.append(piece)
        words, lines = words + len(piece.words), lines + len(piece.lines)
    words, lines = min(words, MOST), min(lines, MOST)
    return Flat(
        counts,
        stops,
        np.concatenate([piece.words for piece in kept])[:words],
        np.concatenate([piece.lengths for piece in kept])[:words],
        np.array([0, words]),
        np.concatenate([piece.lines for piece in kept])[:lines],
        np.concatenate([piece.line_lengths for piece in kept])[:lines],
        np.concatenate([piece.breaks for piece in kept])[:lines],
        np.array([0, lines]),
    )


def _of(flat: Flat, texts: Sequence[str]) -> Statistics:
    counts = flat.counts
    words, lines, characters = counts["words"], counts["lines"], counts["characters"]
    spaced = words - counts["unspaced"]
    duplicates, duplicate_characters = repeated(flat.lines, flat.line_lengths, flat.line_bounds)
    whole = paragraphs(flat.lines, flat.line_lengths, flat.breaks, flat.line_bounds)
    repeats, repeat_characters = repeated(*whole)
    top, duplicate = gram_characters(flat.words, flat.lengths, flat.bounds)
    technical = (counts["signs"] >= _SIGNS * counts["shown"]) | (counts["indented"] >= _INDENTED * lines)
    return Statistics(
        words=words,
        word_length=np.where(spaced >= (1 - _UNSPACED) * words, _share(counts["spaced"], spaced), np.nan),
        symbols=_share(np.maximum(counts["hashes"], counts["ellipses"]), words),
        bullets=_share(counts["bullets"], lines),
        ellipses=_share(counts["trailing"], lines),
        letters=_share(counts["lettered"], words),
        stop_words=(flat.stops > 0).sum(axis=1),
        duplicate_lines=_share(duplicates, np.diff(flat.line_bounds)),
        duplicate_line_characters=_share(duplicate_characters, characters),
        duplicate_paragraphs=_share(repeats, np.diff(whole[2])),
        duplicate_paragraph_characters=_share(repeat_characters, characters),
        top_grams=_share(top, characters[:, None]),
        duplicate_grams=_share(duplicate, characters[:, None]),
        line_ends=_share(counts["ended"], lines),
        short_lines=_share(counts["short"], lines),
        duplicated_characters=_share(duplicate_characters, characters - counts["newlines"]),
        newlines=_share(counts["newlines"], words),
        sentences=counts["sentences"],
        curly_brackets=np.array([text.count("{") for text in texts], np.int64),
        lorem_ipsum=np.array([_lorem_ipsum(text) for text in texts], np.int64),
        technical=technical & (lines > 0),
    )


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _lorem_ipsum(text: str) -> int:
    return text.lower().count("lorem ipsum") if "psum" in text or "PSUM" in text else 0
