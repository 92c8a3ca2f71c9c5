"""Compiles the next shape while this one trains, on a thread of its own: the persistent cache then has it."""

import threading

import jax
import jax.numpy as jnp

from scaling.train.config import RunConfig
from scaling.train.loop import eval_windows, steps_per_dispatch
from scaling.train.step import Program, abstract_state, hyper_of, program_for


class Ahead:
    """One compilation at a time; what is begun is finished, as a process cannot end in the midst of it."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def start(self, config: RunConfig) -> bool:
        """Begins to compile what a run needs, unless another compilation is under way; whether it did."""
        if self._thread is not None and self._thread.is_alive():
            return False
        self._thread = threading.Thread(target=compile_for, args=(config,), daemon=False)
        self._thread.start()
        return True

    def finish(self) -> None:
        """Waits for what was begun."""
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
