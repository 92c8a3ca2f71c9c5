"""A Llama's shape as transformers' ``config.json``, and back.

Four of its architectures are Llamas: ``llama`` itself; ``qwen2`` with biases of queries, keys and values (2407.10671);
``qwen3`` with normalised queries and keys (2505.09388); and ``mistral``, where attention's window is the whole context.
"""

from collections.abc import Mapping
from typing import Any, Literal

from scaling.errors import InputError
from scaling.hf.rope import not_positive, rope_fields, rope_of
from scaling.llama.config import LlamaConfig

CAUSAL, CLASSIFIER = "ForCausalLM", "ForSequenceClassification"
_ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
_QWEN = {"max_position_embeddings": 32768, "num_key_value_heads": 32, "sliding_window": 4096}
# What transformers takes for a field that a file leaves out.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "llama": {"max_position_embeddings": 2048},
    "mistral": {"max_position_embeddings": 131072, "num_key_value_heads": 8, "sliding_window": 4096},
    "qwen2": _QWEN,
    "qwen3": {**_QWEN, "head_dim": 128},
}
# What else a config.json may request, and the value with which it requests nothing.
_PLAIN: dict[str, tuple[Any, ...]] = {"mlp_bias": (False,), "hidden_act": ("silu", "swish")}
_OTHER_HEADS = ("ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice", "RewardModel", "WithValueHead")
_MOST, _MOST_LAYERS = 2**40, 10_000
_COUNTS = {
    "vocab": "vocab_size",
    "width": "hidden_size",
    "depth": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "ffn": "intermediate_size",
    "seq_len": "max_position_embeddings",
}


def config_of(model: LlamaConfig, special_ids: Mapping[str, Any], score: bool = False) -> dict[str, Any]:
    """The ``config.json`` of a model in float32, as versions 4 and 5 of transformers read it.

    Args:
        model: its shape.
        special_ids: of the tokens that begin and end a text and fill a batch, by their fields' names.
        score: whether it is a reward model, a sequence classifier with one label.

    Raises:
        InputError: no architecture of transformers has this shape.
    """
    kind = _kind_of(model)
    biased = model.attention_bias == "all"
    return {
        "architectures": [_ARCHITECTURES[kind].replace(CAUSAL, CLASSIFIER) if score else _ARCHITECTURES[kind]],
        "model_type": kind,
        **{theirs: getattr(model, ours) for ours, theirs in _COUNTS.items()},
        "head_dim": model.head_dim,
        "rms_norm_eps": model.norm_eps,
        "tie_word_embeddings": model.tie_embeddings,
        **rope_fields(model),
        "hidden_act": "silu",
        **({"attention_bias": biased, "mlp_bias": False} if kind in ("llama", "qwen3") else {}),
        **({"sliding_window": None} if kind == "mistral" else {}),
        "attention_dropout": 0.0,
        **special_ids,
        **({"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}} if score else {}),
        "torch_dtype": "float32",
        "dtype": "float32",
    }


def _kind_of(model: LlamaConfig) -> str:
    """The architecture that has a shape; Mistral's is Llama's, but its width need not be a multiple of the heads."""
    if model.qk_norm and model.attention_bias != "qkv":
        return "qwen3"
    if not model.qk_norm and model.attention_bias == "qkv":
        return "qwen2"
    if not model.qk_norm and model.width % model.heads == 0:
        return "llama"
    if not model.qk_norm and model.attention_bias == "none":
        return "mistral"
    raise InputError(
        f"no architecture of transformers has attention_bias {model.attention_bias!r} with qk_norm "
        f"{model.qk_norm}, width {model.width} and {model.heads} heads"
    )


def has_score(config: Mapping[str, Any], where: str) -> bool:
    """Whether a ``config.json`` is that of a reward model, rather than of a language model.

    Raises:
        InputError: it has several labels, or is of a class with another head.
    """
    names = config.get("architectures") or [CAUSAL]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{where}: architectures is {names!r}; it must be a list of names")
    if other := [name for name in names if name.endswith(_OTHER_HEADS)]:
        raise InputError(f"{where}: architectures is {other[0]}; only classes {CAUSAL} and {CLASSIFIER} are read")
    if not any(name.endswith(CLASSIFIER) for name in names):
        return False
    labels = config.get("id2label")
    count = config.get("num_labels", len(labels) if isinstance(labels, dict) else 2)  # as transformers has it
    if count != 1:
        raise InputError(f"{where}: num_labels is {count!r}; a reward model has one score, num_labels 1")
    return True


def llama_of(config: Mapping[str, Any], where: str) -> LlamaConfig:
    """The shape that a ``config.json`` describes.

    Args:
        config: its content.
        where: the file, for messages.

    Raises:
        InputError: a line for everything that is missing, or that a ``LlamaConfig`` cannot hold.
    """
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in _ARCHITECTURES:
        raise InputError(f"{where}: model_type is {kind!r}; only {', '.join(_ARCHITECTURES)} are read")
    given = {"rms_norm_eps": 1e-6, "tie_word_embeddings": False, "attention_bias": False, **_DEFAULTS[kind], **config}
    if given.get("num_key_value_heads") is None:  # before there was grouped-query attention
        given["num_key_value_heads"] = given.get("num_attention_heads")
    violations = _violations(kind, given)
    try:
        theta, scaling = rope_of(given)
    except InputError as error:
        violations += error.errors
    if violations:
        raise InputError([f"{where}: {violation}" for violation in violations])
    counts = {ours: given[theirs] for ours, theirs in _COUNTS.items()}
    head_dim = given.get("head_dim")
    try:
        return LlamaConfig(
            **counts,
            rope_theta=theta,
            rope_scaling=scaling,
            norm_eps=float(given["rms_norm_eps"]),
            tie_embeddings=given["tie_word_embeddings"],
            qk_norm=kind == "qwen3",
            head_size=None if head_dim is None or head_dim * counts["heads"] == counts["width"] else head_dim,
            attention_bias=_biases(kind, given["attention_bias"]),
        )
    except InputError as error:
        raise InputError([f"{where}: {line}" for line in error.errors]) from None


def _biases(kind: str, requested: bool | None) -> Literal["none", "qkv", "all"]:
    """Where attention has biases: Qwen2 always has its own, and Mistral none, whatever the file says."""
    if kind == "qwen2":
        return "qkv"
    return "all" if requested and kind != "mistral" else "none"


def _violations(kind: str, given: Mapping[str, Any]) -> list[str]:
    """A line for each field but those on RoPE that is not what it must be, or requests what cannot be held."""
    violations = [
        f"{name} is {given[name]!r}; only {plain[0]!r} can be read"
        for name, plain in _PLAIN.items()
        if given.get(name) not in (None, *plain)
    ]
    for name in _COUNTS.values():
        value, most = given.get(name), _MOST_LAYERS if name == "num_hidden_layers" else _MOST
        if not isinstance(value, int) or isinstance(value, bool) or value > most:
            violations.append(f"{name} is {value!r}; it must be a whole number, at most {most}")
    head_dim, heads, width = (given.get(name) for name in ("head_dim", "num_attention_heads", "hidden_size"))
    if head_dim is not None and (
        not isinstance(head_dim, int) or isinstance(head_dim, bool) or not 0 < head_dim < _MOST
    ):
        violations.append(f"head_dim is {head_dim!r}; it must be a positive whole number")
    for name, allowed in (("tie_word_embeddings", bool), ("attention_bias", bool | None)):
        if not isinstance(given[name], allowed):
            violations.append(f"{name} is {given[name]!r}; it must be true or false")
    if violation := not_positive("rms_norm_eps", given["rms_norm_eps"]):
        violations.append(violation)
    if violations:
        return violations
    if kind == "llama" and head_dim is not None and heads and heads > 0 and width % heads:  # as version 5 has it
        violations.append(f"width {width} is not a multiple of heads {heads}")
    window = _window(kind, given)
    if window is not None:
        violations.append(
            f"sliding_window is {window!r}, and max_position_embeddings {given['max_position_embeddings']}: attention "
            "within a window cannot be read"
        )
    return violations


def _window(kind: str, given: Mapping[str, Any]) -> Any:
    """The window of attention in some layer, if that is shorter than the context; else None."""
    window, context = given.get("sliding_window"), given["max_position_embeddings"]
    if kind == "llama" or window is None or (isinstance(window, int) and window >= context):
        return None
    if kind == "mistral":
        return window
    first, kinds = given.get("max_window_layers", 28), given.get("layer_types")
    if isinstance(kinds, list):
        slides = any(of_layer != "full_attention" for of_layer in kinds)
    else:
        slides = not isinstance(first, int) or first < given["num_hidden_layers"]
    return window if given.get("use_sliding_window") and slides else None
