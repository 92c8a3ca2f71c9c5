"""Transformers' Llama beside ours: names of weights and of the configuration, weights by seed."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.llama.config import LlamaConfig, RopeScaling

if TYPE_CHECKING:
    from scaling.llama.model import Llama

CASES = {
    "mha": LlamaConfig(vocab=40, width=32, depth=2, heads=4, kv_heads=4, ffn=48, seq_len=24, norm_eps=1e-6),
    "gqa": LlamaConfig(vocab=40, width=32, depth=3, heads=4, kv_heads=2, ffn=40, seq_len=24),
    "tied": LlamaConfig(vocab=40, width=48, depth=1, heads=6, kv_heads=2, ffn=64, seq_len=24, tie_embeddings=True),
    # The four pairs' wavelengths are 6, 17, 44 and 118 tokens: one kept, two interpolated, one slowed.
    "rope-scaling": LlamaConfig(
        vocab=40,
        width=32,
        depth=2,
        heads=4,
        kv_heads=1,
        ffn=48,
        seq_len=128,
        rope_theta=50.0,
        rope_scaling=RopeScaling(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_context=64),
    ),
}


def hf_config(config: LlamaConfig) -> dict[str, Any]:
    """Arguments of transformers' LlamaConfig for the same architecture."""
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": config.rope_theta}
    if config.rope_scaling is not None:
        rope |= {
            "rope_type": "llama3",
            "factor": config.rope_scaling.factor,
            "low_freq_factor": config.rope_scaling.low_freq_factor,
            "high_freq_factor": config.rope_scaling.high_freq_factor,
            "original_max_position_embeddings": config.rope_scaling.original_context,
        }
    return {
        "vocab_size": config.vocab,
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "intermediate_size": config.ffn,
        "max_position_embeddings": config.seq_len,
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tie_embeddings,
        "rope_parameters": rope,
    }


def hf_shapes(config: LlamaConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of transformers' weights."""
    width, kv_width = config.width, config.kv_heads * config.head_dim
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config.vocab, width)}
    for layer in range(config.depth):
        prefix = f"model.layers.{layer}."
        shapes |= {
            prefix + "input_layernorm.weight": (width,),
            prefix + "self_attn.q_proj.weight": (width, width),
            prefix + "self_attn.k_proj.weight": (kv_width, width),
            prefix + "self_attn.v_proj.weight": (kv_width, width),
            prefix + "self_attn.o_proj.weight": (width, width),
            prefix + "post_attention_layernorm.weight": (width,),
            prefix + "mlp.gate_proj.weight": (config.ffn, width),
            prefix + "mlp.up_proj.weight": (config.ffn, width),
            prefix + "mlp.down_proj.weight": (width, config.ffn),
        }
    shapes["model.norm.weight"] = (width,)
    if not config.tie_embeddings:
        shapes["lm_head.weight"] = (config.vocab, width)
    return shapes


def random_weights(config: LlamaConfig, seed: int) -> dict[str, np.ndarray]:
    """Weights under transformers' names, exact in float16, large enough that every part is felt."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in hf_shapes(config).items():
        gain = len(shape) == 1
        weight = rng.normal(1.0, 0.3, shape) if gain else rng.normal(0.0, 1 / math.sqrt(shape[1]), shape)
        weights[name] = weight.astype(np.float16)
    return weights


def random_tokens(config: LlamaConfig, seed: int) -> np.ndarray:
    """Token ids, shape (2, seq_len)."""
    return np.random.default_rng(seed).integers(0, config.vocab, (2, config.seq_len))


def load(config: LlamaConfig, weights: dict[str, np.ndarray]) -> "Llama":
    """Our model with weights that are given under transformers' names, in float32."""
    import jax.numpy as jnp
    from flax import nnx

    from scaling.llama.model import Llama

    model = Llama(config, rngs=nnx.Rngs(0))

    def stacked(*names: str) -> Any:
        # torch keeps (out, in); we multiply from the left, and fuse matrices that share their input.
        return jnp.stack(
            [
                jnp.concatenate(
                    [jnp.asarray(weights[f"model.layers.{layer}.{name}.weight"], jnp.float32).T for name in names],
                    axis=-1,
                )
                for layer in range(config.depth)
            ]
        )

    layers = model.layers
    layers.attention_norm[...] = stacked("input_layernorm")
    layers.attention.qkv[...] = stacked("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    layers.attention.out[...] = stacked("self_attn.o_proj")
    layers.ffn_norm[...] = stacked("post_attention_layernorm")
    layers.mlp.gate_up[...] = stacked("mlp.gate_proj", "mlp.up_proj")
    layers.mlp.down[...] = stacked("mlp.down_proj")
    model.embedding[...] = jnp.asarray(weights["model.embed_tokens.weight"], jnp.float32)
    model.norm[...] = jnp.asarray(weights["model.norm.weight"], jnp.float32)
    if not config.tie_embeddings:
        model.output[...] = jnp.asarray(weights["lm_head.weight"], jnp.float32)
    return model


def reference_logits(config: LlamaConfig, weights: dict[str, np.ndarray], tokens: np.ndarray) -> np.ndarray:
    """Logits of transformers' LlamaForCausalLM in float32, shape (batch, seq, vocab); needs torch."""
    import torch
    import transformers

    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**hf_config(config), attn_implementation="eager"))
    state = {name: torch.from_numpy(weight.astype(np.float32)) for name, weight in weights.items()}
    if config.tie_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, strict=True)
    model.eval()
    with torch.no_grad():
        logits: np.ndarray = model(torch.from_numpy(tokens)).logits.numpy()
    return logits
