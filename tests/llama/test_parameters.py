"""Parameters by name: files written before must stay readable, so the names are fixed here."""

import dataclasses

import jax
import numpy as np
from flax import nnx
from tiny import MODEL, make_run

from scaling.llama.model import Llama
from scaling.llama.parameters import llama_with, named_parameters
from scaling.train.checkpoints.checkpoint import leaves_by_name
from scaling.train.step import init_state

OWN = {"embedding", "norm"} | {
    f"layers.{name}" for name in ("attention_norm", "qkv", "out", "ffn_norm", "gate_up", "down")
}


def test_names_in_files_do_not_follow_the_modules() -> None:
    config = dataclasses.replace(MODEL, tie_embeddings=False, qk_norm=True)
    model = Llama(config, rngs=nnx.Rngs(0))
    named = named_parameters(nnx.split(model)[1])
    assert named.keys() == OWN | {"output", "layers.query_norm", "layers.key_norm"}
    again = named_parameters(nnx.split(llama_with(config, named))[1])
    jax.tree.map(np.testing.assert_array_equal, named, again)


def test_names_in_checkpoints_do_not_follow_the_optimizers_chain() -> None:
    names = leaves_by_name(init_state(make_run())).keys()
    paths = ["".join(f"['{part}']" for part in name.split(".")) + ".value" for name in OWN]
    trees = (".parameters", ".optimizer.mu", ".optimizer.nu")
    assert names == {".step", ".optimizer.count"} | {tree + path for tree in trees for path in paths}
