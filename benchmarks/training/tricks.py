"""Tricks of the step, each of which can be patched away here, so that the product has no switch."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.training.steps import Ours, Stacked, Step
from scaling.train.config import RunConfig


def _scanned(config: RunConfig) -> Ours:
    from scaling.llama import model

    model.UNROLL_DEPTH = 0
    return Ours(config)


def _derived(name: str, *modules: str) -> Callable[[RunConfig], Ours]:
    """A patch that gives a function JAX's own gradient, in the modules that call it."""

    def make(config: RunConfig) -> Ours:
        import jax

        for user in map(importlib.import_module, modules):
            if isinstance(own := getattr(user, name), jax.custom_vjp):  # not replaced yet for another run
                setattr(user, name, own.fun)
        return Ours(config)

    return make


@dataclass(frozen=True)
class Trick:
    """A trick of the step, and the patch or variables that remove it.

    Attributes:
        name: what is done, as the page calls it.
        without: what is done instead.
        make: the step without it.
        unset: variables of a worker's environment that it does without.
    """

    name: str
    without: str
    make: Callable[[RunConfig], Step] = Ours
    unset: tuple[str, ...] = ()


_NORMED = ("scaling.llama.model", "scaling.llama.layers.block", "scaling.llama.layers.attention")
_TRICKS = (
    Trick("steps-per-dispatch", "one step a dispatch", lambda config: Ours(config, size=1)),
    Trick("losses-late", "losses read at once", lambda config: Ours(config, late=False)),
    Trick("donated-buffers", "new buffers each dispatch", lambda config: Ours(config, donate=False)),
    Trick("attention", "XLA's in place of the platform's own", lambda config: Ours(config, attention="xla")),
    Trick("chunked-backward", "JAX's derivative", _derived("chunked", "scaling.llama.attention.dispatch")),
    Trick("matmul-backward", "JAX's derivative", _derived("matmul", "scaling.llama.sharding")),
    Trick("rms-norm-backward", "JAX's derivative", _derived("rms_norm", *_NORMED)),
    Trick("swiglu-backward", "JAX's derivative", _derived("swiglu", "scaling.llama.layers.mlp")),
    Trick("unrolled-layers", "layers scanned", _scanned),
    Trick("malloc", "malloc as it comes", unset=("GLIBC_TUNABLES",)),
    Trick("one-model", "four seeds stacked, by step and model", lambda config: Stacked(config, 4)),
    Trick("float32", "bfloat16 activations", lambda config: Ours(replace(config, dtype="bfloat16"))),
)
TRICKS = {trick.name: trick for trick in _TRICKS}
