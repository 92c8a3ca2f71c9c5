"""Models that transformers made, in either spelling of RoPE: read, and written again, they have the same logits."""

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from scaling.hf.folder import export_model, import_model, load_model
from scaling.llama.parameters import llama_with

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("torch"), pytest.mark.usefixtures("transformers")]

SHAPE = {
    "vocab_size": 90,
    "hidden_size": 64,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
# What is chosen of each, and the kind of model.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama with biases": ("llama", {"attention_bias": True}),
    "llama with head_dim and another epsilon": ("llama", {"head_dim": 24, "rms_norm_eps": 1e-3}),
    "llama tied": ("llama", {"tie_word_embeddings": True, "num_key_value_heads": 1}),
    "mistral with head_dim": ("mistral", {"head_dim": 12, "sliding_window": None}),
    "mistral of a width that heads do not divide": (
        "mistral",
        {"hidden_size": 70, "head_dim": 8, "sliding_window": 256},
    ),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}),
    "qwen2, its window off": ("qwen2", {"use_sliding_window": False, "sliding_window": 8}),
    "qwen2, its window in later layers": ("qwen2", {"use_sliding_window": True, "max_window_layers": 2}),
    "qwen3": ("qwen3", {"head_dim": 32}),
    "qwen3 with biases": ("qwen3", {"head_dim": 32, "attention_bias": True, "tie_word_embeddings": True}),
}
OLD = {"original_max_position_embeddings": 32}
ROPES: dict[str, dict[str, Any]] = {
    "plain": {"rope_type": "default", "rope_theta": 300.0},
    "linear": {"rope_type": "linear", "factor": 3.0},
    "dynamic": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 500.0},
    "llama3": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, **OLD},
    "llama3 of the whole context": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "rope_theta": 100.0,
    },
    "yarn": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4, **OLD},
    "yarn of the whole context": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 500.0},
    "yarn, ramp and attention chosen": {
        "rope_type": "yarn",
        "factor": 2.0,
        "beta_fast": 4.0,
        "beta_slow": 0.5,
        "attention_factor": 1.3,
        "truncate": False,
        "rope_theta": 200.0,
        **OLD,
    },
    "yarn as in DeepSeek": {"rope_type": "yarn", "factor": 40.0, "mscale": 1.0, "mscale_all_dim": 0.7, **OLD},
    "yarn with one scale": {"rope_type": "yarn", "factor": 40.0, "mscale": 0.7, **OLD},
}


def saved(transformers: Any, folder: Path, kind: str, fields: dict[str, Any]) -> Path:
    """A folder of a random model, large enough that every part is felt; biases and gains are random too."""
    import torch

    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **{**SHAPE, **fields})
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            mean, std = (1.0, 0.3) if "norm" in name else (0.0, 0.3 if name.endswith("bias") else 0.15)
            parameter.copy_(mean + std * torch.randn(parameter.shape))
    model.save_pretrained(folder)
    return folder


def in_the_words_of_version_4(folder: Path) -> None:
    file = folder / "config.json"
    config = json.loads(file.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    kind = rope.pop("rope_type")
    config["rope_scaling"] = None if kind == "default" else {"type": kind, **rope}
    file.write_text(json.dumps(config))


def agree(transformers: Any, folder: Path, out: Path) -> None:
    """Within 1e-4, at lengths within the context and beyond it: the folder's logits, ours, and our export's."""
    import torch

    import_model(folder, out / "imported")
    ours = llama_with(*load_model(out / "imported"))
    export_model(out / "imported", out / "exported")
    for seq in (40, 64, 100, 200):
        tokens = np.random.default_rng(seq).integers(0, SHAPE["vocab_size"], (2, seq))
        logits = [np.asarray(ours.logits(jnp.asarray(tokens, jnp.int32)))]
        for place in (folder, out / "exported"):
            # Made anew for every length: a dynamic base stays as long as the longest sequence wanted it.
            model, reported = transformers.AutoModelForCausalLM.from_pretrained(
                place, output_loading_info=True, attn_implementation="eager"
            )
            assert not any(reported.values())
            with torch.no_grad():
                logits.append(model(torch.from_numpy(tokens)).logits.numpy())
        assert logits[0].std() > 0.3
        for other in logits[1:]:
            np.testing.assert_allclose(logits[0], other, rtol=0, atol=1e-4)


@pytest.mark.parametrize("case", KINDS)
def test_every_kind_of_llama(case: str, tmp_path: Path, transformers: Any) -> None:
    kind, fields = KINDS[case]
    agree(transformers, saved(transformers, tmp_path / "given", kind, fields), tmp_path)


@pytest.mark.parametrize("case", ROPES)
@pytest.mark.parametrize("version", [4, 5])
def test_every_rope(case: str, version: int, tmp_path: Path, transformers: Any) -> None:
    kind = "qwen3" if version == 4 else "llama"
    folder = saved(transformers, tmp_path / "given", kind, {"rope_parameters": ROPES[case], "head_dim": 32})
    if version == 4:
        in_the_words_of_version_4(folder)
    agree(transformers, folder, tmp_path)


def test_special_ids_reach_transformers(tmp_path: Path, transformers: Any) -> None:
    ids = {"bos_token_id": 80, "eos_token_id": [81, 88, 89], "pad_token_id": 7}
    folder = saved(transformers, tmp_path / "given", "llama", ids)
    import_model(folder, tmp_path / "imported")
    export_model(tmp_path / "imported", tmp_path / "exported")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "exported")
    for config in (model.config, model.generation_config):
        assert {name: getattr(config, name) for name in ids} == ids
