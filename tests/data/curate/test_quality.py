"""The quality classifier: what it learns, what it decides, and that no batch or part changes a score."""

import random
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from curation.curating import curated, paragraphs, write_jsonl

from scaling.data import sources
from scaling.data.curate.steps import quality as step
from scaling.data.curate.text import per_word
from scaling.data.curate.text.quality import (
    FEATURES,
    FOLDS,
    Classifier,
    area_under_curve,
    can_be_measured,
    features,
    logits,
    probabilities,
    spelled,
    strongest,
    train,
)
from scaling.data.curate.text.words import words_of
from scaling.errors import InputError

ODD = [
    "one",
    "",
    "...",
    "Ünïcode e\u0301 É",
    "中文字",
    "नमस्ते दुनिया",
    "a",
    "the the the",
    "x_1 ß SS ﬁ",
    "ไทย ก็",
    "\x07 \x1b",
]
_TERMS = ["array", "returns", "value", "float", "dtype", "axis", "raises", "index", "default", "object", "function"]
_COMMON = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "a",
    "that",
    "is",
    "be",
    "by",
    "it",
    "for",
    "as",
    "with",
    "this",
    "on",
    "not",
]


def manuals(count: int, seed: int) -> list[str]:
    """Documents of another kind, with words of speeches between."""
    draw = random.Random(seed)

    def word() -> str:
        return draw.choice(_COMMON if draw.random() < 0.8 else _TERMS)

    return [" ".join([*(word() for _ in range(draw.randrange(40, 90))), str(number)]) for number in range(count)]


def spread(count: int) -> np.ndarray:
    """Folds, in turn."""
    return np.arange(count) % FOLDS


def judged(classifier: Classifier, texts: list[str]) -> np.ndarray:
    return logits(classifier, words_of(texts), spread(len(texts)))


@pytest.fixture(scope="module")
def learnt() -> tuple[Classifier, list[str], np.ndarray]:
    """A classifier of speeches and manuals, and documents of both that it has not seen."""
    speeches = [text[:400] for text in paragraphs(300)]
    others = manuals(300, 1)
    classifier = train(words_of([*speeches[:200], *others[:200]]), np.repeat([True, False], 200), spread(400))
    return classifier, [*speeches[200:], *others[200:]], np.repeat([True, False], 100)


def test_it_tells_two_kinds_of_text_and_nothing_where_there_is_nothing(
    learnt: tuple[Classifier, list[str], np.ndarray],
) -> None:
    classifier, texts, kinds = learnt
    found = judged(classifier, texts)
    assert area_under_curve(found, kinds) > 0.999
    assert (probabilities(found) > 0.5).tolist() == kinds.tolist()
    speeches = [text[:400] for text in paragraphs(300, seed=3)]
    same = judged(train(words_of(speeches), np.arange(300) % 2 == 0, spread(300)), speeches)
    assert 0.4 < area_under_curve(same, np.arange(300) % 2 == 0) < 0.6
    assert ((probabilities(same) > 0.2) & (probabilities(same) < 0.8)).all()


@pytest.mark.parametrize("many", [200, 40])
def test_good_documents_that_it_learnt_to_call_bad_are_judged_as_those_that_it_did_not_see(many: int) -> None:
    speeches = [text[:500] for text in paragraphs(500)]
    half = many // 2
    texts = [*speeches[:200], *speeches[200 : 200 + half], *manuals(half, 1)]
    classifier = train(words_of(texts), np.arange(len(texts)) < 200, spread(len(texts)))
    seen = probabilities(judged(classifier, texts))[200:]
    new = probabilities(judged(classifier, [*speeches[400:], *manuals(100, 2)]))
    for found, good in ((seen, half), (new, 100)):
        assert found[:good].mean() == pytest.approx(2 / 3, abs=0.1)  # half of one side, and all of the other
        assert found[good:].max() < 0.4
    assert (new[:100] >= 0.5).mean() > 0.7


def test_both_sides_count_alike() -> None:
    speeches = [text[:400] for text in paragraphs(400)]
    classifier = train(words_of(speeches[:300]), np.random.default_rng(0).random(300) < 0.1, spread(300))
    assert probabilities(judged(classifier, speeches[300:])).mean() == pytest.approx(0.5, abs=0.05)
    nothing = train(words_of(["", "..."] * 10), np.tile([True, False], 10), spread(20))
    assert probabilities(judged(nothing, ["", "word"])).tolist() == pytest.approx([0.5, 0.5])


def test_a_fold_does_not_learn_from_its_own_documents() -> None:
    texts = [f"{'good' if number < 50 else 'bad'} number {number}" for number in range(100)]
    kinds, folds = np.arange(100) < 50, spread(100)
    one = train(words_of(texts), kinds, folds).weights
    changed = [text + " entirely different" if fold == 2 else text for text, fold in zip(texts, folds, strict=True)]
    two = train(words_of(changed), kinds, folds).weights
    new = features(words_of(["entirely different"])).indices
    assert (one[:, new] == 0).all()
    assert (two[2, new] == 0).all()
    assert (two[[0, 1, 3, 4]][:, new] != 0).any(axis=1).all()


def test_folds_that_leave_nothing_to_learn_from_are_ignored() -> None:
    kinds = np.array([True, False, False])
    assert not can_be_measured(kinds, np.arange(3))
    assert can_be_measured(np.array([True, True, False, False]), np.array([0, 1, 0, 1]))
    weights = train(words_of(["good", "bad", "worse"]), kinds, np.arange(3)).weights
    assert weights.shape == (FOLDS, FEATURES + 1)
    assert (weights == weights[0]).all()
    assert judged(Classifier(weights), ["good"]) > judged(Classifier(weights), ["bad"])


def test_the_weights_are_at_the_minimum() -> None:
    texts = [*(text[:300] for text in paragraphs(60)), *manuals(20, 2)]
    kinds = np.arange(80) < 60
    weights = train(words_of(texts), kinds, kinds.astype(int)).weights[0].astype(float)  # one fit of all documents
    x, signs = features(words_of(texts)), np.where(kinds, 1.0, -1.0)
    balance = np.where(kinds, 80 / 2 / 60, 80 / 2 / 20)

    def gradient(weights: np.ndarray) -> np.ndarray:
        slopes = -balance * signs / (1 + np.exp(signs * (x @ weights[:-1] + weights[-1])))
        return np.append(x.T @ slopes + 4 * weights[:-1], slopes.sum())

    assert np.abs(gradient(weights)).max() < 1e-2 * np.abs(gradient(np.zeros(FEATURES + 1))).max()


def test_features_are_shares_of_words_and_pairs() -> None:
    found = features(words_of(ODD))
    assert found.shape == (len(ODD), FEATURES)
    for row, text in enumerate(ODD):
        hashes = [int(each) for each in words_of([text]).hashes]
        pairs = [(a * 0x9E3779B97F4A7C15 + b) % 2**64 for a, b in pairwise(hashes)]
        counts = Counter(each >> 46 for each in (*hashes, *pairs))
        shares = {slot: 100 * count / (len(hashes) + len(pairs) + 32) for slot, count in counts.items()}
        own = found[row]
        assert dict(zip(own.indices.tolist(), own.data.tolist(), strict=True)) == pytest.approx(shares)


def test_logits_are_those_of_the_features_whatever_stands_beside(
    learnt: tuple[Classifier, list[str], np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = learnt[0]
    texts = [*learnt[1][80:120], *ODD, "", "word " * 300, ""]
    folds = np.random.default_rng(0).integers(FOLDS, size=len(texts))
    whole = logits(classifier, words_of(texts), folds)
    rows = classifier.weights[folds]
    expected = np.asarray(features(words_of(texts)).multiply(rows[:, :-1]).sum(axis=1)).ravel() + rows[:, -1]
    np.testing.assert_allclose(whole, expected, atol=2e-3)
    for size in (1, 3, 50):
        cut = [
            logits(classifier, words_of(texts[at : at + size]), folds[at : at + size])
            for at in range(0, len(texts), size)
        ]
        assert np.concatenate(cut).tobytes() == whole.tobytes()
    for size in (1, 2, 7, 100):
        monkeypatch.setattr(per_word, "SLICE", size)
        assert logits(classifier, words_of(texts[:60]), folds[:60]).tobytes() == whole[:60].tobytes()
    assert whole[-1] == classifier.weights[folds[-1], -1]
    assert len(judged(classifier, [])) == 0
    classifier.save(tmp_path / "weights.npy")
    again = Classifier.load(tmp_path / "weights.npy").weights
    assert again.dtype == np.float32
    assert again.tobytes() == classifier.weights.tobytes()


def test_few_words_decide_little(learnt: tuple[Classifier, list[str], np.ndarray]) -> None:
    nothing, one, many = (judged(learnt[0], [text])[0] for text in ("", "array", "array " * 300))
    assert many - nothing < 5 * (one - nothing) < 0


def test_probabilities_have_no_overflow() -> None:
    found = probabilities(np.array([-1e4, -20, 0, 20, 1e4], np.float32))
    assert found.tolist() == pytest.approx([0, 2.06e-9, 0.5, 1, 1], rel=1e-2)


@pytest.mark.parametrize("levels", [1, 3, 1000])
def test_area_under_curve(levels: int) -> None:
    draw = np.random.default_rng(0)
    scores, kinds = draw.integers(levels, size=200).astype(float), draw.random(200) < 0.3
    pairs = np.sign(scores[kinds][:, None] - scores[~kinds][None])
    assert area_under_curve(scores, kinds) == pytest.approx((pairs.mean() + 1) / 2)
    assert np.isnan(area_under_curve(scores, np.ones(200, bool)))


def test_every_word_is_spelled() -> None:
    texts = [*ODD, *paragraphs(3)]
    words, hashes = spelled(texts)
    assert words == sorted(set(words))
    assert set(hashes.tolist()) == set(words_of(texts).hashes.tolist())
    assert words_of(words).hashes.tolist() == hashes.tolist()
    assert {"中", "ünïcode", "दुनिया", "x_1"} <= set(words)
    assert spelled([""])[0] == []


def test_the_strongest_words_are_the_commonest_of_their_slots() -> None:
    words = ["good", "fine", "bad", "plain"]
    hashes = (np.array([5, 5, 6, 7], np.uint64) << np.uint64(46)) + np.arange(4, dtype=np.uint64)
    weights = np.zeros((2, FEATURES + 1), np.float32)
    weights[:, 5:8] = [[1, -2, 1], [3, 0, 0]]
    found = strongest(Classifier(weights), words, hashes, np.array([3, 4, 1, 1]), 5)
    assert found == ([("fine", 2.0), ("plain", 0.5)], [("bad", -1.0)])
    assert strongest(Classifier(weights), words, hashes, np.array([3, 4, 1, 1]), 1)[0] == [("fine", 2.0)]


@pytest.fixture
def corpus(tmp_path: Path) -> list[dict[str, Any]]:
    """References, and a source of which half is like them."""
    speeches = [text[:500] for text in paragraphs(250)]
    web = [text for pair in zip(speeches[200:], manuals(50, 1), strict=True) for text in pair]
    return [
        {"path": str(write_jsonl(tmp_path / "web.jsonl", web)), "name": "web"},
        {"path": str(write_jsonl(tmp_path / "wiki.jsonl", speeches[:200])), "name": "wiki"},
    ]


def kept_of(folder: Path, source: str) -> pd.DataFrame:
    found = pd.concat(map(pd.read_parquet, sorted(folder.glob("*/*.parquet"))))
    return found[found["source"] == source]


def is_manual(texts: pd.Series) -> pd.Series:
    return texts.str.contains(r"^(?:\w+ )+\d+$")


@pytest.mark.parametrize("keep", ["50%", "1%", "100%"])
def test_the_step_keeps_a_share_with_the_highest_scores(
    tmp_path: Path, corpus: list[dict[str, Any]], keep: str
) -> None:
    done = curated(tmp_path / "out", sources=corpus, curate={"quality": {"like": "wiki", "keep": keep}})
    found, count = kept_of(tmp_path / "out", "web"), int(keep[:-1])
    assert len(found) == count
    assert is_manual(found["text"]).sum() == max(0, count - 50)
    assert len(kept_of(tmp_path / "out", "wiki")) == 200
    dropped = pd.read_parquet(tmp_path / "out" / "dropped.parquet")
    assert set(dropped["reason"]) <= {"quality"}
    assert (dropped["value"].max() if count < 100 else 0) <= found["quality"].min()
    [reason] = next(each for each in done.funnel["steps"] if each["name"] == "quality")["reasons"]
    assert reason["limits"] == [pytest.approx(found["quality"].min()), None]
    assert sum(reason["histogram"]["counts"]) == 100


def test_the_step_keeps_what_rather_looks_like_a_reference(tmp_path: Path, corpus: list[dict[str, Any]]) -> None:
    done = curated(tmp_path / "out", sources=corpus, curate={"quality": {"like": "wiki"}})
    found = kept_of(tmp_path / "out", "web")
    assert is_manual(found["text"]).sum() == 0
    assert 40 <= len(found) <= 50
    assert found["quality"].min() >= 0.5
    [reason] = next(each for each in done.funnel["steps"] if each["name"] == "quality")["reasons"]
    assert reason["limits"] == [0.5, None]
    assert pd.read_parquet(tmp_path / "out" / "dropped.parquet")["value"].max() < 0.5
    references = kept_of(tmp_path / "out", "wiki")["quality"]
    assert len(references) == 200
    assert references.min() < 0.5 < references.mean()


def test_the_page_is_told_what_the_classifier_learnt(tmp_path: Path, corpus: list[dict[str, Any]]) -> None:
    funnel = curated(tmp_path / "out", sources=corpus, curate={"quality": {"like": "wiki"}}).funnel
    report = funnel["classifier"]
    assert report["auc"] == pytest.approx(0.75, abs=0.06)  # as half of the others are like references
    assert (report["references"], report["others"], report["held_out"]) == (200, 100, 300)
    assert {word for word, _ in report["against"][:10]} & {*_TERMS, *_COMMON}
    assert all(weight > 0 for _, weight in report["for"])
    assert len(report["deciles"]) == 10
    for one, two in pairwise(report["deciles"]):
        assert one["low"] <= one["high"] <= two["low"]
    assert is_manual(pd.Series([each["text"] for each in report["deciles"]])).tolist() == [True] * 5 + [False] * 5
    assert {each["source"] for each in report["deciles"]} == {"web"}
    [warning] = [each for each in funnel["warnings"] if each["code"] == "few-references"]
    assert "200 references" in warning["message"]


def test_the_scores_depend_on_no_part(
    tmp_path: Path, corpus: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "_DOCUMENTS", 80)
    curate = {"quality": {"like": "wiki", "keep": "50%"}}
    one = curated(tmp_path / "whole", sources=corpus, curate=curate).funnel
    monkeypatch.setattr(sources, "PART_BYTES", 60_000)
    two = curated(tmp_path / "cut", sources=corpus[::-1], curate=curate).funnel
    assert one["classifier"] == two["classifier"]
    assert 100 < one["classifier"]["references"] + one["classifier"]["others"] < 220
    found = [kept_of(tmp_path / name, "web").set_index("id")["quality"].sort_index() for name in ("whole", "cut")]
    assert found[0].equals(found[1])


def test_each_source_may_name_its_own_references(tmp_path: Path, corpus: list[dict[str, Any]]) -> None:
    corpus.append({"path": str(write_jsonl(tmp_path / "api.jsonl", manuals(60, 5))), "name": "api"})
    corpus[1]["curate"] = "off"
    corpus[2]["curate"] = {"quality": {"like": ["wiki"], "keep": "10%"}}
    curate = {"quality": {"like": ["api", "wiki"], "keep": "references"}}
    steps = curated(tmp_path / "out", sources=corpus, curate=curate).funnel["steps"]
    assert [each["documents"] for each in steps[-1]["by_source"]][1:] == [0, 54]
    assert kept_of(tmp_path / "out", "wiki")["quality"].isna().all()


@pytest.mark.parametrize(
    ("empty", "message"),
    [
        ("wiki", "quality: like: wiki: no document of the references is left after the steps before"),
        ("web", "quality: like: wiki: no document of another source is left to judge"),
    ],
)
def test_a_side_without_documents(tmp_path: Path, corpus: list[dict[str, Any]], empty: str, message: str) -> None:
    write_jsonl(tmp_path / f"{empty}.jsonl", ["too short", "words"])
    with pytest.raises(InputError) as error:
        curated(tmp_path / "out", sources=corpus, curate={"rules": ["gopher"], "quality": {"like": "wiki"}})
    assert [each.split(";")[0] for each in error.value.errors] == [message]


def test_a_few_documents_are_enough(tmp_path: Path) -> None:
    spec = [
        {"path": str(write_jsonl(tmp_path / "a.jsonl", ["...", "字"])), "name": "a"},
        {"path": str(write_jsonl(tmp_path / "b.jsonl", ["!?", "word"])), "name": "b"},
    ]
    funnel = curated(tmp_path / "out", sources=spec, curate={"quality": {"like": "a", "keep": "50%"}}).funnel
    assert funnel["documents"] == {"read": 4, "kept": 3}
    assert funnel["classifier"]["auc"] is None or 0 <= funnel["classifier"]["auc"] <= 1
