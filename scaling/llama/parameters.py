"""A model's parameters as arrays with names, such as ``layers.qkv``, and back.

A name does not say which half of a layer, attention or MLP, holds the parameter: files keep their names when modules
are moved.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.experimental.multihost_utils import process_allgather
from jax.tree_util import DictKey, KeyPath, tree_flatten_with_path, tree_unflatten
from jaxtyping import Array

from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.model import Llama

_HALVES = ("attention", "mlp")


def named_parameters(parameters: nnx.State) -> dict[str, np.ndarray]:
    """Parameters by name, copied to this process's memory; a collective call where several processes share them."""
    leaves, _ = tree_flatten_with_path(nnx.to_pure_dict(parameters))
    return {parameter_name(path): whole(leaf) for path, leaf in leaves}


def llama_with(config: LlamaConfig, parameters: Mapping[str, np.ndarray]) -> Llama:
    """A model whose parameters are the given arrays.

    Raises:
        InputError: a line for each that is missing, of another shape or not the model's.
    """
    graph, state = nnx.split(nnx.eval_shape(lambda: Llama(config, rngs=nnx.Rngs(0))))
    leaves, tree = tree_flatten_with_path(nnx.to_pure_dict(state))
    shapes = {parameter_name(path): leaf.shape for path, leaf in leaves}
    errors = [f"parameter {name} is missing" for name in shapes.keys() - parameters.keys()]
    errors += [f"parameter {name} is not the model's" for name in parameters.keys() - shapes.keys()]
    errors += [
        f"parameter {name} has shape {parameters[name].shape}; the model's is {shape}"
        for name, shape in shapes.items()
        if name in parameters and parameters[name].shape != shape
    ]
    if errors:
        raise InputError(sorted(errors))
    nnx.replace_by_pure_dict(state, tree_unflatten(tree, [jnp.asarray(parameters[name]) for name in shapes]))
    return nnx.merge(graph, state)


def without_halves(path: KeyPath) -> KeyPath:
    """A path in a model or a train state, without the half of the layer (attention or MLP) that it goes through."""
    return tuple(key for key in path if not (isinstance(key, DictKey) and key.key in _HALVES))


def parameter_name(path: KeyPath) -> str:
    """A parameter's name, such as ``layers.qkv``, from its path in the model."""
    return ".".join(str(key.key) for key in without_halves(path) if isinstance(key, DictKey))


def whole(array: Array) -> np.ndarray:
    """An array in this process's memory; a collective call where several processes share it."""
    return np.asarray(array if array.is_fully_addressable else process_allgather(array, tiled=True))
