"""The quality classifier: what it learns, what it decides, and that no batch or part changes a score."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from curation.curating import paragraphs
from curation.manuals import manuals

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
        return np.append(x.T @ slopes + weights[:-1], slopes.sum())

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
