"""The shape of a Llama: frozen, and checked when it is made."""

from dataclasses import dataclass

from scaling.errors import InputError


@dataclass(frozen=True)
class RopeScaling:
    """Llama 3.1's scaling of low RoPE frequencies for long contexts (2407.21783, section 3.4.3).

    Wavelengths beyond ``original_context / low_freq_factor`` tokens are slowed down by ``factor``, those below
    ``original_context / high_freq_factor`` are kept, and those between are interpolated.
    """

    factor: float = 8.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_context: int = 8192


@dataclass(frozen=True)
class LlamaConfig:
    """A Llama's architecture (2302.13971; grouped-query attention from 2307.09288).

    Attributes:
        vocab: entries of the vocabulary.
        width: of the residual stream (``hidden_size``).
        depth: number of layers.
        heads: query heads; ``head_dim = width / heads`` is even, as RoPE rotates pairs.
        kv_heads: key and value heads; divides ``heads``.
        ffn: inner width of the SwiGLU block (``intermediate_size``).
        seq_len: longest context, in tokens.
        rope_theta: base of the RoPE frequencies.
        rope_scaling: Llama 3.1's scaling, or None.
        norm_eps: added to the mean square in RMSNorm.
        tie_embeddings: the output head is the embedding, transposed.
        qk_norm: RMSNorm on each head's queries and keys; no published Llama up to 3 has it.

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
    rope_scaling: RopeScaling | None = None
    norm_eps: float = 1e-5
    tie_embeddings: bool = False
    qk_norm: bool = False

    @property
    def head_dim(self) -> int:
        """Width of a head: ``width / heads``."""
        return self.width // self.heads

    def __post_init__(self) -> None:
        violations = [
            f"{name} is {getattr(self, name)}; it must be a positive whole number"
            for name in ("vocab", "width", "depth", "heads", "kv_heads", "ffn", "seq_len")
            if getattr(self, name) < 1
        ]
        if not violations:
            if self.width % self.heads:
                violations.append(f"width {self.width} is not a multiple of heads {self.heads}")
            elif self.head_dim % 2:
                violations.append(
                    f"head_dim {self.head_dim} (width {self.width} / heads {self.heads}) is odd; RoPE needs pairs"
                )
            if self.heads % self.kv_heads:
                violations.append(f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")
        if violations:
            raise InputError(violations)
