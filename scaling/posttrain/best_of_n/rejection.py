"""Rejection sampling: the best answers become examples to fine-tune on."""

import numpy as np
from jaxtyping import Float

from scaling.data.answers.rows import Example
from scaling.posttrain.sampling import Answers


def reject(answers: Answers, scores: Float[np.ndarray, " rows"], k: int = 1) -> list[Example]:
    """The k best answers of every prompt as examples, the best first, in the order of their prompts (2307.09288).

    Equal answers to a prompt count once. An answer that was cut off has no end to be learnt.

    Args:
        answers: several to each prompt, in any order.
        scores: of each row, by a reward model.
        k: answers of a prompt; fewer where it has fewer different ones.
    """
    by_prompt: dict[bytes, dict[bytes, int]] = {}
    for row in np.argsort(-scores, kind="stable").tolist():
        begin, length = int(answers.prompt_lengths[row]), int(answers.lengths[row])
        prompt, answer = answers.tokens[row, :begin].tobytes(), answers.tokens[row, begin:length].tobytes()
        by_prompt.setdefault(prompt, {}).setdefault(answer, row)
    in_order: dict[bytes, None] = {}
    for tokens, length in zip(answers.tokens, answers.prompt_lengths.tolist(), strict=True):
        in_order.setdefault(tokens[:length].tobytes())
    kept = [row for prompt in in_order for row in list(by_prompt[prompt].values())[:k]]
    counted = answers.counted
    return [
        Example(answers.tokens[row, : int(answers.lengths[row])], counted[row, : int(answers.lengths[row])])
        for row in kept
    ]
