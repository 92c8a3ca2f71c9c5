"""The shape of a Llama: frozen, and checked when it is made."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from scaling.errors import InputError
from scaling.llama.rope_scaling import DynamicScaling, RopeScaling, Scaling

__all__ = ["LlamaConfig", "RopeScaling", "canonical"]


@dataclass(frozen=True)
class LlamaConfig:
    """A Llama's architecture (2302.13971; grouped-query attention from 2307.09288).

    Attributes:
        vocab: entries of the vocabulary.
        width: of the residual stream (``hidden_size``).
        depth: number of layers.
        heads: query heads.
        kv_heads: key and value heads; divides ``heads``.
        ffn: inner width of the SwiGLU block (``intermediate_size``).
        seq_len: longest context, in tokens.
        rope_theta: base of the RoPE frequencies.
        rope_scaling: Llama 3.1's scaling, another's, or None.
        norm_eps: added to the mean square in RMSNorm.
        tie_embeddings: the output head is the embedding, transposed.
        qk_norm: RMSNorm on each head's queries and keys; no published Llama up to 3 has it.
        head_size: width of a head where it is not ``width / heads``, as in Qwen3 (2505.09388) and Mistral NeMo.
        attention_bias: ``qkv``: biases of queries, keys and values, as in Qwen2 (2407.10671); ``all``: of attention's
            output too; no published Llama has any.

    Raises:
        InputError: one line per impossible value.
    """

    vocab: int
    width: int
    depth: int
    heads: int
    kv_heads: int
    ffn: int
    seq_len: int
    rope_theta: float = 10000.0
    rope_scaling: Scaling | None = None
    norm_eps: float = 1e-5
    tie_embeddings: bool = False
    qk_norm: bool = False
    head_size: int | None = None
    attention_bias: Literal["none", "qkv", "all"] = "none"

    @property
    def head_dim(self) -> int:
        """Width of a head, even, as RoPE rotates pairs: ``head_size``, by default ``width / heads``."""
        return self.width // self.heads if self.head_size is None else self.head_size

    @property
    def attention_width(self) -> int:
        """Width of all query heads together, and of what attention mixes: ``heads * head_dim``."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Width of all keys, and of all values: ``kv_heads * head_dim``."""
        return self.kv_heads * self.head_dim

    def __post_init__(self) -> None:
        violations = [
            f"{name} is {getattr(self, name)}; it must be a positive whole number"
            for name in ("vocab", "width", "depth", "heads", "kv_heads", "ffn", "seq_len")
            if getattr(self, name) < 1
        ]
        if self.head_size is not None and self.head_size < 1:
            violations.append(f"head_size is {self.head_size}; it must be a positive whole number")
        if not violations:
            if self.head_size is None and self.width % self.heads:
                violations.append(f"width {self.width} is not a multiple of heads {self.heads}")
            elif self.head_dim % 2:
                from_width = "" if self.head_size else f" (width {self.width} / heads {self.heads})"
                violations.append(f"head_dim {self.head_dim}{from_width} is odd; RoPE needs pairs")
            elif self.head_dim == 2 and isinstance(self.rope_scaling, DynamicScaling):
                violations.append("head_dim is 2; dynamic RoPE scaling needs two pairs")
            if self.heads % self.kv_heads:
                violations.append(f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")
        if violations:
            raise InputError(violations)


# Fields that no sweep sets; where they are at their defaults the canonical form leaves them out, so that runs keep
# the ids that they had before there were such fields.
_LATER = ("head_size", "attention_bias")


def canonical(config: LlamaConfig) -> dict[str, Any]:
    """A shape's fields and their values, as JSON has them: what ids are the hash of."""
    fields = type(config).__dataclass_fields__
    content = asdict(config)
    return {name: value for name, value in content.items() if name not in _LATER or value != fields[name].default}
