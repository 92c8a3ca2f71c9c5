"""Causal grouped-query attention, in the form that the platform runs fastest."""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float

from scaling.llama.folding import folding
from scaling.llama.parallelism import SPLASH_BLOCKS
from scaling.llama.sharding import BATCH, TENSOR, Attention

# Large, yet finite: minus infinity would turn a difference of two of them into NaN.
_MASKED = -1e30
# Query rows at a time on a CPU: a chunk's scores stay in the cache, and what lies after it is never computed.
_CHUNK, _MOST_CHUNKS = 64, 8
_FUSED = ("cudnn", "splash")
_LANES = 128  # of a TPU's vector registers


def attention(
    query: Float[Array, "batch seq heads head_dim"],
    key: Float[Array, "batch seq kv_heads head_dim"],
    value: Float[Array, "batch seq kv_heads head_dim"],
    implementation: Attention | None = None,
    mesh: Mesh | None = None,
    stacked: bool = False,
) -> Float[Array, "batch seq heads head_dim"]:
    """Softmax attention of each position to itself and those before it, scaled by 1 / sqrt(head_dim).

    Query head ``h`` reads key and value head ``h // (heads / kv_heads)`` (2305.13245). The softmax is in float32.

    Args:
        query, key, value: the projections, after RoPE.
        implementation: ``chunked``, a few chunks of queries, the fastest on a CPU; ``cudnn``, a GPU's fused kernel, in
            half precision; ``splash``, a TPU's; ``xla``, anywhere. None chooses by platform, and the fused kernels
            only for the shapes and dtypes that they are made for: half precision, and for ``splash`` a head_dim of
            whole lanes (multiples of 128) and a sequence of whole blocks.
        mesh: that the arrays are spread over, batch and heads; None for one device.
        stacked: whether models are under vmap, which the fused kernels then take as one batch.
    """
    if implementation is None:
        implementation = _usual(query)
    if stacked and implementation in _FUSED:
        return folding(functools.partial(attention, implementation=implementation, mesh=mesh))(query, key, value)
    if implementation == "chunked":
        return _chunked(query, key, value)
    if implementation == "splash":
        return _splash(query, key, value, mesh)
    return jax.nn.dot_product_attention(query, key, value, is_causal=True, implementation=implementation)


def _usual(query: Float[Array, "batch seq heads head_dim"]) -> Attention:
    platform = jax.default_backend()
    if platform == "cpu":
        return "chunked"
    _, seq, _, head_dim = query.shape
    if platform == "gpu" and query.dtype in (jnp.bfloat16, jnp.float16) and head_dim % 8 == 0:
        return "cudnn"
    if platform == "tpu" and query.dtype == jnp.bfloat16 and head_dim % _LANES == 0 and seq % SPLASH_BLOCKS[-1] == 0:
        return "splash"
    return "xla"


def _splash(
    query: Float[Array, "batch seq heads head_dim"],
    key: Float[Array, "batch seq kv_heads head_dim"],
    value: Float[Array, "batch seq kv_heads head_dim"],
    mesh: Mesh | None,
) -> Float[Array, "batch seq heads head_dim"]:
    # Imported late: only a TPU has it.
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel, splash_attention_mask

    seq, head_dim = query.shape[1], query.shape[3]
    block = next(size for size in SPLASH_BLOCKS if seq % size == 0)
    sizes = splash_attention_kernel.BlockSizes(
        block_q=block,
        block_kv=block,
        block_q_dkv=block,
        block_kv_dkv=block,
        block_q_dq=block,
        block_kv_dq=block,
    )

    def local(query: Array, key: Array, value: Array) -> Array:
        heads = query.shape[2]
        mask = splash_attention_mask.MultiHeadMask([splash_attention_mask.CausalMask((seq, seq))] * heads)
        kernel = splash_attention_kernel.make_splash_mha(mask, head_shards=1, q_seq_shards=1, block_sizes=sizes)
        query, key, value = (x.transpose(0, 2, 1, 3) for x in (query * head_dim**-0.5, key, value))
        return jax.vmap(kernel)(query, key, value).transpose(0, 2, 1, 3)

    if mesh is None:
        return local(query, key, value)
    split = PartitionSpec(BATCH, None, TENSOR, None)
    # The kernel does not say over which axes its results vary, so that cannot be checked.
    return jax.shard_map(local, mesh=mesh, in_specs=(split,) * 3, out_specs=split, check_vma=False)(query, key, value)


def _chunked(
    query: Float[Array, "batch seq heads head_dim"],
    key: Float[Array, "batch seq kv_heads head_dim"],
    value: Float[Array, "batch seq kv_heads head_dim"],
) -> Float[Array, "batch seq heads head_dim"]:
    batch, seq, heads, head_dim = query.shape
    kv_heads = key.shape[2]
    query = query.reshape(batch, seq, kv_heads, heads // kv_heads, head_dim) * head_dim**-0.5
    query = query.transpose(0, 2, 3, 1, 4)  # batch, kv head, query head of its group, position, head_dim
    key, value = key.transpose(0, 2, 3, 1), value.transpose(0, 2, 1, 3)
    size = max(_CHUNK, -(-seq // _MOST_CHUNKS))
    parts = []
    for start in range(0, seq, size):
        chunk = query[:, :, :, start : start + size]
        rows, seen = chunk.shape[3], start + chunk.shape[3]
        flat = chunk.reshape(batch, kv_heads, -1, head_dim)
        scores = jnp.matmul(flat, key[..., :seen], preferred_element_type=jnp.float32)
        past = start + jnp.arange(rows)[:, None] >= jnp.arange(seen)[None, :]
        # Adding a mask fuses into the exponential; a select would be kept for the backward pass.
        scores = scores.reshape(*chunk.shape[:4], seen) + jnp.where(past, 0.0, _MASKED)
        weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True)))
        mixed = weights.reshape(batch, kv_heads, -1, seen).astype(value.dtype) @ value[:, :, :seen]
        # Dividing after the product divides head_dim numbers a row, not all that the row has seen.
        total = weights.sum(axis=-1, keepdims=True).astype(value.dtype)
        parts.append(mixed.reshape(chunk.shape) / total)
    return jnp.concatenate(parts, axis=3).transpose(0, 3, 1, 2, 4).reshape(batch, seq, heads, head_dim)
