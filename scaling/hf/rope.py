"""RoPE in transformers' ``config.json``, and back: its base, and the scalings of the Llama family.

Version 4 writes ``rope_theta`` and ``rope_scaling``, version 5 ``rope_parameters`` with both. Where a file has
``rope_scaling``, either version takes that.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.rope_scaling import DynamicScaling, LinearScaling, RopeScaling, Scaling, YarnScaling

_READ = ("default", "linear", "dynamic", "yarn", "llama3")
_KINDS: dict[type[Scaling], str] = {
    LinearScaling: "linear",
    DynamicScaling: "dynamic",
    YarnScaling: "yarn",
    RopeScaling: "llama3",
}
# Fields of our scalings under transformers' names.
_NAMES = {
    "factor": "factor",
    "low_freq_factor": "low_freq_factor",
    "high_freq_factor": "high_freq_factor",
    "original_context": "original_max_position_embeddings",
    "beta_fast": "beta_fast",
    "beta_slow": "beta_slow",
    "attention_factor": "attention_factor",
    "truncate": "truncate",
}


def rope_fields(model: LlamaConfig) -> dict[str, Any]:
    """The fields of ``config.json`` on RoPE, as both versions of transformers read them."""
    scaling = model.rope_scaling
    rope: dict[str, Any] = {"rope_type": "default"}
    if scaling is not None:
        rope = {"rope_type": _KINDS[type(scaling)]}
        rope |= {theirs: getattr(scaling, ours) for ours, theirs in _NAMES.items() if hasattr(scaling, ours)}
    return {
        "rope_theta": model.rope_theta,
        "rope_scaling": rope if scaling else None,
        "rope_parameters": {**rope, "rope_theta": model.rope_theta},
    }


def rope_of(config: Mapping[str, Any]) -> tuple[float, Scaling | None]:
    """The base of the frequencies and their scaling.

    Raises:
        InputError: a line for each value that cannot be read.
    """
    name = "rope_scaling" if config.get("rope_scaling") else "rope_parameters"
    rope = config.get(name) or {}
    if not isinstance(rope, dict):
        raise InputError(f"{name} is {rope!r}; it must map keys to values")
    if nested := [key for key, value in rope.items() if isinstance(value, dict)]:
        raise InputError(f"{name} has an entry {nested[0]!r}; only one RoPE for all layers can be read")
    theta = rope.get("rope_theta")
    read = _Reader({**rope, "rope_theta": config.get("rope_theta", 10000.0) if theta is None else theta})
    scaling = _scaling(read, config)
    read.positive("rope_theta")
    rotated = rope.get("partial_rotary_factor", config.get("partial_rotary_factor"))
    if rotated not in (None, 1.0):
        read.violations.append(f"partial_rotary_factor is {rotated!r}; only 1.0 can be read")
    if read.violations:
        raise InputError(read.violations)
    return float(read.values["rope_theta"]), scaling


@dataclass
class _Reader:
    """The values on RoPE, and a line for each that was read and is not what it must be."""

    values: dict[str, Any]

    def __post_init__(self) -> None:
        self.violations: list[str] = []

    def positive(self, name: str, default: float | None = None) -> float:
        value = self.values.get(name)
        value = default if value is None else value
        if violation := not_positive(name, value):
            self.violations.append(violation)
            return 1.0
        assert value is not None
        return float(value)

    def context(self, config: Mapping[str, Any]) -> int:
        """The old context: the config's own field, else the rope's, else all of the context, as in version 5."""
        name = "original_max_position_embeddings"
        self.values[name] = next(
            (given for given in (config.get(name), self.values.get(name)) if given is not None),
            config.get("max_position_embeddings"),
        )
        value = self.positive(name)
        if value % 1:
            self.violations.append(f"{name} is {value!r}; it must be a whole number")
        return max(1, int(value))


def _scaling(read: _Reader, config: Mapping[str, Any]) -> Scaling | None:
    kind = read.values.get("rope_type") or read.values.get("type") or "default"
    if kind not in _READ:
        read.violations.append(f"rope_type is {kind!r}; only {', '.join(_READ)} can be read")
    if kind == "linear":
        return LinearScaling(read.positive("factor"))
    if kind == "dynamic":
        return DynamicScaling(read.positive("factor"))
    if kind == "llama3":
        low, high = read.positive("low_freq_factor"), read.positive("high_freq_factor")
        if high <= low and not read.violations:
            read.violations.append(f"high_freq_factor is {high:g}; it must be above low_freq_factor, {low:g}")
        return RopeScaling(read.positive("factor"), low, high, read.context(config))
    return _yarn(read, config) if kind == "yarn" else None


def _yarn(read: _Reader, config: Mapping[str, Any]) -> YarnScaling:
    """YaRN's scaling with version 5's defaults; version 4 took its attention factor from the ratio of the contexts."""
    original = read.context(config)
    whole = config.get("max_position_embeddings")  # which may be refused elsewhere
    factor = read.positive("factor", min(whole, 2**40) / original if isinstance(whole, int) else None)
    truncate = read.values.get("truncate", True)
    if not isinstance(truncate, bool):
        read.violations.append(f"truncate is {truncate!r}; it must be true or false")
    theta = read.values["rope_theta"]
    if isinstance(theta, int | float) and 0 < theta <= 1:
        read.violations.append(f"rope_theta is {theta:g}; yarn needs one above 1")
    # Version 5 takes no scale where one of the two is missing or 0.
    scales = [read.values.get(name) for name in ("mscale", "mscale_all_dim")]
    attention = _growth(factor)
    if all(scales):
        attention = math.prod(
            _growth(factor, read.positive(name)) ** power for name, power in (("mscale", 1), ("mscale_all_dim", -1))
        )
    return YarnScaling(
        factor,
        original,
        attention_factor=read.positive("attention_factor", attention),
        beta_fast=read.positive("beta_fast", 32.0),
        beta_slow=read.positive("beta_slow", 1.0),
        truncate=bool(truncate),
    )


def _growth(factor: float, scale: float = 1.0) -> float:
    """The attention factor that suits a scaling (2309.00071, equation 22), with DeepSeek's scale (2405.04434)."""
    return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0


def not_positive(name: str, value: Any) -> str | None:
    """What is wrong with a value that must be a positive number; None if nothing is."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 1e-30 < value < 1e30:
        return None
    return f"{name} is {value!r}; it must be a positive number"
