"""Muon's direction of an update (Jordan, 2024; 2502.16982): orthogonal for matrices, Adam's for all else."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from scaling.llama.config import LlamaConfig
from scaling.llama.sharding import name_of
from scaling.train.muon.newton_schulz import orthogonalisation_flops, orthogonalised

MOMENTUM = 0.95


def scale_by_muon(model: LlamaConfig, beta1: float, beta2: float) -> optax.GradientTransformationExtraArgs:
    """Nesterov momentum and orthogonalisation for the layers' matrices, Adam for all else.

    Optax's own ``contrib.scale_by_muon`` corrects the momentum's bias, which the published code does not, and takes a
    parameter as one matrix; ``qkv`` and ``gate_up`` are several side by side. Its trace is the published momentum but
    for a factor of 1 - ``MOMENTUM``, which orthogonalisation takes out.

    Args:
        model: the model's shape.
        beta1, beta2: decay of Adam's moments in a step.
    """
    matrices = optax.chain(optax.trace(MOMENTUM, nesterov=True), orthogonalise(model))
    return optax.partition({"muon": matrices, "adam": optax.scale_by_adam(beta1, beta2)}, _labels(model))


def orthogonalise(model: LlamaConfig) -> optax.GradientTransformation:
    """Orthogonalises each matrix of each layer, times sqrt(max(1, fan_out / fan_in)).

    Under that factor, the published one, a step changes a matrix's output by the rate, relative to its input, whatever
    the width: the condition under which a rate transfers over width (2310.17813; 2409.20325, section 4). The
    alternative, 0.2 sqrt(max(fan_in, fan_out)) (2502.16982), gives updates the size of AdamW's, which grow with width.
    """
    parts = matrices_of(model)

    def change(path: tuple[Any, ...], update: Float[Array, "layers rows columns"]) -> Array:
        columns = parts[name_of(path)]
        ends = [sum(columns[: i + 1]) for i in range(len(columns) - 1)]
        return jnp.concatenate([_step(part) for part in jnp.split(update, ends, axis=-1)], axis=-1)

    return optax.stateless(lambda updates, _: jax.tree_util.tree_map_with_path(change, updates))


def _step(matrices: Float[Array, "layers rows columns"]) -> Float[Array, "layers rows columns"]:
    fan_in, fan_out = matrices.shape[-2:]
    return math.sqrt(max(1, fan_out / fan_in)) * orthogonalised(matrices)


def matrices_of(model: LlamaConfig) -> dict[str, tuple[int, ...]]:
    """Columns of each matrix that a parameter holds side by side, for the parameters that Muon orthogonalises."""
    return {
        "qkv": (model.attention_width, model.kv_width, model.kv_width),
        "out": (model.width,),
        "gate_up": (model.ffn, model.ffn),
        "down": (model.width,),
    }


def muon_flops(model: LlamaConfig) -> int:
    """FLOPs of the orthogonalisations of one step, of whatever batch; a run's FLOPs do not count them."""
    rows = {"out": model.attention_width, "down": model.ffn}
    return model.depth * sum(
        orthogonalisation_flops(rows.get(name, model.width), columns)
        for name, parts in matrices_of(model).items()
        for columns in parts
    )


def _labels(model: LlamaConfig) -> Any:
    matrices = matrices_of(model)

    def label(path: tuple[Any, ...], _: Array) -> str:
        return "muon" if name_of(path) in matrices else "adam"

    return lambda tree: jax.tree_util.tree_map_with_path(label, tree)
