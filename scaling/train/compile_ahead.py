"""Compiles the next shape into the persistent cache, on a thread of its own, while the current one trains."""

import threading

import jax
import jax.numpy as jnp

from scaling.llama.config import LlamaConfig
from scaling.train.config import RunConfig
from scaling.train.evaluate import eval_windows
from scaling.train.loop import steps_per_dispatch
from scaling.train.step import Program, abstract_state, hyper_of, program_for


class AheadCompiler:
    """A compiler of programs ahead of their use: one at a time, each shape and batch once."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._begun: set[tuple[LlamaConfig, int]] = set()

    def start(self, config: RunConfig) -> bool:
        """Starts to compile a run's programs, unless they were started before or others are; returns whether it did."""
        shape = config.model, config.batch
        if shape in self._begun or (self._thread is not None and self._thread.is_alive()):
            return False
        self._begun.add(shape)
        self._thread = threading.Thread(target=compile_for, args=(config,))
        self._thread.start()
        return True

    def finish(self) -> None:
        """Waits for the compilation under way, without which a process cannot end."""
        if self._thread is not None:
            self._thread.join()


def compile_for(config: RunConfig) -> Program:
    """Compiles a run's programs, on one device, without training it."""
    program, state = program_for(config), abstract_state(config.model, config.recipe.optimizer)
    window = config.model.seq_len + 1
    batches = jax.ShapeDtypeStruct((steps_per_dispatch(config), config.batch, window), jnp.int32)
    hyper = jax.eval_shape(lambda: hyper_of(config))
    program.train.lower(state, hyper, batches, jax.ShapeDtypeStruct((), jnp.int32)).compile()
    windows = jax.ShapeDtypeStruct((eval_windows(config), window), jnp.int32)
    program.evaluate.lower(state.parameters, windows).compile()
    return program
