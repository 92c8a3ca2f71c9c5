"""Generation with a cache of keys and values: prompts padded right, then one token of every row after another.

The weights, RoPE and attention are those of ``Llama.__call__``. What is new is where a key is kept. A prompt's are in
the first slots of its row, and the token of step i is in slot ``prompt slots + i`` of every row, however long its
prompt: so a step writes one slot of all rows, and padding between is never attended to. A key carries its own position
from RoPE, so its slot does not matter.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from scaling.llama.attention.dispatch import attention
from scaling.llama.config import LlamaConfig
from scaling.llama.layers.primitives import matmul, rms_norm, swiglu
from scaling.llama.layers.rope import apply_rope, rope_tables
from scaling.llama.sharding import BATCH, PLAIN, TENSOR, Execution, constrain

_MASKED = -1e30  # finite, as in attention in chunks
_ROW = (BATCH, None, None)  # of what has a width, and of what has heads
_HEADS = (BATCH, None, TENSOR, None)


class Cache(NamedTuple):
    """Keys and values of every layer, in the activations' dtype; keys are kept after RoPE."""

    keys: tuple[Float[Array, "batch kv_heads slots head_dim"], ...]
    values: tuple[Float[Array, "batch kv_heads slots head_dim"], ...]


class Layer(NamedTuple):
    """One layer's weights, laid out for generation; matrices that lie side by side are apart on a mesh."""

    attention_norm: Float[Array, "width"]
    qkv: list[Float[Array, "width _"]]
    qkv_bias: Float[Array, "columns"] | None
    query_norm: Float[Array, "head_dim"] | None
    key_norm: Float[Array, "head_dim"] | None
    out: Float[Array, "inner width"]
    out_bias: Float[Array, "width"] | None
    ffn_norm: Float[Array, "width"]
    gate_up: list[Float[Array, "width _"]]
    down: Float[Array, "ffn width"]


class Weights(NamedTuple):
    """A model's weights, laid out for generation: matrices in the activations' dtype, whole along data and fsdp."""

    embedding: Float[Array, "vocab width"]
    layers: list[Layer]
    norm: Float[Array, "width"]
    head: Float[Array, "vocab width"]


class Decoder(NamedTuple):
    """Functions to be traced, for prompts of up to ``prompt_slots`` tokens and as many steps as there are slots after.

    Attributes:
        weights: (parameters as ``nnx.split`` makes them) -> the weights; once, before the first step.
        prefill: (weights, prompts padded right, their lengths) -> the hidden states after the last norm at each row's
            last token, and the cache.
        step: (weights, cache, a token of each row, its position in the row, the number of the step) -> the hidden
            states there, and the cache with these tokens.
        logits: (weights, hidden states) -> logits, float32.
    """

    weights: Callable[[nnx.State], Weights]
    prefill: Callable[
        [Weights, Int[Array, "batch prompt"], Int[Array, "batch"]], tuple[Float[Array, "batch width"], Cache]
    ]
    step: Callable[
        [Weights, Cache, Int[Array, "batch"], Int[Array, "batch"], Int[Array, ""]],
        tuple[Float[Array, "batch width"], Cache],
    ]
    logits: Callable[[Weights, Float[Array, "batch width"]], Float[Array, "batch vocab"]]


def make_decoder(
    model: LlamaConfig, prompt_slots: int, steps: int, dtype: str = "float32", execution: Execution = PLAIN
) -> Decoder:
    """The functions of generation for one length of prompts and number of steps.

    No row may have more than ``model.seq_len`` tokens, prompt and answer together; up to there dynamic RoPE scaling
    scales nothing, as in ``Llama.__call__``.

    Args:
        model: the model's shape.
        prompt_slots: what prompts are padded right to.
        steps: the most tokens that follow a prompt.
        dtype: of activations, matrix products and the cache.
        execution: the attention of the prompts, and the mesh: rows over data and fsdp, heads over tensor.
    """
    mesh = execution.mesh

    def prefill(weights: Weights, prompts: Array, lengths: Array) -> tuple[Array, Cache]:
        batch = prompts.shape[0]
        rope = rope_tables(model, prompt_slots)
        keys, values = [], []

        def attend(query_BSHD: Array, key_BSKD: Array, value_BSKD: Array) -> Array:
            query_BSHD, key_BSKD = apply_rope(query_BSHD, rope), apply_rope(key_BSKD, rope)
            after = ((0, 0), (0, 0), (0, steps), (0, 0))
            keys.append(jnp.pad(key_BSKD.transpose(0, 2, 1, 3), after))
            values.append(jnp.pad(value_BSKD.transpose(0, 2, 1, 3), after))
            return attention(query_BSHD, key_BSKD, value_BSKD, execution.attention, mesh)

        hidden_BSW = _layers(model, weights, prompts, attend, dtype, mesh)
        last_BW = hidden_BSW[jnp.arange(batch), lengths - 1]
        return last_BW, Cache(tuple(keys), tuple(values))

    def step(weights: Weights, cache: Cache, tokens: Array, positions: Array, number: Array) -> tuple[Array, Cache]:
        slots = jnp.arange(prompt_slots + steps)
        # Of a row's first ``positions - number`` slots, its prompt, and of what it was given since.
        seen_BT = (slots < (positions - number)[:, None]) | ((slots >= prompt_slots) & (slots <= prompt_slots + number))
        mask_BT = jnp.where(seen_BT, 0.0, _MASKED)
        # Of a row whose answer is over the position may lie behind the last: what comes of it is left out.
        cos, sin = (table[jnp.minimum(positions, model.seq_len - 1)] for table in rope_tables(model, model.seq_len))
        keys, values = list(cache.keys), list(cache.values)
        at = 0

        def attend(query_B1HD: Array, key_B1KD: Array, value_B1KD: Array) -> Array:
            nonlocal at
            query_B1HD, key_B1KD = _rotate(query_B1HD, cos, sin), _rotate(key_B1KD, cos, sin)
            place = (0, 0, prompt_slots + number, 0)
            keys[at] = jax.lax.dynamic_update_slice(keys[at], key_B1KD.transpose(0, 2, 1, 3), place)
            values[at] = jax.lax.dynamic_update_slice(values[at], value_B1KD.transpose(0, 2, 1, 3), place)
            mixed = _attend_to_cache(query_B1HD, keys[at], values[at], mask_BT)
            at += 1
            return mixed

        hidden_B1W = _layers(model, weights, tokens[:, None], attend, dtype, mesh)
        return hidden_B1W[:, 0], Cache(tuple(keys), tuple(values))

    def logits(weights: Weights, hidden_BW: Array) -> Array:
        return jnp.einsum("bw,vw->bv", hidden_BW, weights.head, preferred_element_type=jnp.float32)

    return Decoder(lambda parameters: _weights(model, parameters, dtype, mesh), prefill, step, logits)


def _layers(
    model: LlamaConfig,
    weights: Weights,
    tokens: Int[Array, "batch seq"],
    attend: Callable[[Array, Array, Array], Array],
    dtype: str,
    mesh: Mesh | None,
) -> Float[Array, "batch seq width"]:
    """Hidden states after the last norm, where ``attend`` mixes each layer's values.

    The layers are unrolled, so that each has a cache of its own, which a step writes one slot of in place.
    """
    inner, kv, ffn, eps = model.attention_width, model.kv_width, model.ffn, model.norm_eps
    batch, seq = tokens.shape
    x_BSW = constrain(weights.embedding[tokens].astype(dtype), mesh, *_ROW)
    for layer in weights.layers:
        parts = _products(rms_norm(x_BSW, layer.attention_norm, eps), layer.qkv, (inner, kv, kv))
        if layer.qkv_bias is not None:
            biases = jnp.split(layer.qkv_bias.astype(dtype), (inner, inner + kv))
            parts = [part + bias for part, bias in zip(parts, biases, strict=True)]
        query, key, value = (constrain(part.reshape(batch, seq, -1, model.head_dim), mesh, *_HEADS) for part in parts)
        if layer.query_norm is not None and layer.key_norm is not None:
            query, key = rms_norm(query, layer.query_norm, eps), rms_norm(key, layer.key_norm, eps)
        mixed = matmul(attend(query, key, value).reshape(batch, seq, inner), layer.out)
        if layer.out_bias is not None:
            mixed = mixed + layer.out_bias.astype(dtype)
        x_BSW = constrain(x_BSW + mixed, mesh, *_ROW)
        gate, up = _products(rms_norm(x_BSW, layer.ffn_norm, eps), layer.gate_up, (ffn, ffn))
        x_BSW = constrain(x_BSW + matmul(swiglu(gate, up), layer.down), mesh, *_ROW)
    return rms_norm(x_BSW, weights.norm, eps)


def _products(x: Array, matrices: list[Array], parts: tuple[int, ...]) -> list[Array]:
    """The products with matrices that lie side by side, or with each of them."""
    if len(matrices) == len(parts):
        return [matmul(x, matrix) for matrix in matrices]
    ends = [sum(parts[: i + 1]) for i in range(len(parts) - 1)]
    return jnp.split(matmul(x, matrices[0]), ends, axis=-1)


def _rotate(
    x: Float[Array, "batch 1 heads head_dim"], cos: Float[Array, "batch half"], sin: Float[Array, "batch half"]
) -> Float[Array, "batch 1 heads head_dim"]:
    """``apply_rope`` where every row has a position of its own."""
    return apply_rope(x.swapaxes(0, 1), (cos, sin)).swapaxes(0, 1)


def _attend_to_cache(
    query: Float[Array, "batch 1 heads head_dim"],
    keys: Float[Array, "batch kv_heads slots head_dim"],
    values: Float[Array, "batch kv_heads slots head_dim"],
    mask: Float[Array, "batch slots"],
) -> Float[Array, "batch 1 heads head_dim"]:
    """Softmax attention of one query a row to the slots that the mask leaves; the softmax is in float32."""
    batch, _, heads, head_dim = query.shape
    grouped = (query * head_dim**-0.5).reshape(batch, keys.shape[1], -1, head_dim)
    scores = jnp.einsum("bkgd,bktd->bkgt", grouped, keys, preferred_element_type=jnp.float32)
    shares = jax.nn.softmax(scores + mask[:, None, None, :], axis=-1).astype(values.dtype)
    return jnp.einsum("bkgt,bktd->bkgd", shares, values).reshape(batch, 1, heads, head_dim)


def _weights(model: LlamaConfig, parameters: nnx.State, dtype: str, mesh: Mesh | None) -> Weights:
    arrays: dict[str, Any] = nnx.to_pure_dict(parameters)
    inner, kv, ffn = model.attention_width, model.kv_width, model.ffn

    def matrix(x: Array, *axes: str | None) -> Array:
        return constrain(x.astype(dtype), mesh, *axes)

    def columns(x: Array, parts: tuple[int, ...]) -> list[Array]:
        if mesh is None:
            return [x.astype(dtype)]
        ends = [sum(parts[: i + 1]) for i in range(len(parts) - 1)]
        return [matrix(part, None, TENSOR) for part in jnp.split(x, ends, axis=1)]

    layers = []
    for at in range(model.depth):
        own = jax.tree.map(lambda x: x[at], arrays["layers"])  # noqa: B023  # used at once
        attending, mlp = own["attention"], own["mlp"]
        layers.append(
            Layer(
                attention_norm=constrain(own["attention_norm"], mesh, None),
                qkv=columns(attending["qkv"], (inner, kv, kv)),
                qkv_bias=attending.get("qkv_bias"),
                query_norm=attending.get("query_norm"),
                key_norm=attending.get("key_norm"),
                out=matrix(attending["out"], TENSOR, None),
                out_bias=attending.get("out_bias"),
                ffn_norm=constrain(own["ffn_norm"], mesh, None),
                gate_up=columns(mlp["gate_up"], (ffn, ffn)),
                down=matrix(mlp["down"], TENSOR, None),
            )
        )
    head = arrays["embedding"] if model.tie_embeddings else arrays["output"]
    return Weights(
        embedding=matrix(arrays["embedding"], TENSOR, None),
        layers=layers,
        norm=constrain(arrays["norm"], mesh, None),
        head=matrix(head, TENSOR, None),
    )
