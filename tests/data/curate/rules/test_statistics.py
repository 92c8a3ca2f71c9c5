"""The statistics are those that slow definitions give, whatever else is in the batch, and odd text breaks nothing."""

import random
import re
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from curation.curating import paragraphs

from scaling.data.curate.rules import repetition, statistics
from scaling.data.curate.rules.flat import STOP_WORDS
from scaling.data.curate.rules.statistics import Statistics, statistics_of

FIELDS = tuple(Statistics.__dataclass_fields__)
WORD = re.compile(r"\S*[^\W_]\S*")
ODD = [
    "a",
    " ",
    "\n",
    "\n\n \t\n",
    "_",
    "\u00e9",
    "\u3002",
    "5",
    "...",
    "a\u2028b\u00a0c\u2003d",
    "no newline at the end\r\nof lines\r\n",
    "e\u0301e\u0301 \U0001f600 \U0001f600",
    "\ufeffHello.\n",
    "x" * 3000,
    "\u4e2d",
    "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22",
    "\U000e0100",
]


def library(count: int) -> list[str]:
    """Sources of the standard library."""
    spec = find_spec("json")
    assert spec is not None
    assert spec.origin is not None
    files = sorted(Path(spec.origin).parents[1].glob("*.py"))
    return [file.read_text(encoding="utf-8") for file in files[:count]]


def repetitive(seed: int) -> str:
    """Text of few words, in which phrases and lines come again."""
    chance = random.Random(seed)
    words = ["the", "sea", "of", "Green.", "is", "12", "-", "far"][: chance.randint(2, 8)]
    lines = [" ".join(chance.choices(words, k=chance.randint(0, 9))) for _ in range(chance.randint(1, 20))]
    return "\n".join(chance.choice(["", "  ", "* ", "#"]) + chance.choice(lines) for _ in range(40))


def share(part: float, whole: float) -> float:
    return part / whole if whole else np.nan


def repeats(items: Sequence[str]) -> tuple[int, int]:
    """How many items are there before, and their characters."""
    before = [item for place, item in enumerate(items) if item in items[:place]]
    return len(before), sum(map(len, before))


def in_top(words: Sequence[str], count: int) -> int:
    grams = [" ".join(words[at : at + count]) for at in range(len(words) - count + 1)]
    often = max(Counter(grams).values(), default=0)
    return max((often * len(gram) for gram, times in Counter(grams).items() if times == often > 1), default=0)


def in_duplicates(words: Sequence[str], count: int) -> int:
    grams = [tuple(words[at : at + count]) for at in range(len(words) - count + 1)]
    first: dict[tuple[str, ...], int] = {}
    covered = {at + step for at, gram in enumerate(grams) if first.setdefault(gram, at) < at for step in range(count)}
    return sum(len(words[at]) for at in covered)


def slow(text: str) -> dict[str, object]:
    """The statistics by their definitions; of text in scripts with spaces."""
    words, size = WORD.findall(text), len(text)
    blocks = [[line for line in block if WORD.search(line)] for block in _blocks(text)]
    blocks = [block for block in blocks if block]
    raw = [line for block in blocks for line in block]
    lines = [line.strip() for line in raw]
    (again, characters), (whole, whole_characters) = repeats(lines), repeats([_joined(block) for block in blocks])
    ellipses = len(re.findall(r"\.{3,}", text)) + text.count("\u2026")
    indented = sum(line[0].isspace() and len(line.strip()) > 30 for line in raw)
    signs = len(re.findall(r"[={}_`\\]|(?<=[^\W_])[(\[]", text))
    kept = [line for line in lines if len(WORD.findall(line)) > 2 and re.search(r"([.?!]|[\"'\u2019\u201d])$", line)]
    kept = [line for line in kept if not line.endswith(("...", "\u2026"))]
    return {
        "words": len(words),
        "word_length": share(sum(sign.isalnum() or _mark(sign) for sign in text), len(words)),
        "symbols": share(max(text.count("#"), ellipses), len(words)),
        "bullets": share(sum(line[0] in "-*\u2022\u2013\u00b7" for line in lines), len(lines)),
        "ellipses": share(sum(line.endswith(("...", "\u2026")) for line in lines), len(lines)),
        "letters": share(sum(any(sign.isalpha() or _mark(sign) for sign in word) for word in words), len(words)),
        "stop_words": len(set(STOP_WORDS) & set(words)),
        "duplicate_lines": share(again, len(lines)),
        "duplicate_line_characters": share(characters, size),
        "duplicate_paragraphs": share(whole, len(blocks)),
        "duplicate_paragraph_characters": share(whole_characters, size),
        "top_grams": [share(in_top(words, count), size) for count in (2, 3, 4)],
        "duplicate_grams": [share(in_duplicates(words, count), size) for count in range(5, 11)],
        "line_ends": share(sum(line[-1] in ".?!" for line in lines), len(lines)),
        "short_lines": share(sum(len(line) <= 30 for line in lines), len(lines)),
        "duplicated_characters": share(characters, size - text.count("\n")),
        "newlines": share(text.count("\n"), len(words)),
        "sentences": sum(_sentences(line) for line in kept),
        "curly_brackets": text.count("{"),
        "lorem_ipsum": text.lower().count("lorem ipsum"),
        "technical": bool(lines) and (signs >= 0.01 * len("".join(text.split())) or indented >= len(lines) / 2),
    }


def _mark(sign: str) -> bool:
    return "\u0300" <= sign <= "\u036f"


def _blocks(text: str) -> list[list[str]]:
    blocks: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.strip():
            blocks[-1].append(line)
        else:
            blocks.append([])
    return blocks


def _joined(block: Sequence[str]) -> str:
    """A paragraph as long as its lines are together."""
    return "".join(line.strip() for line in block)


def _sentences(line: str) -> int:
    runs = line.split()
    return sum(bool(re.search(r"[.?!][\"'\u2019\u201d]?$", run)) for run in runs[:-1]) + 1


def assert_same(found: Statistics, place: int, expected: dict[str, object]) -> None:
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(found, name)[place], value, rtol=1e-12, err_msg=name)


TEXTS = {
    "speeches": lambda: paragraphs(40),
    "programs": lambda: library(12),
    "repetitive": lambda: [repetitive(seed) for seed in range(60)],
    "odd": lambda: ODD[:-3],
}


@pytest.mark.parametrize("kind", TEXTS)
def test_statistics_are_those_of_the_definitions(kind: str) -> None:
    texts = TEXTS[kind]()
    found = statistics_of(texts)
    for place, text in enumerate(texts):
        assert_same(found, place, slow(text))


def test_a_text_does_not_depend_on_the_others() -> None:
    texts = [*ODD, *paragraphs(20), *library(4), *(repetitive(seed) for seed in range(9)), "\u4e2d\u6587" * 40]
    random.Random(1).shuffle(texts)
    together = statistics_of(texts)
    for place, text in enumerate(texts):
        alone = statistics_of([text])
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(together, name)[place], getattr(alone, name)[0], err_msg=name)


def test_long_texts_are_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["\n".join(paragraphs(12, seed)).replace("\n\n", "\n") for seed in range(4)]
    monkeypatch.setattr(statistics, "SPAN", max(len(line) for text in texts for line in text.split("\n")) + 100)
    found = statistics_of(texts)
    for place, text in enumerate(texts):
        assert len(text) > 2 * statistics.SPAN
        expected = slow(text)
        for name in ("duplicate_paragraphs", "duplicate_paragraph_characters"):  # a piece begins a paragraph
            expected.pop(name)
        assert_same(found, place, expected)


def test_a_line_and_a_word_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "SPAN", 500)
    found = statistics_of(["word " * 1000, "x" * 1499, "short"])
    assert found.words.tolist() == [1000, 4, 1]
    assert found.word_length.tolist() == [4, 1499 / 4, 5]


def test_repetition_is_of_the_first_words_of_a_longer_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "SPAN", 2000)
    monkeypatch.setattr(statistics, "MOST", 300)
    words = [f"w{number}" for number in range(600)]
    found = statistics_of([" ".join([*words, *words]), " ".join([*words[:60], *words[:60]])])
    assert found.words.tolist() == [1200, 120]
    assert found.duplicate_grams[0].tolist() == [0] * 6
    assert (found.duplicate_grams[1] > 0.3).all()


def test_no_texts() -> None:
    found = statistics_of([])
    assert all(len(getattr(found, name)) == 0 for name in FIELDS)


def test_scripts_without_spaces_have_words() -> None:
    chance = random.Random(2)
    han = "".join(chr(chance.randrange(0x4E00, 0x9FA5)) for _ in range(4000))
    thai = "".join(chr(chance.randrange(0x0E01, 0x0E2F)) for _ in range(4000))
    phrase = han[:40]
    found = statistics_of([han, thai, phrase * 30, f"{han[:60]} and some words of English {han[60:90]}"])
    assert (np.abs(found.words[:2] - 2000) < 200).all()
    assert np.isnan(found.word_length[:3]).all()
    assert found.letters[:2].tolist() == [1, 1]
    assert (found.duplicate_grams[:2] == 0).all()
    assert (found.duplicate_grams[2] > 0.9).all()


@pytest.mark.parametrize(
    ("text", "technical"),
    [
        ("def f(x):\n    return g(x) + h[x]\n", True),
        ("int main(void) { return 0; }\n", True),
        ("See `name` for more of this.\n", True),
        ("       The command copies files from one place to another.\n       It takes two names.\n", True),
        ("Home\nAbout us\n    Contact\n    Imprint\n  Sitemap\n", False),
        ("He came (late) and said: no; we [all] knew * of it > 3 & < 4.\n", False),
        ("Shoes (12)\nWatches (4)\nBags (7)\n", False),
        ("#sale #shoes $5 @shop 50% off | call now +1 555 ~ today\n", False),
    ],
)
def test_technical_text(text: str, technical: bool) -> None:
    assert statistics_of([text * 5]).technical.tolist() == [technical]


def test_grams_are_found_by_all_their_words() -> None:
    words = np.arange(1, 13, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    text = np.concatenate([words, words[:5], words[:1], words[6:12]])
    lengths = np.full(len(text), 3, np.int32)
    top, duplicate = repetition.gram_characters(text, lengths, np.array([0, len(text)]))
    assert top.tolist() == [[2 * (3 * count + count - 1) for count in (2, 3, 4)]]
    assert duplicate.tolist() == [[3 * 11, 3 * 6, 0, 0, 0, 0]]


def test_equal_grams_of_two_texts_are_no_repetition() -> None:
    text = paragraphs(1)[0]
    found = statistics_of([text, text])
    assert (found.duplicate_grams[0] == found.duplicate_grams[1]).all()
    assert (found.duplicate_grams < 0.1).all()
    assert (found.duplicate_lines == 0).all()
