"""Pairs that a policy writes: who labels them, how they are nested and split, what is dropped."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from posttraining.tiny_rewards import MODEL, ids_of, make_model, make_prompts

from scaling.data.answers.rows import Ids, Pair, PairSet, PromptSet
from scaling.errors import InputError
from scaling.posttrain.rewards.gold import Gold, find_gold
from scaling.posttrain.rewards.preferring import CHUNK, digest, make_pairs
from scaling.posttrain.stage import Model

PROMPTS = make_prompts()


class Even:
    """Rewards the share of even bytes; a rater says the opposite."""

    safety, step = False, 0.1

    def score(self, prompts: Sequence[Ids], answers: Sequence[Ids], stopped: np.ndarray) -> np.ndarray:  # noqa: ARG002
        return np.array([np.mean(answer % 2 == 0) if len(answer) else 0.5 for answer in answers], np.float64)

    def rate(self, prompts: Sequence[Ids], answers: Sequence[Ids], stopped: np.ndarray, seed: int) -> np.ndarray:  # noqa: ARG002
        return -self.score(prompts, answers, stopped)


@pytest.fixture(scope="module")
def policy() -> Model:
    return make_model(scale=3.0)


def made(policy: Model, pairs: int, gold: Gold | None = None, raters: str = "all", held_out: int = 20) -> PairSet:
    return make_pairs(policy, PROMPTS, gold or Even(), pairs, 3, raters, held_out=held_out)


def content(pair: Pair) -> tuple[bytes, ...]:
    return tuple(ids.tobytes() for ids in (pair.prompt, pair.chosen, pair.rejected))


def without_end(ids: Ids) -> Ids:
    return ids[:-1] if ids[-1] == 0 else ids


def test_the_better_answer_is_chosen(policy: Model) -> None:
    even = Even()
    for pair in made(policy, 60).train:
        sides = [without_end(side) for side in (pair.chosen, pair.rejected)]
        better, worse = even.score([pair.prompt] * 2, sides, np.ones(2, bool))
        assert better > worse
        assert pair.rating == min((better - worse) // 0.1, 3)
        assert not pair.safety


def test_one_rater_errs(policy: Model) -> None:
    by_gold, by_rater = made(policy, 60), made(policy, 60, raters="one")
    for pair, other in zip(by_gold.train, by_rater.train, strict=True):
        assert content(pair) == (content(other)[0], content(other)[2], content(other)[1])


def test_the_first_pairs_are_the_same_however_many_are_made(policy: Model) -> None:
    few, many = made(policy, 30), made(policy, CHUNK + 20)
    assert [content(pair) for pair in many.train[:30]] == [content(pair) for pair in few.train]
    assert [content(pair) for pair in many.held_out] == [content(pair) for pair in few.held_out]
    assert few.sha256 != many.sha256
    assert made(policy, 30).sha256 == few.sha256 == digest(*few.train, *few.held_out)


def test_no_prompt_is_in_both_parts(policy: Model) -> None:
    """Bug 21: each part is written for prompts of its own."""
    pairs = made(policy, 60)
    sides = [{pair.prompt.tobytes() for pair in part} for part in (pairs.train, pairs.held_out)]
    assert sides[0] <= {prompt.tobytes() for prompt in PROMPTS.train}
    assert sides[1] <= {prompt.tobytes() for prompt in PROMPTS.held_out}
    assert not sides[0] & sides[1]


def test_prompts_are_used_again_with_new_answers(policy: Model) -> None:
    assert len(PROMPTS.train) == 40
    pairs = made(policy, 90, held_out=0)
    assert len(pairs.train) == 90
    assert len({content(pair) for pair in pairs.train}) == 90


def test_an_answer_has_its_end_where_it_is_finished(policy: Model) -> None:
    for pair in made(policy, 60).train:
        for side in (pair.chosen, pair.rejected):
            assert 0 not in side[:-1]
            assert side[-1] == 0 or len(pair.prompt) + len(side) == MODEL.seq_len


def test_a_policy_of_one_answer_is_refused() -> None:
    """Nothing but the end follows any prompt."""
    embedding = np.full((256, MODEL.width), 0.01, np.float32)
    embedding[0] = 1.0
    silent = make_model(scale=0.0).parameters
    named = {**silent, "norm": np.full(MODEL.width, 30.0, np.float32), "embedding": embedding}
    with pytest.raises(InputError, match=r"of 2,560 pairs of answers in a row none has one that the gold prefers"):
        made(Model(MODEL, named), 5)


def test_identical_answers_are_dropped_and_counted() -> None:
    """A policy that ends at once in about half of its answers."""
    embedding = np.zeros((256, MODEL.width), np.float32)
    embedding[97:123] = 0.05 * make_model().parameters["embedding"][97:123] + 1e-3
    embedding[0] = 2.0
    named = {**make_model(scale=0.0).parameters, "norm": np.ones(MODEL.width, np.float32), "embedding": embedding}
    pairs = made(Model(MODEL, named), 40, held_out=0)
    assert pairs.dropped.get("identical", 0) > 0
    assert not any(np.array_equal(pair.chosen, pair.rejected) for pair in pairs.train)


def test_ties_are_dropped_and_counted(policy: Model) -> None:
    safe = make_pairs(policy, PROMPTS, _Half(), 60, 3, "all", held_out=0)
    assert safe.dropped["tied"] > 10
    assert all(pair.safety for pair in safe.train)


class _Half(Even):
    """Safe or not by the parity of the first byte."""

    safety = True

    def score(self, prompts: Sequence[Ids], answers: Sequence[Ids], stopped: np.ndarray) -> np.ndarray:  # noqa: ARG002
        return np.array([float(len(answer) > 0 and answer[0] % 2 == 0) for answer in answers])


def test_pairs_by_the_reader(policy: Model) -> None:
    pairs = made(policy, 20, find_gold("reader"), raters="one")
    assert len(pairs.train) == len(pairs.held_out) == 20
    assert {pair.rating for pair in pairs.train} <= {0.0, 1.0, 2.0, 3.0}


def test_bad_input(policy: Model) -> None:
    with pytest.raises(InputError, match="`raters` is 'two'"):
        made(policy, 5, raters="two")
    with pytest.raises(InputError, match="there are no held-out prompts to write pairs for"):
        make_pairs(policy, PromptSet((ids_of("ab"),), ()), Even(), 5, 0)
    small = make_model(replace(MODEL, vocab=99))
    with pytest.raises(InputError, match="the policy model has 99 embeddings"):
        made(small, 5)
