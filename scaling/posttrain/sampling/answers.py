"""Sampled answers."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int32

from scaling.data.answers.rows import Ids


class Answers(NamedTuple):
    """Sampled answers, rows padded right with 0.

    Attributes:
        tokens: the prompt, then the answer.
        prompt_lengths: tokens of each prompt.
        lengths: of prompt and answer, the end included.
        logprobs: of each sampled token, nats, by the distribution it was drawn from (temperature, top-p and top-k
            included; greedy answers: by the model's own); 0 at prompts and padding.
        stopped: whether the answer has ended, rather than been cut off.
    """

    tokens: Int32[np.ndarray, "rows seq"]
    prompt_lengths: Int32[np.ndarray, " rows"]
    lengths: Int32[np.ndarray, " rows"]
    logprobs: Float32[np.ndarray, "rows seq"]
    stopped: Bool[np.ndarray, " rows"]

    @property
    def counted(self) -> Bool[np.ndarray, "rows seq"]:
        """Which tokens are the answer's, its end included."""
        at = np.arange(self.tokens.shape[1])
        return (at >= self.prompt_lengths[:, None]) & (at < self.lengths[:, None])

    def answer(self, row: int) -> Ids:
        """The ids of a row's answer, without its end."""
        last = int(self.lengths[row]) - int(self.stopped[row])
        return self.tokens[row, int(self.prompt_lengths[row]) : last]
