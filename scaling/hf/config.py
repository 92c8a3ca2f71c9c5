"""A Llama's shape as transformers' ``config.json``, and back.

With normalised queries and keys it is what transformers calls Qwen3 (2505.09388), and nothing else differs.
"""

from collections.abc import Mapping
from typing import Any

from scaling.errors import InputError
from scaling.llama.config import LlamaConfig, RopeScaling

_ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM"}
# What else a config.json may request, and the value with which it requests nothing.
_PLAIN: dict[str, Any] = {
    "attention_bias": False,
    "mlp_bias": False,
    "hidden_act": "silu",
    "use_sliding_window": False,
    "partial_rotary_factor": 1.0,
    "quantization_config": None,
}
_COUNTS = {
    "vocab": "vocab_size",
    "width": "hidden_size",
    "depth": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "ffn": "intermediate_size",
    "seq_len": "max_position_embeddings",
}
_SCALING = {
    "factor": "factor",
    "low_freq_factor": "low_freq_factor",
    "high_freq_factor": "high_freq_factor",
    "original_context": "original_max_position_embeddings",
}


def config_of(model: LlamaConfig, end: int | None) -> dict[str, Any]:
    """The ``config.json`` of a model in float32, as versions 4 and 5 of transformers read it.

    Args:
        model: its shape.
        end: id that closes a document, at which generation ends; None if it is not known.
    """
    kind = "qwen3" if model.qk_norm else "llama"
    rope: dict[str, Any] = {"rope_type": "default"}
    if model.rope_scaling is not None:
        rope = {"rope_type": "llama3"}
        rope |= {theirs: getattr(model.rope_scaling, ours) for ours, theirs in _SCALING.items()}
    return {
        "architectures": [_ARCHITECTURES[kind]],
        "model_type": kind,
        **{theirs: getattr(model, ours) for ours, theirs in _COUNTS.items()},
        "head_dim": model.head_dim,
        "rms_norm_eps": model.norm_eps,
        "tie_word_embeddings": model.tie_embeddings,
        "rope_theta": model.rope_theta,
        "rope_scaling": rope if model.rope_scaling else None,
        "rope_parameters": {**rope, "rope_theta": model.rope_theta},
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": None,
        "torch_dtype": "float32",
        "dtype": "float32",
    }


def llama_of(config: Mapping[str, Any], where: str) -> LlamaConfig:
    """The shape that a ``config.json`` describes.

    Args:
        config: its content.
        where: the file, for messages.

    Raises:
        InputError: a line for everything that is missing, or that a ``LlamaConfig`` cannot hold.
    """
    kind = config.get("model_type")
    if kind not in _ARCHITECTURES:
        raise InputError(f"{where}: model_type is {kind!r}; only {' and '.join(_ARCHITECTURES)} are read")
    violations = [
        f"{where}: {name} is {config[name]!r}; only {plain!r} can be read"
        for name, plain in _PLAIN.items()
        if config.get(name, plain) not in (plain, None)
    ]
    given = {"max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "tie_word_embeddings": False, **config}
    if given.get("num_key_value_heads") is None:  # before there was grouped-query attention
        given["num_key_value_heads"] = given.get("num_attention_heads")
    for name in _COUNTS.values():
        if not isinstance(given.get(name), int) or isinstance(given[name], bool):
            violations.append(f"{where}: {name} is {given.get(name)!r}; it must be a whole number")
    if not isinstance(given["tie_word_embeddings"], bool):
        violations.append(f"{where}: tie_word_embeddings is {given['tie_word_embeddings']!r}; it must be true or false")
    numbers = {"rms_norm_eps": given["rms_norm_eps"], "rope_theta": _theta(given)}
    scaling, unreadable = _scaling(given)
    violations += [f"{where}: {violation}" for violation in [*_odd(numbers), *unreadable]]
    if violations:
        raise InputError(violations)
    try:
        model = LlamaConfig(
            **{ours: given[theirs] for ours, theirs in _COUNTS.items()},
            rope_theta=float(numbers["rope_theta"]),
            rope_scaling=scaling,
            norm_eps=float(numbers["rms_norm_eps"]),
            tie_embeddings=given["tie_word_embeddings"],
            qk_norm=kind == "qwen3",
        )
    except InputError as error:
        raise InputError([f"{where}: {line}" for line in error.errors]) from None
    head_dim = given.get("head_dim")
    if head_dim not in (None, model.head_dim):
        line = f"head_dim is {head_dim!r}; only hidden_size / num_attention_heads = {model.head_dim} can be read"
        raise InputError(f"{where}: {line}")
    return model


def _rope(config: Mapping[str, Any]) -> Any:
    """The field on RoPE: version 5's, else version 4's."""
    return config.get("rope_parameters") or config.get("rope_scaling") or {}


def _theta(config: Mapping[str, Any]) -> Any:
    rope = _rope(config)
    of_rope = rope.get("rope_theta") if isinstance(rope, dict) else None
    return config.get("rope_theta", 10000.0) if of_rope is None else of_rope


def _scaling(config: Mapping[str, Any]) -> tuple[RopeScaling | None, list[str]]:
    """Llama 3.1's scaling if the config requests it, and a line for each value that cannot be read."""
    rope = _rope(config)
    if not isinstance(rope, dict):
        return None, [f"rope_parameters is {rope!r}; it must map keys to values"]
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return None, []
    if kind != "llama3":
        return None, [f"rope_type is {kind!r}; only 'default' and 'llama3' can be read"]
    if odd := _odd({name: rope.get(name) for name in _SCALING.values()}):
        return None, odd
    numbers = {ours: rope[theirs] for ours, theirs in _SCALING.items()}
    return RopeScaling(**{**numbers, "original_context": int(numbers["original_context"])}), []


def _odd(values: Mapping[str, Any]) -> list[str]:
    """A line for each value that is not a positive number."""
    return [
        f"{name} is {value!r}; it must be a positive number"
        for name, value in values.items()
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf")
    ]
