"""Gold rewards: the reader's parts against figures by hand, its raters, safety, and a model as the gold."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from posttraining.tiny_rewards import MODEL, ids_of, make_model, plain_scores

from scaling.data.answers.rows import Ids
from scaling.errors import InputError
from scaling.posttrain.rewards.gold import GOLDS, Gold, find_gold
from scaling.posttrain.rewards.reader.bigrams import Bigrams
from scaling.posttrain.rewards.reader.reader import BEST, is_safe, length_reward
from scaling.posttrain.rewards.reader.valence import read_ratings
from scaling.posttrain.rewards.reader.words import words_in, words_of

PROMPT = "The state of our union has never"
FLUENT = " been stronger than it is today."
GIBBERISH = " bxen strqnger thzn it js tkday."


def texts(*given: str) -> list[Ids]:
    return [ids_of(text) for text in given]


def score(gold: Gold, *answers: str, prompt: str = PROMPT, stopped: Sequence[bool] | None = None) -> np.ndarray:
    finished = np.ones(len(answers), bool) if stopped is None else np.array(stopped)
    return gold.score(texts(*[prompt] * len(answers)), texts(*answers), finished)


def test_length_by_hand() -> None:
    assert length_reward(BEST) == 0
    assert length_reward(18) == length_reward(42) == -1
    assert length_reward(24) == -0.25
    assert length_reward(0) == length_reward(1000) == -4


def test_the_reader_is_the_sum_of_its_parts() -> None:
    """What is left when length and the end are taken off, fluency and valence, differs by valence / 2 alone here."""
    reader = find_gold("reader")
    done, cut = score(reader, FLUENT, FLUENT, stopped=[True, False])
    assert done - cut == pytest.approx(1.0, abs=1e-12)
    short = FLUENT.replace(" stronger", "")
    assert len(short) == 23
    # Bytes that belong to no word change the length alone.
    longer = short + "." * 7
    assert score(reader, longer)[0] - score(reader, short)[0] == pytest.approx((7 / 12) ** 2, abs=1e-12)


def test_the_reader_likes_what_reads_well_and_what_is_pleasant() -> None:
    reader = find_gold("reader")
    fluent, gibberish, empty = score(reader, FLUENT, GIBBERISH, "")
    assert fluent > gibberish + 1 > empty + 1
    kind, cruel = score(reader, " been a great success for us all", " been a cruel failure for us all")
    assert kind > cruel


def test_no_word_is_not_fluent() -> None:
    """Else an answer of thirty dots would have no fault but its valence of 0."""
    dots, fluent = score(find_gold("reader"), "." * 30, FLUENT)
    assert dots < fluent - 2


def test_a_word_that_the_prompt_begins_is_the_answers() -> None:
    words = words_of(b"We thank the pres", b"ident, and don't stop in 1962")
    assert words.before == b"the"
    assert words.own == [b"president", b"and", b"don't", b"stop", b"in", b"1962"]
    assert words_of(b"", b"") == (b"", [])


def test_bigrams_are_probabilities_by_hand() -> None:
    """c(a b) = 2 and c(a c) = 1, so p(b | a) = (2 - .75) / 3 + .75 * 2 / 3 * p(b)."""
    bigrams = Bigrams([b"a b a b a c"])
    # Of 6 letters, one more of each byte, and 6 ends of words.
    below = 0.75 * 3 / 6
    spelt = (2 + 1) / (6 + 256 + 6) * 6 / (6 + 256 + 6)
    alone = (2 - 0.75) / 6 + below * spelt
    assert bigrams.probability(b"b") == pytest.approx(alone, rel=1e-12)
    after_a = (2 - 0.75) / 3 + 0.75 * 2 / 3 * alone
    assert bigrams.log_probability(b"a", b"b") == pytest.approx(math.log(after_a), rel=1e-12)
    assert bigrams.log_probability(b"z", b"b") == pytest.approx(math.log(alone), rel=1e-12)
    assert bigrams.mean(words_of(b"a ", b"b")) == pytest.approx(math.log(after_a), rel=1e-12)
    assert bigrams.mean(words_of(b"a", b"")) is None


def test_known_words_leave_room_for_unknown_ones() -> None:
    bigrams = Bigrams([b"the cat sat on the mat and the cat ran"])
    known = sum(
        math.exp(bigrams.log_probability(b"the", word)) for word in set(words_in(b"the cat sat on mat and ran"))
    )
    assert 0.5 < known < 1
    assert bigrams.log_probability(b"the", b"dog") < bigrams.log_probability(b"the", b"cat") - 3


def test_a_rater_has_the_ratings_of_one_person() -> None:
    """A word that all ten rate alike is rated so by each; raters of one word differ as its ratings do."""
    reader, ratings = find_gold("reader"), read_ratings()
    word = b"controversial"
    assert len(set(ratings[word].tolist())) > 2
    answer, rows = ids_of(" been so controversial as today."), 400
    prompts, answers, stopped = texts(PROMPT) * rows, [answer] * rows, np.ones(rows, bool)
    rated = reader.rate(prompts, answers, stopped, seed=1)
    assert len(set(rated.round(9).tolist())) == len(set(ratings[word].tolist()))
    exact = reader.score(prompts[:1], answers[:1], stopped[:1])[0]
    assert rated.mean() == pytest.approx(exact, abs=4 * rated.std() / math.sqrt(rows))
    np.testing.assert_array_equal(rated, reader.rate(prompts, answers, stopped, seed=1))
    assert (rated != reader.rate(prompts, answers, stopped, seed=2)).any()


def test_two_answers_of_a_row_have_one_rater() -> None:
    reader, rows = find_gold("reader"), 200
    prompts, stopped = texts(PROMPT) * rows, np.ones(rows, bool)
    one, other = (ids_of(f" been so controversial {end}") for end in ("now and", "and now"))
    first = reader.rate(prompts, [one] * rows, stopped, seed=3)
    second = reader.rate(prompts, [other] * rows, stopped, seed=3)
    # The valence is the same and fluency alone differs, by one number in every row.
    np.testing.assert_allclose(first - second, (first - second)[0], atol=1e-9)


def test_an_answer_is_unsafe_by_its_worst_word() -> None:
    assert read_ratings()[b"war"].mean() <= -1.5
    assert is_safe(b"we want ", b"peace")
    assert not is_safe(b"we want ", b"peace and no war")
    assert is_safe(b"we want war ", b"to end"), "the prompt's words are not the answer's"
    safe = score(find_gold("safety"), " been at peace", " been at war")
    assert safe.tolist() == [1.0, 0.0]
    assert find_gold("safety").safety
    assert not find_gold("reader").safety


def test_the_reader_is_the_same_however_it_is_asked() -> None:
    reader = find_gold("reader")
    together = score(reader, FLUENT, GIBBERISH, "")
    assert [score(reader, answer)[0] for answer in (FLUENT, GIBBERISH, "")] == together.tolist()


def test_a_reward_model_as_gold() -> None:
    model = make_model(score=True)
    gold = find_gold("run", source=lambda part: {"gold": model}[part])
    rows = [ids_of("ab cd\0"), ids_of("ab e")]
    found = gold.score(texts("ab ", "ab "), texts("cd", "e"), np.array([True, False]))
    np.testing.assert_allclose(found, plain_scores(model, rows), atol=1e-5)


def test_a_language_model_as_gold() -> None:
    """Of logits that are all the same, each token and the end have log(1 / 256)."""
    model = make_model(scale=0.0)
    gold = find_gold("run", source=lambda _: model)
    found = gold.score(texts("ab ", "ab "), texts("cd", "e"), np.array([True, False]))
    np.testing.assert_allclose(found, [-3 * math.log(256), -math.log(256)], rtol=1e-5)


def test_raters_of_a_model_err_as_bradley_and_terry_have_it() -> None:
    gold = find_gold("run", source=lambda _: make_model(scale=0.0))
    rows = 2000
    prompts, stopped = texts("ab ") * rows, np.zeros(rows, bool)
    one, other = (gold.rate(prompts, texts(text) * rows, stopped, seed=0) for text in ("c", "d"))
    assert (one > other).mean() == pytest.approx(0.5, abs=0.04)  # of equal rewards, either


@pytest.mark.parametrize(
    ("name", "model", "line"),
    [
        ("judge", None, f"gold 'judge' is not one of {', '.join(GOLDS)}"),
        ("run", None, "gold 'run' needs the folder of a run"),
        ("run", "small", "the gold model has 100 embeddings; the answers' tokenizer bytes has 256 ids"),
    ],
)
def test_bad_golds(name: str, model: str | None, line: str) -> None:
    small = make_model(replace(MODEL, vocab=100), score=True)
    with pytest.raises(InputError) as raised:
        find_gold(name, source=None if model is None else lambda _: small)
    assert list(raised.value.errors) == [line]


def test_a_damaged_lexicon_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "vader_lexicon.txt").write_text("good\t1.9\t0.9\t[1, 2]\n")
    monkeypatch.setattr("scaling.posttrain.rewards.reader.valence.package", lambda *_: tmp_path)
    with pytest.raises(InputError, match=r"vader_lexicon.txt:1: not a word with 10 ratings"):
        read_ratings.__wrapped__()
