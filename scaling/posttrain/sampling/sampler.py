"""Prompts to answers, on one device or a mesh: one program for each length that prompts are padded to."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from scaling.data.answers.rows import Ids, bucket
from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.decoding.decoder import Cache, Weights, make_decoder
from scaling.llama.decoding.drawing import draw
from scaling.llama.sharding import BATCH, PLAIN, Execution, axis_size
from scaling.posttrain.sampling.answers import Answers
from scaling.posttrain.training.placement import place_rows
from scaling.train.optimizer import Parameters
from scaling.train.placement import replicated

# Rows of a compiled call. On a CPU more bring nothing: their cache of keys and values leaves that of the processor.
ROWS = 256
_MOST_LINES = 5  # of errors of one kind


def sample(
    model: LlamaConfig,
    parameters: Parameters,
    prompts: Sequence[Ids],
    seed: int,
    *,
    most: int,
    end: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    dtype: str = "float32",
    execution: Execution = PLAIN,
    batch: int = ROWS,
) -> Answers:
    """An answer to every prompt.

    A row's answer is a function of the parameters, its prompt, the seed and its index alone: other rows change at most
    the rounding of its logits, and that only through ``batch`` or the mesh.

    Args:
        model: the model's shape.
        parameters: as ``nnx.split`` makes them.
        prompts: ids, of 1 to ``model.seq_len - 1`` tokens each.
        seed: of all rows; each has a key of its own, ``fold_in(seed, index)``.
        most: tokens of an answer, the end included; fewer where the model's context ends before.
        end: the token that ends an answer.
        temperature: that the logits are divided by; 0 takes the likeliest token.
        top_p: draws only from the fewest tokens that together have this probability (1904.09751).
        top_k: draws only from so many likeliest tokens; 0 for all.
        dtype: of activations and matrix products.
        execution: attention and the mesh.
        batch: rows of a compiled call.

    Raises:
        InputError: a line for each prompt that is empty, too long or of another vocabulary, and for each option out of
            its range.
    """
    _check(model, prompts, most, temperature, top_p, top_k)
    batch += -batch % axis_size(execution.mesh, BATCH)
    lengths = np.array([len(prompt) for prompt in prompts], np.int32)
    limits = np.minimum(most, model.seq_len - lengths).astype(np.int32)
    width = bucket(int(lengths.max()) + most, model.seq_len)
    # By its own length a prompt goes to one program, whatever the lengths of others.
    groups: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        groups.setdefault(bucket(int(length), model.seq_len), []).append(row)
    pending = []
    for slots, rows in groups.items():
        program = _program(model, slots, most, end, temperature, top_p, top_k, dtype, execution)
        for first in range(0, len(rows), batch):
            part = rows[first : first + batch]
            inputs = _inputs(part, prompts, lengths, limits, slots, batch)
            seeded = replicated(np.uint32(seed % 2**32), execution.mesh)
            pending.append((part, program(parameters, *(place_rows(x, execution.mesh) for x in inputs), seeded)))
    return _collected(pending, prompts, lengths, width)


def _inputs(
    part: list[int], prompts: Sequence[Ids], lengths: np.ndarray, limits: np.ndarray, slots: int, batch: int
) -> tuple[np.ndarray, ...]:
    """Prompts, lengths, limits and indices of a call's rows; rows that fill it up have no answer."""
    tokens = np.zeros((batch, slots), np.int32)
    length, limit, index = np.ones(batch, np.int32), np.zeros(batch, np.int32), np.zeros(batch, np.int32)
    for at, row in enumerate(part):
        tokens[at, : lengths[row]] = prompts[row]
    length[: len(part)], limit[: len(part)], index[: len(part)] = lengths[part], limits[part], part
    return tokens, length, limit, index


def _collected(
    pending: list[tuple[list[int], Any]], prompts: Sequence[Ids], lengths: np.ndarray, width: int
) -> Answers:
    tokens, logprobs = np.zeros((len(prompts), width), np.int32), np.zeros((len(prompts), width), np.float32)
    whole, stopped = lengths.copy(), np.zeros(len(prompts), bool)
    for part, results in pending:
        sampled, sampled_logprobs, counts, ended = (np.asarray(result) for result in results)
        for at, row in enumerate(part):
            begin, count = int(lengths[row]), int(counts[at])
            tokens[row, :begin] = prompts[row]
            tokens[row, begin : begin + count] = sampled[at, :count]
            logprobs[row, begin : begin + count] = sampled_logprobs[at, :count]
            whole[row], stopped[row] = begin + count, ended[at]
    return Answers(tokens, lengths, whole, logprobs, stopped)


class _State(NamedTuple):
    """What a step of the loop changes: its number, the hidden states to draw from, and what has been drawn."""

    number: Int[Array, ""]
    hidden: Float[Array, "batch width"]
    cache: Cache
    tokens: Int[Array, "batch most"]
    logprobs: Float[Array, "batch most"]
    counts: Int[Array, "batch"]
    stopped: Bool[Array, "batch"]


@functools.lru_cache(maxsize=64)
def _program(
    model: LlamaConfig,
    slots: int,
    most: int,
    end: int,
    temperature: float,
    top_p: float,
    top_k: int,
    dtype: str,
    execution: Execution,
) -> Callable[..., tuple[Array, Array, Array, Array]]:
    """(parameters, prompts, lengths, limits, indices, seed) -> tokens and log-probabilities of each step, how many each
    row has, and which have stopped; compiled. The loop ends when all rows have stopped or reached their limits."""
    decoder, mesh = make_decoder(model, slots, most, dtype, execution), execution.mesh

    def generate(
        parameters: Parameters, prompts: Array, lengths: Array, limits: Array, indices: Array, seed: Array
    ) -> Any:
        keys = jax.vmap(lambda index: jax.random.fold_in(jax.random.key(seed), index))(indices)
        weights = decoder.weights(parameters)
        hidden, cache = decoder.prefill(weights, prompts, lengths)
        batch = prompts.shape[0]
        state = _State(
            number=jnp.zeros((), jnp.int32),
            hidden=hidden,
            cache=cache,
            tokens=jnp.zeros((batch, most), jnp.int32),
            logprobs=jnp.zeros((batch, most), jnp.float32),
            counts=jnp.zeros(batch, jnp.int32),
            stopped=jnp.zeros(batch, bool),
        )
        state = jax.lax.while_loop(
            lambda state: jnp.any(_live(state, limits)),
            lambda state: advance(weights, state, keys, lengths, limits),
            state,
        )
        return state.tokens, state.logprobs, state.counts, state.stopped

    def advance(weights: Weights, state: _State, keys: Array, lengths: Array, limits: Array) -> _State:
        logits = decoder.logits(weights, state.hidden)
        drawn, logprobs = draw(logits, keys, state.number, temperature, top_p, top_k)
        live = _live(state, limits)
        drawn, logprobs = jnp.where(live, drawn, 0), jnp.where(live, logprobs, 0.0)
        hidden, cache = decoder.step(weights, state.cache, drawn, lengths + state.number, state.number)
        return _State(
            number=state.number + 1,
            hidden=hidden,
            cache=cache,
            tokens=jax.lax.dynamic_update_slice(state.tokens, drawn[:, None], (0, state.number)),
            logprobs=jax.lax.dynamic_update_slice(state.logprobs, logprobs[:, None], (0, state.number)),
            counts=state.counts + live,
            stopped=state.stopped | (live & (drawn == end)),
        )

    everywhere = None if mesh is None else NamedSharding(mesh, PartitionSpec())
    return jax.jit(generate, out_shardings=everywhere)


def _live(state: _State, limits: Int[Array, "batch"]) -> Bool[Array, "batch"]:
    return ~state.stopped & (state.number < limits)


def _check(model: LlamaConfig, prompts: Sequence[Ids], most: int, temperature: float, top_p: float, top_k: int) -> None:
    lines = []
    if most < 1:
        lines.append(f"`most` is {most}; an answer has at least one token")
    if not 0 <= temperature < float("inf"):
        lines.append(f"`temperature` is {temperature}; it must be 0 or more")
    if not 0 < top_p <= 1:
        lines.append(f"`top_p` is {top_p}; it must be above 0, and 1 at most")
    if top_k < 0:
        lines.append(f"`top_k` is {top_k}; it must be 0, for all tokens, or more")
    if not prompts:
        lines.append("there is no prompt")
    wrong = [line for row, prompt in enumerate(prompts) if (line := _wrong(model, row, prompt))]
    lines += wrong[:_MOST_LINES]
    if len(wrong) > _MOST_LINES:
        lines.append(f"and {len(wrong) - _MOST_LINES} prompts more")
    if lines:
        raise InputError(lines)


def _wrong(model: LlamaConfig, row: int, prompt: Ids) -> str | None:
    if len(prompt) == 0:
        return f"prompt {row} is empty"
    if len(prompt) >= model.seq_len:
        return (
            f"prompt {row} has {len(prompt)} tokens; the model's context of {model.seq_len} has no room for an answer"
        )
    if int(np.max(prompt)) >= model.vocab or int(np.min(prompt)) < 0:
        return f"prompt {row} has the id {int(np.max(prompt))}; the model's vocabulary has {model.vocab}"
    return None
