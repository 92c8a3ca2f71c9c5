"""Scores of answers by a reward model: each read at the row's last token, the same alone and in any batch."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float32, Int

from scaling.data.answers.rows import Ids, bucket
from scaling.data.tokenizer import Vocabulary
from scaling.errors import InputError
from scaling.llama.parameters import whole
from scaling.llama.sharding import BATCH, PLAIN, Execution, axis_size
from scaling.posttrain.config import SCORE
from scaling.posttrain.stage import Model
from scaling.posttrain.training.logprob import reward_parameters, scores_program
from scaling.posttrain.training.placement import place_parameters, place_rows

_BATCH = 64
"""Rows that are scored at once."""


class RewardScorer:
    """A reward model that is ready to score.

    Args:
        model: with its scalar head.
        dtype: of activations and matrix products.
        execution: remat, attention and the mesh.

    Raises:
        InputError: the model has no scalar head.
    """

    def __init__(self, model: Model, dtype: str = "float32", execution: Execution = PLAIN) -> None:
        if SCORE not in model.parameters:
            raise InputError("the reward model has no scalar head: it is a language model")
        self.model = model.config
        self._parameters, self._mesh = place_parameters(reward_parameters(model), execution.mesh), execution.mesh
        self._program = scores_program(model.config, dtype, execution)
        self._batch = _BATCH * axis_size(execution.mesh, BATCH)

    def score(
        self, tokens: Int[np.ndarray, "rows seq"], lengths: Int[np.ndarray, " rows"]
    ) -> Float32[np.ndarray, " rows"]:
        """The score of each row, read at its last token.

        Args:
            tokens: prompts and answers, their ends included, padded right with anything.
            lengths: of the rows; they are given, not searched for, as an end or a padding may occur in a text.

        Raises:
            InputError: a row is empty, or longer than the model's context.
        """
        return self.score_rows([row[:length] for row, length in zip(tokens, lengths.tolist(), strict=True)])

    def score_rows(self, rows: Sequence[Ids]) -> Float32[np.ndarray, " rows"]:
        """The same of rows without padding."""
        scores = np.zeros(len(rows), np.float32)
        for batch, tokens, lengths in padded_rows(rows, self.model.seq_len, self._batch):
            placed = place_rows((tokens, lengths), self._mesh)
            scores[batch] = whole(self._program(self._parameters, *placed))[: len(batch)]
        return scores


def check_model(model: Model, tokenizer: Vocabulary, name: str, own: Vocabulary | None = None) -> None:
    """Checks that a model reads the ids of a tokenizer.

    Args:
        model: to be checked.
        tokenizer: of the ids.
        name: what to call the model in messages.
        own: the tokenizer that the model was trained with, where it is known.

    Raises:
        InputError: it has another vocabulary or tokenizer.
    """
    if model.config.vocab < tokenizer.vocab:
        raise InputError(
            f"the {name} model has {model.config.vocab:,} embeddings; the answers' tokenizer {tokenizer.name} has "
            f"{tokenizer.vocab:,} ids"
        )
    if own is not None and own.hash != tokenizer.hash:
        raise InputError(
            f"the {name} model was trained with the tokenizer {own.name}, and the answers are of {tokenizer.name}"
        )


def padded_rows(
    rows: Sequence[Ids], most: int, batch: int
) -> Iterator[tuple[list[int], Int[np.ndarray, "batch seq"], Int[np.ndarray, " batch"]]]:
    """Rows in batches of one shape for each bucket of lengths, so that few programs are compiled.

    Args:
        rows: ids.
        most: the context that the rows must fit in.
        batch: rows of a batch; the last of a bucket is filled up with rows of one token.

    Yields:
        The numbers of the rows, their tokens padded right with 0, and their lengths; those of the filling at the end.

    Raises:
        InputError: a row is empty or too long.
    """
    for number, row in enumerate(rows):
        if not 0 < len(row) <= most:
            raise InputError(f"row {number} has {len(row)} tokens; the model's context is 1 to {most}")
    buckets: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        buckets.setdefault(bucket(len(row), most), []).append(number)
    for length, numbers in sorted(buckets.items()):
        for begin in range(0, len(numbers), batch):
            chosen = numbers[begin : begin + batch]
            tokens, lengths = np.zeros((batch, length), np.int32), np.ones(batch, np.int32)
            for at, number in enumerate(chosen):
                tokens[at, : len(rows[number])], lengths[at] = rows[number], len(rows[number])
            yield chosen, tokens, lengths
