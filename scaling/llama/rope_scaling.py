"""Scalings of the RoPE frequencies for contexts beyond the one of pre-training.

``RopeScaling`` alone has no ``kind``: it was there first, and the ids of runs keep its form.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import ConfigDict

_WHOLE = ConfigDict(extra="forbid")


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
    __pydantic_config__ = _WHOLE


@dataclass(frozen=True)
class LinearScaling:
    """Position interpolation: every frequency is slowed down by ``factor`` (2306.15595)."""

    factor: float
    kind: Literal["linear"] = "linear"
    __pydantic_config__ = _WHOLE


@dataclass(frozen=True)
class DynamicScaling:
    """Dynamic NTK scaling: a base that grows with the sequence at hand (2309.00071, appendix B.1).

    A sequence of s > ``seq_len`` tokens has the base theta (factor s / seq_len - factor + 1)^(D / (D - 2)); up to
    ``seq_len`` tokens nothing is scaled. So the same position has other logits within a longer sequence.
    """

    factor: float
    kind: Literal["dynamic"] = "dynamic"
    __pydantic_config__ = _WHOLE


@dataclass(frozen=True)
class YarnScaling:
    """YaRN (2309.00071, section 3): pairs that turn often within the old context are kept, the others interpolated.

    Attributes:
        factor: by which the slowest frequencies are slowed down.
        original_context: tokens of the old context.
        attention_factor: on cosine and sine, so that attention's logits grow by its square.
        beta_fast: turns within the old context from which on a pair is kept.
        beta_slow: turns up to which it is slowed down by all of ``factor``.
        truncate: whether the ramp between them begins and ends at whole pairs.
    """

    factor: float
    original_context: int
    attention_factor: float
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    kind: Literal["yarn"] = "yarn"
    __pydantic_config__ = _WHOLE


Scaling: TypeAlias = RopeScaling | LinearScaling | DynamicScaling | YarnScaling
