"""A run's measurements as arrays, so that they are saved with its state: a run that goes on has those made before."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int32

from scaling.data.tokenizer import Tokenizer
from scaling.posttrain.measure import Measured

# Of the columns of a curve those that a policy's measurement has.
COLUMNS = (
    *("step", "kl", "kl_stderr", "proxy", "gold", "gold_stderr", "accuracy", "win_rate", "length", "stopped"),
    "distinct",
)
_SAMPLES = 4
_UNMEASURED = float("nan")


class Record(NamedTuple):
    """The measurements of a run, each in its place.

    Attributes:
        rows: by the order of ``COLUMNS``; NaN where there is no value, or no measurement yet.
        tokens: the first answers of each measurement, to the same prompts, padded right.
        spans: of each of those answers its prompt's tokens, all its tokens, and whether it has stopped.
        rewards: of each its gold and its proxy; NaN where there is none.
    """

    rows: Float32[Array, "points columns"]
    tokens: Int32[Array, "points samples seq"]
    spans: Int32[Array, "points samples 3"]
    rewards: Float32[Array, "points samples 2"]

    def written(self, point: int, step: int, measured: Measured, more: Mapping[str, float]) -> "Record":
        """The record with a measurement in its place.

        Args:
            point: its number.
            step: after which it was made.
            measured: the policy.
            more: further columns by name.
        """
        columns = {"step": step, **measured.columns, **more}
        answers, kept = measured.answers, self.tokens.shape[1]
        tokens = np.zeros(self.tokens.shape[1:], np.int32)
        tokens[: len(answers.tokens), : answers.tokens.shape[1]] = answers.tokens[:kept]
        spans = np.stack([answers.prompt_lengths, answers.lengths, answers.stopped.astype(np.int32)], axis=1)
        rewards = np.stack([_or_nan(measured.gold, len(spans)), _or_nan(measured.proxy, len(spans))], axis=1)
        row = [columns.get(name, _UNMEASURED) for name in COLUMNS]
        return Record(
            self.rows.at[point].set(jnp.asarray(row, jnp.float32)),
            self.tokens.at[point].set(tokens),
            self.spans.at[point, : len(spans)].set(spans[:kept]),
            self.rewards.at[point, : len(rewards)].set(rewards[:kept].astype(np.float32)),
        )

    def curve(self) -> list[dict[str, float]]:
        """The measurements made, in order, each by the names of its columns that have a value."""
        rows = np.asarray(self.rows, np.float64)
        found = [{name: float(value) for name, value in zip(COLUMNS, row, strict=True)} for row in rows]
        measured = [{name: value for name, value in row.items() if not np.isnan(value)} for row in found]
        return [row for row in measured if "step" in row]

    def samples(self, tokenizer: Tokenizer) -> list[dict[str, Any]]:
        """The answers kept, for people to read, by prompt and then in the order of measurements."""
        tokens, spans, rewards = (np.asarray(array) for array in (self.tokens, self.spans, self.rewards))
        found = []
        for at in range(tokens.shape[1]):
            for point, row in enumerate(self.curve()):
                begin, last, stopped = spans[point, at].tolist()
                if not last:
                    continue
                ids = tokens[point, at, :last]
                texts = (tokenizer.decode(part) for part in (ids[:begin], ids[begin : last - stopped]))
                scores = dict(zip(("gold", "proxy"), rewards[point, at].tolist(), strict=True))
                found.append(
                    {
                        **dict(zip(("prompt", "answer"), texts, strict=True)),
                        **{name: row[name] for name in ("step", "kl")},
                        **{name: value for name, value in scores.items() if not np.isnan(value)},
                    }
                )
        return found


def empty_record(points: int, seq_len: int) -> Record:
    """A record with room for so many measurements of answers of a model's context."""
    return Record(
        jnp.full((points, len(COLUMNS)), _UNMEASURED, jnp.float32),
        jnp.zeros((points, _SAMPLES, seq_len), jnp.int32),
        jnp.zeros((points, _SAMPLES, 3), jnp.int32),
        jnp.full((points, _SAMPLES, 2), _UNMEASURED, jnp.float32),
    )


def _or_nan(values: Sequence[float] | np.ndarray | None, count: int) -> np.ndarray:
    return np.full(count, np.nan) if values is None else np.asarray(values)
