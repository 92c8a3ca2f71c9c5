"""Parameters under transformers' names, and under ours.

Transformers keeps a matrix as (out, in), and one for each layer and projection. Ours multiply from the left, as
(in, out), lie over depth along a first axis, and those that share their input are one: query, key and value; gate and
up.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from scaling.llama.config import LlamaConfig
from scaling.posttrain.config import SCORE


class Part(NamedTuple):
    """A tensor of transformers' as a part of one of our parameters.

    Attributes:
        theirs: its name there.
        shape: there.
        ours: the parameter that it is a part of.
        layer: in which it is; None if it is in none.
        columns: that it takes of the last axis of ours, by where they begin and end; None if all.
    """

    theirs: str
    shape: tuple[int, ...]
    ours: str
    layer: int | None = None
    columns: tuple[int, int] | None = None

    def place(self, parameter: np.ndarray) -> np.ndarray:
        """The view of our parameter that has this part, in transformers' shape."""
        if self.layer is None:
            return parameter.reshape(self.shape)
        of_layer: np.ndarray = parameter[self.layer]
        return of_layer if self.columns is None else of_layer[..., slice(*self.columns)].T


def parts(config: LlamaConfig, score: bool = False) -> Iterator[Part]:
    """Every tensor of a model under transformers' names.

    Args:
        config: the model's shape; a tied head has no tensor.
        score: whether it is a reward model: it has a scalar head, and none for tokens.
    """
    c, inner, kv = config, config.attention_width, config.kv_width
    yield Part("model.embed_tokens.weight", (c.vocab, c.width), "embedding")
    for layer in range(c.depth):

        def norm(theirs: str, ours: str, size: int, layer: int = layer) -> Part:
            return Part(f"model.layers.{layer}.{theirs}.weight", (size,), f"layers.{ours}", layer)

        def matrices(ours: str, rows: int, layer: int = layer, **columns: int) -> Iterator[Part]:
            begin = 0
            block = "self_attn" if ours in ("qkv", "out") else "mlp"
            for theirs, size in columns.items():
                name = f"model.layers.{layer}.{block}.{theirs}_proj.weight"
                yield Part(name, (size, rows), f"layers.{ours}", layer, (begin, begin + size))
                begin += size

        def biases(ours: str, layer: int = layer, **columns: int) -> Iterator[Part]:
            begin = 0
            for theirs, size in columns.items():
                name = f"model.layers.{layer}.self_attn.{theirs}_proj.bias"
                yield Part(name, (size,), f"layers.{ours}", layer, (begin, begin + size))
                begin += size

        yield norm("input_layernorm", "attention_norm", c.width)
        yield from matrices("qkv", c.width, q=inner, k=kv, v=kv)
        if c.qk_norm:
            yield norm("self_attn.q_norm", "query_norm", c.head_dim)
            yield norm("self_attn.k_norm", "key_norm", c.head_dim)
        yield from matrices("out", inner, o=c.width)
        if c.attention_bias != "none":
            yield from biases("qkv_bias", q=inner, k=kv, v=kv)
        if c.attention_bias == "all":
            yield from biases("out_bias", o=c.width)
        yield norm("post_attention_layernorm", "ffn_norm", c.width)
        yield from matrices("gate_up", c.width, gate=c.ffn, up=c.ffn)
        yield from matrices("down", c.ffn, down=c.width)
    yield Part("model.norm.weight", (c.width,), "norm")
    if score:
        yield Part("score.weight", (1, c.width), SCORE)
    elif not c.tie_embeddings:
        yield Part("lm_head.weight", (c.vocab, c.width), "output")


def to_hf(config: LlamaConfig, parameters: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Our parameters under transformers' names, each contiguous; those of a reward model if they have its head."""
    chosen = parts(config, SCORE in parameters)
    return {part.theirs: np.ascontiguousarray(part.place(parameters[part.ours])) for part in chosen}


def from_hf(config: LlamaConfig, read: Callable[[str], np.ndarray], score: bool = False) -> dict[str, np.ndarray]:
    """Parameters under our names, float32.

    Args:
        config: the model's shape.
        read: a tensor by transformers' name, of the shape that ``parts`` says.
        score: as of ``parts``.
    """
    everything = list(parts(config, score))
    width: dict[str, int] = {}
    for part in everything:
        if part.columns is not None:
            width[part.ours] = max(width.get(part.ours, 0), part.columns[1])
    parameters: dict[str, np.ndarray] = {}
    for part in everything:
        if part.ours not in parameters:
            own = part.shape if part.columns is None else (*part.shape[1:], width[part.ours])
            whole = own if part.layer is None else (config.depth, *own)
            parameters[part.ours] = np.empty(whole, np.float32)
        part.place(parameters[part.ours])[...] = read(part.theirs)
    if score:
        parameters[SCORE] = parameters[SCORE].reshape(config.width)
    return parameters
