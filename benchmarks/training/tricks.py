"""What the step owes its speed to, each to be taken away alone. Patched in here, so that the product has no switch."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from scaling.train.config import RunConfig


def _nothing() -> None:
    pass


def _scan_layers() -> None:
    from scaling.llama import model

    model.UNROLL_DEPTH = 0


def _plain_attention() -> None:
    from scaling.llama.sharding import PLAIN
    from scaling.train import step

    execution = replace(PLAIN, attention="xla")
    step.make_step = functools.partial(step.make_step, execution=execution)


@dataclass(frozen=True)
class Trick:
    """A trick, and how a process does without it.

    Attributes:
        name: what is done, as the page calls it.
        without: what is done instead.
        patch: what the process does before it imports anything else of ours.
        options: of ``steps.Ours``.
        unset: environment variables of a worker that the process does not get.
        config: the run's config, changed.
    """

    name: str
    without: str
    patch: Callable[[], None] = _nothing
    options: Mapping[str, Any] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    config: Callable[[RunConfig], RunConfig] = lambda config: config


_TRICKS = (
    Trick("steps-per-dispatch", "one step a dispatch", options={"size": 1}),
    Trick("losses-late", "losses read at once", options={"late": False}),
    Trick("donated-buffers", "new buffers each dispatch", options={"donate": False}),
    Trick("chunked-attention", "XLA's attention", patch=_plain_attention),
    Trick("unrolled-layers", "layers scanned", patch=_scan_layers),
    Trick("malloc", "malloc as it comes", unset=("GLIBC_TUNABLES",)),
    Trick("float32", "bfloat16 activations", config=lambda config: replace(config, dtype="bfloat16")),
)
TRICKS = {trick.name: trick for trick in _TRICKS}
