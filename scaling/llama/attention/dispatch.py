"""Causal grouped-query attention, in the form that the platform runs fastest."""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float

from scaling.llama.attention.chunked import chunked
from scaling.llama.attention.folding import folding
from scaling.llama.parallelism import SPLASH_BLOCKS
from scaling.llama.sharding import BATCH, TENSOR, Attention

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
        stacked: whether models are under vmap, which cuDNN's kernel does not know: it takes them as one batch.
    """
    if implementation is None:
        implementation = _usual(query)
    if stacked and implementation == "cudnn":
        return folding(functools.partial(attention, implementation=implementation, mesh=mesh))(query, key, value)
    if implementation == "chunked":
        return chunked(query, key, value)
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
