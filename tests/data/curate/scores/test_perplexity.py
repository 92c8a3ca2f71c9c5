"""The n-gram model: its probabilities by an independent count, how it ranks text, and the thirds that stay."""

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from curation.curating import curated, paragraphs, write_jsonl

from scaling.data import sources
from scaling.data.curate.spec import PerplexitySpec
from scaling.data.curate.steps import perplexity as step
from scaling.data.curate.steps.perplexity import reasons
from scaling.data.curate.text import per_word, perplexity
from scaling.data.curate.text.perplexity import Ngrams, score, train
from scaling.data.curate.text.words import words_of
from scaling.errors import InputError

ODD = ["one", "", "...", "Ünïcode e\u0301 É", "中文字中文字", "नमस्ते दुनिया", "a", "the the the", "\x07 \x1b"]


def discounts_of(counts: Counter[Any]) -> Callable[[int], float]:
    n = Counter(counts.values())
    if not all(n[k] for k in (1, 2, 3, 4)):
        return lambda count: (0, 0.5, 1.0, 1.5)[min(count, 3)]
    y = n[1] / (n[1] + 2 * n[2])
    found = [0.0, *(k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3))]
    assert min(found[1:]) > 0
    return lambda count: found[min(count, 3)]


def independent(texts: list[list[str]]) -> Callable[[str, str, str], float]:
    """Chen and Goodman's model of words by plain counts."""
    trigrams = Counter(gram for text in texts for gram in zip(["<"] * 2 + text, ["<", *text], text, strict=False))
    pairs, ones = Counter((v, w) for _, v, w in trigrams), Counter[tuple[str]]()
    ones = Counter((w,) for _, w in pairs)
    levels = []
    for counts in (ones, pairs, trigrams):
        total, left = Counter[Any](), defaultdict[Any, float](float)
        discount = discounts_of(counts)
        for gram, count in counts.items():
            total[gram[:-1]] += count
            left[gram[:-1]] += discount(count)
        levels.append((counts, discount, total, left))

    def p(*gram: str) -> float:
        lower = 1 / (len(ones) + 1) if len(gram) == 1 else p(*gram[1:])
        counts, discount, total, left = levels[len(gram) - 1]
        context = gram[:-1]
        if not total[context]:
            return lower
        return (counts[gram] - discount(counts[gram])) / total[context] + left[context] / total[context] * lower

    return p


def words(texts: list[str]) -> list[list[str]]:
    return [text.split() for text in texts]


def made(count: int, seed: int, vocabulary: int = 60) -> list[str]:
    """Texts whose words follow from the word before."""
    draw = random.Random(seed)
    texts = []
    for _ in range(count):
        at, text = draw.randrange(vocabulary), []
        for _ in range(draw.randrange(1, 40)):
            at = (7 * at + int(draw.expovariate(0.7))) % vocabulary
            text.append(f"w{at}")
        texts.append(" ".join(text))
    return texts


def plain(texts: list[str]) -> list[str]:
    """Texts whose words are parted by blanks."""
    return [" ".join(re.findall(r"\w+", text.lower())) for text in texts]


@pytest.mark.parametrize("count", [3, 40, 400, "speeches"])
def test_probabilities_are_those_of_plain_counts(count: int | str) -> None:
    if isinstance(count, int):
        texts, new = made(count, 0), [*made(60, 1, 70), "never", "w1 never w1", "w3"]
    else:
        texts, new = plain(paragraphs(200)), plain(paragraphs(40, seed=1))
    model, p = train(words_of(texts)), independent(words(texts))
    expected = [
        math.prod(p(*gram) ** (-1 / len(text)) for gram in zip(["<"] * 2 + text, ["<", *text], text, strict=False))
        for text in words(new)
    ]
    np.testing.assert_allclose(score(model, words_of(new)), expected, rtol=3e-3)


def test_probabilities_add_up_to_one() -> None:
    texts = made(300, 2)
    model = train(words_of(texts))
    vocabulary = sorted({word for text in words(texts) for word in text})
    for context in ("", "w3", "w3 w21", "w3 never", "w5 w5"):
        own = len(context.split())
        before = np.log(score(model, words_of([context]))[0]) * own if own else 0
        after = np.log(score(model, words_of([f"{context} {word}" for word in [*vocabulary, "never"]]))) * (own + 1)
        assert np.exp(before - after).sum() == pytest.approx(1, rel=5e-3)


def test_it_ranks_as_a_language_model_does() -> None:
    texts = paragraphs(500)
    model, draw = train(words_of(texts[:400])), random.Random(0)
    vocabulary = sorted({word for text in texts[:400] for word in text.split()})
    kinds = {
        "seen": texts[:100],
        "held out": texts[400:],
        "two thirds": [" ".join(words[at] for at in range(len(words)) if at % 3) for words in words_of_each(texts)],
        "shuffled": [" ".join(draw.sample(words, len(words))) for words in words_of_each(texts)],
        "any words": [" ".join(draw.choices(vocabulary, k=len(words))) for words in words_of_each(texts)],
        "letters": ["".join(draw.choices("abcdefgh ", k=400)) for _ in texts[400:]],
    }
    found = {name: np.sort(score(model, words_of(texts))) for name, texts in kinds.items()}
    for (_, lower), (_, higher) in pairwise(found.items()):
        assert np.median(lower) < 0.8 * np.median(higher)
        assert (lower < higher).mean() > 0.97
    assert 100 < np.median(found["held out"]) < 1000


def words_of_each(texts: list[str]) -> list[list[str]]:
    return [text.split() for text in texts[400:]]


def test_a_score_does_not_depend_on_what_stands_beside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made_of = [*paragraphs(40), *ODD]
    model = train(words_of(made_of))
    texts = [*ODD, *paragraphs(30, seed=1), "", "word " * 3000, ""]
    whole = score(model, words_of(texts))
    for size in (1, 4):
        cut = [score(model, words_of(texts[at : at + size])) for at in range(0, len(texts), size)]
        assert np.concatenate(cut).tobytes() == whole.tobytes()
    for size in (1, 2, 3, 100):
        monkeypatch.setattr(per_word, "SLICE", size)
        few = words_of(texts[:14]) if size < 100 else words_of(texts)
        assert score(model, few).tobytes() == whole[: len(few.bounds) - 1].tobytes()
    model.save(tmp_path)
    assert score(Ngrams.load(tmp_path), words_of(texts)).tobytes() == whole.tobytes()
    assert len(score(model, words_of([]))) == 0


def test_the_model_does_not_depend_on_the_order_of_documents() -> None:
    texts = [*made(200, 3), *ODD]
    one, two = train(words_of(texts)), train(words_of(random.Random(0).sample(texts, len(texts))))
    for name in ("words", "pairs", "triples", "rest"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()


@pytest.mark.parametrize("text", ["word", "字", "a a a a a a a a", "中文字中文字中文", "a b c d e f g"])
def test_few_words_are_enough(text: str) -> None:
    model = train(words_of([text]))
    same, unknown, none, longer = score(model, words_of([text, "unknown", "...", f"{text} unknown {text}"]))
    assert 1 <= same < unknown == none
    assert same < longer
    assert np.isfinite(score(model, words_of(ODD))).all()


def test_tables_find_what_is_there_and_nothing_else() -> None:
    draw = np.random.default_rng(0)
    most = 2**38 - 2
    crowded = np.arange(most - 300, most, 2, dtype=np.uint64)  # all belong to the last slot
    many = draw.choice(most, size=5000, replace=False).astype(np.uint64)
    for keys in (crowded, np.sort(many), np.array([0], np.uint64), np.array([most], np.uint64)):
        costs, behind = draw.integers(2**13, size=(2, len(keys))).astype(np.uint64)
        table = perplexity._table(keys, costs, behind)
        entries, known = perplexity._find(table, keys << np.uint64(26) | np.uint64(12345), 7)
        assert known.all()
        assert (entries == keys << np.uint64(26) | costs << np.uint64(13) | behind).all()
        others = np.setdiff1d(np.concatenate([keys + np.uint64(1), many]), keys)
        entries, known = perplexity._find(table, others[others < most] << np.uint64(26), 7)
        assert not known.any()
        assert (entries == 7).all()


@pytest.fixture
def corpus(tmp_path: Path) -> list[dict[str, Any]]:
    """References, and a source of a third each of the like, of shuffled words, and of unknown words."""
    draw = random.Random(0)
    texts = [text[:400] for text in paragraphs(120)]
    shuffled = [" ".join(draw.sample(text.split(), len(text.split()))) for text in texts[100:]]
    unknown = [" ".join(f"x{draw.randrange(10**6)}" for _ in range(40)) for _ in range(20)]
    web = [text for three in zip(unknown, texts[100:], shuffled, strict=True) for text in three]
    return [
        {"path": str(write_jsonl(tmp_path / "wiki.jsonl", texts[:100])), "name": "wiki"},
        {"path": str(write_jsonl(tmp_path / "web.jsonl", web)), "name": "web"},
    ]


def kept_of(folder: Path, source: str) -> pd.DataFrame:
    found = pd.concat(map(pd.read_parquet, sorted(folder.glob("*/*.parquet"))))
    return found[found["source"] == source]


@pytest.mark.parametrize(
    "keep", [["head"], ["middle"], ["tail"], ["head", "middle"], ["head", "tail"], ["tail", "middle", "head"]]
)
def test_the_thirds_that_are_named_stay(tmp_path: Path, corpus: list[dict[str, Any]], keep: list[str]) -> None:
    funnel = curated(tmp_path / "out", sources=corpus, curate={"perplexity": {"like": "wiki", "keep": keep}}).funnel
    found = kept_of(tmp_path / "out", "web")
    assert len(found) == 20 * len(keep)
    assert found["text"].str.startswith("x").sum() == 20 * ("tail" in keep)
    assert len(kept_of(tmp_path / "out", "wiki")) == 100
    dropped = pd.read_parquet(tmp_path / "out" / "dropped.parquet")["value"]
    [reason] = next(each for each in funnel["steps"] if each["name"] == "perplexity")["reasons"]
    first, second = funnel["perplexity"]["thirds"]
    assert first < second
    limits = {
        "head": [None, first], "middle": [first, second], "tail": [second, None], "head middle": [None, second],
        "head tail": None, "head middle tail": None,
    }[" ".join(sorted(keep))]  # fmt: skip
    assert reason["limits"] == limits
    for low, high in (limits,) if limits else ():
        assert low is None or found["perplexity"].min() >= low
        assert high is None or found["perplexity"].max() <= high
    if keep == ["head"]:
        assert found["perplexity"].max() <= dropped.min()


def test_sources_that_are_not_judged_have_no_reasons() -> None:
    cuts = [(10.0, b"a"), (20.0, b"b")]
    assert reasons(PerplexitySpec(like=("wiki",)), None) == []
    [reason] = reasons(PerplexitySpec(like=("wiki",)), cuts)
    assert (reason.least, reason.most) == (None, 20.0)


def test_the_scores_depend_on_no_part(
    tmp_path: Path, corpus: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "_BYTES", 20_000)
    monkeypatch.setattr(step, "_DOCUMENTS", 10)
    curate = {"perplexity": {"like": "wiki", "keep": "head"}}
    one = curated(tmp_path / "whole", sources=corpus, curate=curate).funnel
    monkeypatch.setattr(sources, "PART_BYTES", 9_000)
    two = curated(tmp_path / "cut", sources=corpus[::-1], curate=curate).funnel
    assert one["perplexity"] == two["perplexity"]
    for source in ("web", "wiki"):
        found = [
            kept_of(tmp_path / name, source).set_index("id")["perplexity"].sort_index() for name in ("whole", "cut")
        ]
        assert found[0].equals(found[1])
    monkeypatch.setattr(step, "_BYTES", 2**25)
    all_of_it = curated(tmp_path / "all", sources=corpus, curate=curate).funnel
    assert all_of_it["perplexity"] != one["perplexity"]


def test_one_document_is_a_head(tmp_path: Path, corpus: list[dict[str, Any]]) -> None:
    write_jsonl(tmp_path / "web.jsonl", ["..."])
    curated(tmp_path / "out", sources=corpus, curate={"perplexity": {"like": "wiki", "keep": "head"}})
    assert len(kept_of(tmp_path / "out", "web")) == 1


@pytest.mark.parametrize(
    ("references", "message"),
    [
        (["...", "!"], "perplexity: the references have no words to learn from"),
        ([""], "perplexity: like: wiki: no document of the references is left after the steps before"),
    ],
)
def test_nothing_to_learn_from(
    tmp_path: Path, corpus: list[dict[str, Any]], references: list[str], message: str
) -> None:
    write_jsonl(tmp_path / "wiki.jsonl", references)
    with pytest.raises(InputError) as error:
        curated(tmp_path / "out", sources=corpus, curate={"perplexity": {"like": "wiki"}})
    assert [each.split(";")[0] for each in error.value.errors] == [message]
