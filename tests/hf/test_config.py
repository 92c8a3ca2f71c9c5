"""What a config.json says of the shape, field by field: what is read, and what is refused by name."""

from typing import Any

import pytest

from scaling.errors import InputError
from scaling.hf.config import config_of, llama_of
from scaling.llama.config import LlamaConfig, RopeScaling
from scaling.llama.counts import count_params
from scaling.llama.rope_scaling import DynamicScaling, LinearScaling, YarnScaling

CONFIG = {
    "model_type": "llama",
    "vocab_size": 12,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 6,
    "max_position_embeddings": 64,
}
QWEN3 = {"model_type": "qwen3", "vocab_size": 151936, "head_dim": 128, "num_key_value_heads": 8, "rope_theta": 1e6}
# Parameters as the model cards and checkpoints of the published models have them.
PUBLISHED: dict[str, tuple[dict[str, Any], int]] = {
    "Qwen3 0.6B": ({**QWEN3, "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16,
        "intermediate_size": 3072, "tie_word_embeddings": True}, 596_049_920),
    "Qwen3 4B": ({**QWEN3, "hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32,
        "intermediate_size": 9728, "tie_word_embeddings": True}, 4_022_468_096),
    "Qwen3 32B": ({**QWEN3, "hidden_size": 5120, "num_hidden_layers": 64, "num_attention_heads": 64,
        "intermediate_size": 25600}, 32_762_123_264),
    "Mistral NeMo": ({"model_type": "mistral", "vocab_size": 131072, "head_dim": 128, "num_key_value_heads": 8,
        "hidden_size": 5120, "num_hidden_layers": 40, "num_attention_heads": 32, "intermediate_size": 14336,
        "sliding_window": None}, 12_247_782_400),
    "Qwen2.5 7B": ({"model_type": "qwen2", "vocab_size": 152064, "num_key_value_heads": 4, "hidden_size": 3584,
        "num_hidden_layers": 28, "num_attention_heads": 28, "intermediate_size": 18944,
        "use_sliding_window": False, "sliding_window": 131072}, 7_615_616_512),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_have_their_number_of_parameters(name: str) -> None:
    fields, params = PUBLISHED[name]
    model = llama_of({**CONFIG, "max_position_embeddings": 32768, **fields}, "config.json")
    assert count_params(model).total == params
    assert llama_of(config_of(model, {}), "config.json") == model


def read(**fields: Any) -> LlamaConfig:
    return llama_of({**CONFIG, **fields}, "config.json")


@pytest.mark.parametrize(
    ("fields", "head_dim", "head_size"),
    [
        ({}, 4, None),
        ({"head_dim": None}, 4, None),
        ({"head_dim": 4}, 4, None),
        ({"head_dim": 16}, 16, 16),
        ({"model_type": "qwen3"}, 128, 128),  # what transformers takes where the file says nothing
        ({"model_type": "qwen3", "head_dim": None}, 4, None),
        ({"model_type": "mistral", "sliding_window": 64, "hidden_size": 9, "head_dim": 6}, 6, 6),
    ],
)
def test_head_dim(fields: dict[str, Any], head_dim: int, head_size: int | None) -> None:
    model = read(**fields)
    assert (model.head_dim, model.head_size) == (head_dim, head_size)


@pytest.mark.parametrize(
    ("kind", "fields", "biases"),
    [
        ("llama", {}, "none"),
        ("llama", {"attention_bias": None}, "none"),
        ("llama", {"attention_bias": True}, "all"),
        ("qwen3", {"attention_bias": True}, "all"),
        ("qwen2", {}, "qkv"),
        ("qwen2", {"attention_bias": False}, "qkv"),
        ("mistral", {"sliding_window": None, "attention_bias": True}, "none"),
    ],
)
def test_biases(kind: str, fields: dict[str, Any], biases: str) -> None:
    assert read(model_type=kind, **fields).attention_bias == biases


LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
ROPES: list[tuple[dict[str, Any], object]] = [
    ({}, None),
    ({"rope_scaling": {"type": "linear", "factor": 2}}, LinearScaling(2.0)),
    ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5.0}}, LinearScaling(2.0)),
    ({"rope_scaling": {"type": "dynamic", "rope_type": "dynamic", "factor": 8.0}}, DynamicScaling(8.0)),
    ({"rope_scaling": {"rope_type": "llama3", **LLAMA3}}, RopeScaling(original_context=64)),
    (
        {"rope_scaling": {"type": "yarn", "factor": 1.0, "original_max_position_embeddings": 32}},
        YarnScaling(1.0, 32, attention_factor=1.0),
    ),
    (
        {"rope_scaling": {"type": "yarn", "attention_factor": 2.0}, "original_max_position_embeddings": 16},
        YarnScaling(4.0, 16, attention_factor=2.0),
    ),
    # Where a file has both spellings, both versions of transformers take the older.
    (
        {"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": {"rope_type": "dynamic", "factor": 3.0}},
        LinearScaling(2.0),
    ),
]


@pytest.mark.parametrize(("fields", "scaling"), ROPES)
def test_rope(fields: dict[str, Any], scaling: object) -> None:
    assert read(**fields).rope_scaling == scaling


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"model_type": "gemma2"}, ["model_type is 'gemma2'; only llama, mistral, qwen2, qwen3 are read"]),
    ({"model_type": "mistral"}, ["sliding_window is 4096, and max_position_embeddings 131072"]),
    ({"model_type": "mistral", "sliding_window": 63}, ["sliding_window is 63, and max_position_embeddings 64"]),
    (
        {"model_type": "qwen3", "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
        ["sliding_window is 8"],
    ),
    (
        {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 8, "max_window_layers": None},
        ["sliding_window is 8"],
    ),
    (
        {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 8, "layer_types": ["sliding_attention"]},
        ["sliding_window is 8"],
    ),
    ({"model_type": ["llama"]}, ["model_type is ['llama']"]),
    ({"num_hidden_layers": 10**9}, ["num_hidden_layers is 1000000000; it must be a whole number, at most 10000"]),
    ({"max_position_embeddings": 10**400}, ["max_position_embeddings is 1000"]),
    ({"rope_theta": 10**400}, ["rope_theta is 1000"]),
    ({"mlp_bias": True}, ["mlp_bias is True; only False can be read"]),
    ({"attention_bias": "yes"}, ["attention_bias is 'yes'; it must be true or false"]),
    ({"head_dim": 7}, ["head_dim 7 is odd; RoPE needs pairs"]),
    ({"head_dim": 0}, ["head_dim is 0; it must be a positive whole number"]),
    ({"head_dim": "128", "mlp_bias": True}, ["mlp_bias", "head_dim is '128'"]),
    ({"hidden_size": 9, "head_dim": 4}, ["width 9 is not a multiple of heads 2"]),
    ({"rope_scaling": {"type": "longrope"}}, ["rope_type is 'longrope'; only default, linear, dynamic, yarn, llama3"]),
    ({"rope_scaling": {"type": "su", "factor": 2.0}}, ["rope_type is 'su'"]),
    ({"rope_scaling": {"type": "linear"}}, ["factor is None; it must be a positive number"]),
    ({"rope_scaling": {"type": "dynamic", "factor": 0}}, ["factor is 0"]),
    ({"rope_scaling": {"type": "dynamic", "factor": 2.0}, "head_dim": 2}, ["dynamic RoPE scaling needs two pairs"]),
    (
        {"rope_scaling": {"type": "llama3", **LLAMA3, "high_freq_factor": 1.0}},
        ["high_freq_factor is 1; it must be above low_freq_factor, 1"],
    ),
    (
        {"rope_scaling": {"type": "yarn", "factor": "4", "beta_fast": -1, "truncate": 0, "mscale": "a"}},
        ["factor is '4'", "truncate is 0", "beta_fast is -1"],
    ),
    ({"rope_scaling": {"type": "yarn", "factor": 4.0}, "rope_theta": 1.0}, ["rope_theta is 1; yarn needs one above 1"]),
    ({"rope_scaling": {"factor": 2.0, "type": "linear"}, "rope_theta": "1e4"}, ["rope_theta is '1e4'"]),
    ({"rope_parameters": {"full_attention": {"rope_type": "default"}}}, ["only one RoPE for all layers can be read"]),
    ({"rope_parameters": {"partial_rotary_factor": 0.5}}, ["partial_rotary_factor is 0.5; only 1.0 can be read"]),
    ({"partial_rotary_factor": 0.25}, ["partial_rotary_factor is 0.25"]),
    ({"rope_scaling": [4.0]}, ["rope_scaling is [4.0]; it must map keys to values"]),
]


@pytest.mark.parametrize(("fields", "expected"), REFUSED)
def test_refused_by_name(fields: dict[str, Any], expected: list[str]) -> None:
    config = {**CONFIG, **fields}
    if fields == {"model_type": "mistral"}:
        del config["max_position_embeddings"]
    with pytest.raises(InputError) as refused:
        llama_of(config, "config.json")
    assert len(refused.value.errors) == len(expected), refused.value.errors
    for line, part in zip(refused.value.errors, expected, strict=True):
        assert line.startswith("config.json: ")
        assert part in line


def test_shapes_that_transformers_has_not_are_not_written() -> None:
    shape = LlamaConfig(vocab=8, width=8, depth=1, heads=2, kv_heads=1, ffn=8, seq_len=8, qk_norm=True)
    with pytest.raises(InputError, match="no architecture of transformers has attention_bias 'qkv' with qk_norm True"):
        config_of(LlamaConfig(**{**vars(shape), "attention_bias": "qkv"}), {})
