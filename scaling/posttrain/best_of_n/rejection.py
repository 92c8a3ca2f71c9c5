"""Rejection sampling: the best answers become examples to fine-tune on."""

import numpy as np
from jaxtyping import Float

from scaling.data.answers.rows import Example
from scaling.posttrain.sampling import Answers


def best_rows(answers: Answers, scores: Float[np.ndarray, " rows"], k: int = 1) -> list[int]:
    """The rows of the k best answers of every prompt, the best first, in the order of their prompts (2307.09288).

    Equal answers to a prompt count once.

    Args:
        answers: several to each prompt, in any order.
        scores: of each row, by a reward model.
        k: answers of a prompt; fewer where it has fewer different ones.
    """
    by_prompt: dict[bytes, dict[bytes, int]] = {}
    for tokens, length in zip(answers.tokens, answers.prompt_lengths.tolist(), strict=True):
        by_prompt.setdefault(tokens[:length].tobytes(), {})
    for row in np.argsort(-scores, kind="stable").tolist():
        begin, length = int(answers.prompt_lengths[row]), int(answers.lengths[row])
        prompt, answer = answers.tokens[row, :begin].tobytes(), answers.tokens[row, begin:length].tobytes()
        by_prompt[prompt].setdefault(answer, row)
    return [row for rows in by_prompt.values() for row in list(rows.values())[:k]]


def reject(answers: Answers, scores: Float[np.ndarray, " rows"], k: int = 1) -> list[Example]:
    """The answers of ``best_rows`` as examples to fine-tune on. One that was cut off has no end to be learnt."""
    counted = answers.counted
    return [
        Example(answers.tokens[row, :length], counted[row, :length])
        for row in best_rows(answers, scores, k)
        for length in [int(answers.lengths[row])]
    ]
