"""Compiles the next shape while this one trains, on a thread of its own: the persistent cache then has it."""

import threading

import jax
import jax.numpy as jnp

from scaling.llama.config import LlamaConfig
from scaling.train.config import RunConfig
from scaling.train.evaluate import eval_windows
from scaling.train.loop import steps_per_dispatch
from scaling.train.step import Program, abstract_state, hyper_of, program_for


class AheadCompiler:
    """One compilation at a time, of each shape and batch once; what is begun is finished."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._begun: set[tuple[LlamaConfig, int]] = set()

    def start(self, config: RunConfig) -> bool:
        """Begins to compile what a run needs, unless it was begun or another is under way; whether it did."""
        shape = config.model, config.batch
        if shape in self._begun or (self._thread is not None and self._thread.is_alive()):
            return False
        self._begun.add(shape)
        self._thread = threading.Thread(target=compile_for, args=(config,))
        self._thread.start()
        return True

    def finish(self) -> None:
        """Waits for what was begun: a process cannot end in the midst of it."""
        if self._thread is not None:
            self._thread.join()


def compile_for(config: RunConfig) -> Program:
    """Compiles a run's programs, on one device, without training it."""
    program, state = program_for(config), abstract_state(config.model)
    window = config.model.seq_len + 1
    batches = jax.ShapeDtypeStruct((steps_per_dispatch(config), config.batch, window), jnp.int32)
    hyper = jax.eval_shape(lambda: hyper_of(config))
    program.train.lower(state, hyper, batches, jax.ShapeDtypeStruct((), jnp.int32)).compile()
    windows = jax.ShapeDtypeStruct((eval_windows(config), window), jnp.int32)
    program.evaluate.lower(state.parameters, windows).compile()
    return program
