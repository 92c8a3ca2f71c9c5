"""An answer ends with the end of its template, which may be another id than the one that closes documents."""

from dataclasses import replace

import numpy as np
import pytest
from posttraining.tiny_rewards import MODEL, ids_of, make_model, make_prompts

from scaling.data.answers.rows import PromptSet
from scaling.data.tokenizer import BYTES
from scaling.posttrain.rewards.gold import find_gold
from scaling.posttrain.rewards.preferring import make_pairs
from scaling.posttrain.stage import Model

END = ord("z")


@pytest.fixture(scope="module")
def policy() -> Model:
    """Answers with letters alone, all as likely."""
    embedding = np.zeros((256, MODEL.width), np.float32)
    embedding[97:123] = 0.05 * make_model().parameters["embedding"][97:123] + 1e-1
    named = {**make_model(scale=0.0).parameters, "norm": np.full(MODEL.width, 30.0, np.float32), "embedding": embedding}
    return Model(MODEL, named)


def check(policy: Model, prompts: PromptSet) -> None:
    pairs = make_pairs(policy, prompts, find_gold("reader"), 20, 0, held_out=5)
    for pair in pairs.train:
        for answer in (pair.chosen, pair.rejected):
            assert END not in answer[:-1]
            assert answer[-1] == END or len(answer) + len(pair.prompt) == MODEL.seq_len


def test_pairs_end_with_the_end_of_their_prompts(policy: Model) -> None:
    prompts = make_prompts()
    prompts = PromptSet(
        *(tuple(ids[ids != END] for ids in side) for side in (prompts.train, prompts.held_out)), end=END
    )
    assert make_pairs(policy, prompts, find_gold("reader"), 1, 0, held_out=1).end == END
    check(policy, prompts)
    with pytest.raises(AssertionError):  # as if it were the tokenizer's
        check(policy, replace(prompts, end=BYTES.end))


def test_a_model_judges_an_answer_with_its_end() -> None:
    judge = make_model(score=True)
    prompt, answer, stopped = ids_of("ab"), ids_of("cd"), np.array([True])

    def score(end: int | None, answer: np.ndarray, stopped: np.ndarray) -> float:
        return float(find_gold("run", BYTES, lambda _: judge, end).score([prompt], [answer], stopped)[0])

    ended = score(END, answer, stopped)
    assert ended == score(END, np.append(answer, np.int32(END)), ~stopped)
    assert ended != score(None, answer, stopped)
    assert score(None, answer, stopped) == score(BYTES.end, answer, stopped)
