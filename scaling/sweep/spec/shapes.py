"""Shape rules: from a size to a Llama."""

import math
from dataclasses import replace

from pydantic import StrictBool, field_validator, model_validator

from scaling.data.tokenizer import BYTES
from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params
from scaling.llama.zoo import find
from scaling.quantity import format_quantity, parse_quantity
from scaling.sweep.spec.fields import Count, Positive, Ratio, Strict, show

_FARTHEST = 1.5
_LAYER_COST = 0.05
_KINDS = "a size is a number of parameters, a model's name or {width: ..., depth: ...}"


class Size(Strict):
    """A size: a number of parameters, a published model's name, or an exact shape.

    Attributes:
        params: total parameters, embeddings included, that the nearest shape of the family should have.
        model: name of a published Llama, such as ``llama3-8b``.
        width: exact width; with ``depth``.
        depth: exact number of layers.
        heads: with width and depth; otherwise from the family's ``head_dim``.
        kv_heads: with width and depth; otherwise from the family's ``kv_ratio``.
        ffn: with width and depth; otherwise from the family's ``ffn_ratio``.
    """

    params: Count | None = None
    model: str | None = None
    width: Count | None = None
    depth: Count | None = None
    heads: Count | None = None
    kv_heads: Count | None = None
    ffn: Count | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_scalar(cls, value: object) -> object:
        if isinstance(value, dict | Size):
            return value
        if not isinstance(value, str):
            raise ValueError(f"{_KINDS}, not {show(value)}")
        try:
            parse_quantity(value)
        except ValueError:
            return {"model": value}
        return {"params": value}

    @model_validator(mode="after")
    def _one_kind(self) -> "Size":
        exact = {"width", "depth", "heads", "kv_heads", "ffn"} & self.model_fields_set
        kinds = (self.params is not None) + (self.model is not None) + bool(exact)
        if kinds != 1 or (exact and (self.width is None or self.depth is None)):
            raise ValueError(_KINDS)
        return self

    def __str__(self) -> str:
        if self.params is not None:
            return format_quantity(self.params)
        return self.model or f"{self.width} wide, {self.depth} deep"


class ShapeRule(Strict):
    """A family of Llamas in which one number, the size, decides the shape.

    ``width = head_dim * heads``, of which one of the two is fixed and the other grows; ``depth`` is fixed, or
    ``width / width_per_layer`` to the nearest layer, or one more or less where that comes nearer to the size;
    ``kv_heads = heads / kv_ratio``; ``ffn = ffn_ratio * width``, rounded up to a multiple of ``ffn_multiple``.

    Attributes:
        vocab: entries of the vocabulary, at least the tokenizer's, which is taken where none is given.
        seq_len: context in training, in tokens.
        head_dim: of every head; even, as RoPE rotates pairs. Or:
        heads: how many, if wider models are to have wider heads rather than more.
        width_per_layer: aspect ratio, width / depth. Or:
        depth: the same for every size.
        kv_ratio: query heads for each key and value head.
        ffn_ratio: inner width of SwiGLU over width.
        ffn_multiple: what the inner width is rounded up to a multiple of.
        tie_embeddings: the output head is the embedding, transposed.
        rope_theta: base of the RoPE frequencies.
        qk_norm: RMSNorm on each head's queries and keys.
    """

    vocab: Count = BYTES.vocab
    seq_len: Count
    head_dim: Count | None = None
    heads: Count | None = None
    width_per_layer: Ratio | None = None
    depth: Count | None = None
    kv_ratio: Count = 1
    ffn_ratio: Ratio = 8 / 3
    ffn_multiple: Count = 8
    tie_embeddings: StrictBool = True
    rope_theta: Positive = 10000.0
    qk_norm: StrictBool = False

    @field_validator("head_dim")
    @classmethod
    def _even(cls, value: int | None) -> int | None:
        if value is not None and value % 2:
            raise ValueError(f"{value} is odd; RoPE rotates pairs")
        return value

    @model_validator(mode="after")
    def _one_way(self) -> "ShapeRule":
        for one, other in (("head_dim", "heads"), ("width_per_layer", "depth")):
            if (getattr(self, one) is None) == (getattr(self, other) is None):
                raise ValueError(f"needs exactly one of {one} and {other}")
        return self

    def resolve(self, size: Size) -> LlamaConfig:
        """Finds the Llama of a size.

        Raises:
            InputError: an exact shape that does not divide, an unknown model, or no shape within a factor of
                1.5 of the number of parameters.
        """
        if size.model is not None:
            return replace(find(size.model).config, vocab=self.vocab, seq_len=self.seq_len)
        if size.params is not None:
            return self._nearest(size.params)
        assert size.width is not None
        assert size.depth is not None
        heads = size.heads or self.heads
        if heads is None:
            assert self.head_dim is not None
            if size.width % self.head_dim:
                raise InputError(f"width {size.width} is not a multiple of head_dim {self.head_dim}; give heads too")
            heads = size.width // self.head_dim
        return self._config(size.width, size.depth, heads, size.kv_heads, size.ffn)

    def _config(self, width: int, depth: int, heads: int, kv_heads: int | None, ffn: int | None) -> LlamaConfig:
        if kv_heads is None:
            if heads > self.kv_ratio and heads % self.kv_ratio:
                raise InputError(f"heads {heads} is not a multiple of kv_ratio {self.kv_ratio}; give kv_heads too")
            kv_heads = max(1, heads // self.kv_ratio)
        if ffn is None:
            # A ratio written to a few digits, 2.6667 for 8/3, must not tip over into the next multiple.
            ffn = max(1, math.ceil(self.ffn_ratio * width / self.ffn_multiple * (1 - 1e-4))) * self.ffn_multiple
        return LlamaConfig(
            vocab=self.vocab,
            width=width,
            depth=depth,
            heads=heads,
            kv_heads=kv_heads,
            ffn=ffn,
            seq_len=self.seq_len,
            rope_theta=self.rope_theta,
            tie_embeddings=self.tie_embeddings,
            qk_norm=self.qk_norm,
        )

    def _member(self, index: int, more_layers: int = 0) -> LlamaConfig:
        """The family's members in order of width; growing heads are 1, 2, ... below kv_ratio, then its multiples."""
        if self.heads is not None:
            heads = self.heads
            width = 2 * heads * index
        else:
            assert self.head_dim is not None
            heads = index if index < self.kv_ratio else (index - self.kv_ratio + 1) * self.kv_ratio
            width = self.head_dim * heads
        if self.depth is not None:
            return self._config(width, self.depth, heads, None, None)
        assert self.width_per_layer is not None
        depth = max(1, max(1, math.floor(width / self.width_per_layer + 0.5)) + more_layers)
        return self._config(width, depth, heads, None, None)

    def _nearest(self, params: int) -> LlamaConfig:
        def total(config: LlamaConfig) -> int:
            return count_params(config).total

        high = 1
        while total(self._member(high)) < params:
            high *= 2
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if total(self._member(middle)) < params else (low, middle)

        def miss(choice: tuple[int, int]) -> float:
            # Close to the size and to the family: a layer off its rule counts as 5 % of the size.
            return abs(math.log(total(self._member(*choice)) / params)) + _LAYER_COST * abs(choice[1])

        near = range(max(1, high - 3), high + 3)
        config = self._member(*min(((index, more) for index in near for more in (0, -1, 1)), key=miss))
        if abs(math.log(total(config) / params)) > math.log(_FARTHEST):
            raise InputError(
                f"no shape of this family is near {format_quantity(params)} parameters: the nearest, "
                f"{config.width} wide and {config.depth} deep, has {format_quantity(total(config))}; "
                "take another size, or give {width: ..., depth: ...}"
            )
        return config
