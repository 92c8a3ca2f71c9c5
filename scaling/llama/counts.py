"""Exact parameters and training FLOPs per token of a Llama, in every published convention.

Published exponents move from .37 to .70 with the convention alone (2406.19146), so a figure
always says which it is.
"""

from collections.abc import Callable
from dataclasses import dataclass

from scaling.errors import InputError
from scaling.llama.config import LlamaConfig

_TRAIN = 3  # forward, then two matmuls of the same size in the backward pass (2001.08361, section 2.1)


@dataclass(frozen=True)
class ParamCount:
    """Parameters of a model.

    Attributes:
        total: every trainable number; the N of Chinchilla's fits (2203.15556) and of this toolkit's tables.
        nonembedding: ``total`` less the input embedding and less the head if it is untied: the layers and the
            final norm, the same for tied and untied models; the N of Kaplan's fits (2001.08361, section 1.3).
        embedding: ``vocab * width`` of the input embedding.
        head: ``vocab * width`` of an untied output head, 0 if it is tied.
        per_layer: one layer: attention, SwiGLU and its norms.
        per_layer_matmul: the part of ``per_layer`` that every token is multiplied with (no norms, no biases).
    """

    total: int
    nonembedding: int
    embedding: int
    head: int
    per_layer: int
    per_layer_matmul: int


def count_params(config: LlamaConfig) -> ParamCount:
    """Counts a Llama's parameters exactly, by arithmetic; no array is made."""
    inner, kv_width = config.attention_width, config.kv_width
    attention = 2 * config.width * inner + 2 * config.width * kv_width  # q and out; k and v
    biases = {"none": 0, "qkv": inner + 2 * kv_width, "all": inner + 2 * kv_width + config.width}
    swiglu = 3 * config.width * config.ffn  # gate, up, down
    norms = 2 * config.width + (2 * config.head_dim if config.qk_norm else 0)
    embedding = config.vocab * config.width
    head = 0 if config.tie_embeddings else embedding
    per_layer = attention + swiglu + norms + biases[config.attention_bias]
    nonembedding = config.depth * per_layer + config.width  # and the final norm
    return ParamCount(
        total=nonembedding + embedding + head,
        nonembedding=nonembedding,
        embedding=embedding,
        head=head,
        per_layer=per_layer,
        per_layer_matmul=attention + swiglu,
    )


def _exact(config: LlamaConfig, twice_attended: int) -> int:
    matmul = config.depth * count_params(config).per_layer_matmul + config.vocab * config.width
    return _TRAIN * 2 * (matmul + config.depth * twice_attended * config.attention_width)


def _six_n(config: LlamaConfig, _twice_attended: int) -> int:
    return 6 * count_params(config).total


def _six_n_nonembedding(config: LlamaConfig, _twice_attended: int) -> int:
    return 6 * count_params(config).nonembedding


def _kaplan(config: LlamaConfig, twice_attended: int) -> int:
    layers = config.depth * count_params(config).per_layer_matmul
    return _TRAIN * (2 * layers + config.depth * twice_attended * config.attention_width)


def _chinchilla(config: LlamaConfig, twice_attended: int) -> int:
    embed_and_head = 2 * 2 * config.vocab * config.width
    per_layer = 2 * count_params(config).per_layer_matmul + 2 * twice_attended * config.attention_width
    twice_softmax = config.depth * 3 * config.heads * twice_attended
    # Halved last: what is lost is half a FLOP at most.
    return _TRAIN * (embed_and_head + config.depth * per_layer) + _TRAIN * twice_softmax // 2


@dataclass(frozen=True)
class Convention:
    """A way to count training FLOPs per token.

    Attributes:
        formula: with W the matmul weights of the layers, N all parameters, V vocab, d width, L depth, h heads and s
            the positions that a token attends to. A model with a ``head_size`` has h times that for d in s d.
        meaning: what it counts, and who counts so.
        count: FLOPs per token of a model, given 2 s.
    """

    formula: str
    meaning: str
    count: Callable[[LlamaConfig, int], int]


CONVENTIONS: dict[str, Convention] = {
    "exact": Convention(
        "6 (W + V d) + 12 L s d",
        "every matmul: projections, SwiGLU, attention's two, the head; a table's flops are these",
        _exact,
    ),
    "6n": Convention("6 N", "the textbook: embedding and head in, attention out (2203.15556)", _six_n),
    "6n-nonembedding": Convention("6 (N - embedding and head)", "the layers alone (2001.08361)", _six_n_nonembedding),
    "kaplan": Convention("6 W + 6 L s d", "no head, and one of attention's two matmuls (2001.08361, table 1)", _kaplan),
    "chinchilla": Convention(
        "6 W + 12 V d + 12 L s d + 9 L s h",
        "the embedding as a matmul too, and the softmax (2203.15556, appendix F)",
        _chinchilla,
    ),
}


def flops_per_token(config: LlamaConfig, seq_len: int, convention: str = "exact", causal: bool = False) -> int:
    """Training FLOPs per token: the forward pass and twice that for the backward pass.

    ``exact`` leaves out what is no matmul: the embedding's look-up, norms, RoPE, softmax and the loss, together less
    than 1 % of XLA's count of a step at widths of 512 and more. Recomputed activations and the optimizer do not count
    in any convention.

    Args:
        config: the architecture; grouped-query attention and SwiGLU are counted as they are.
        seq_len: tokens in a training sequence.
        convention: one of ``CONVENTIONS``, which has the formulas.
        causal: count only what a causal mask lets through, s = (seq_len + 1) / 2 on average, instead of
            s = ``seq_len``, as published figures do.

    Raises:
        InputError: if the convention is unknown or ``seq_len`` is not positive.
    """
    if convention not in CONVENTIONS:
        raise InputError(f"FLOP convention {convention!r} is not one of {', '.join(CONVENTIONS)}")
    if seq_len < 1:
        raise InputError(f"seq_len is {seq_len}; it must be a positive whole number")
    # Scores and values are two matmuls over s positions, so 2s is whole even where s is not.
    twice_attended = seq_len + 1 if causal else 2 * seq_len
    return CONVENTIONS[convention].count(config, twice_attended)
