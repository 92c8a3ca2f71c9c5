"""Hyperparameters as functions of the model and the token budget: the one place where they are decided."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.model import Init
from scaling.train.schedule import Schedule


@dataclass(frozen=True)
class Rates:
    """Peak AdamW learning rates of the groups of parameters."""

    embedding: float
    matrix: float
    norm: float
    final_norm: float
    head: float

    def scaled(self, by: float) -> "Rates":
        return Rates(*(by * rate for rate in (self.embedding, self.matrix, self.norm, self.final_norm, self.head)))


@dataclass(frozen=True)
class Recipe:
    """Everything a run needs besides its shape, its data and its length; AdamW throughout (1711.05101).

    Attributes:
        name: of the recipe.
        batch_tokens: tokens per step.
        rates: peak learning rates by group.
        weight_decay: decoupled, times the learning rate; on matrices and an untied head only.
        beta1, beta2: of Adam's moments.
        clip: largest global norm of the gradient.
        schedule: of the learning rates.
        init: standard deviations of the initial weights.
        qk_norm: whether the model normalises queries and keys.
    """

    name: str
    batch_tokens: int
    rates: Rates
    weight_decay: float
    beta1: float
    beta2: float
    clip: float
    schedule: Schedule
    init: Init


@dataclass(frozen=True)
class Overrides:
    """What a sweep file may set by hand; None leaves it to the recipe.

    ``learning_rate`` is the matrices' peak rate; the other groups keep their ratio to it.
    """

    learning_rate: float | None = None
    batch_tokens: float | None = None
    weight_decay: float | None = None
    warmup: float | None = None
    schedule: str | None = None
    decay: float | None = None


# The reference point of ``transfer``: a byte-level Llama, 32 wide, 336k tokens in batches of 256 (1e11 FLOPs).
_WIDTH, _TOKENS, _BATCH = 32, 336e3, 256


def _transfer(model: LlamaConfig, tokens: float, chosen: Overrides) -> Recipe:
    """Width-transferred AdamW with WSD: the default.

    Matrices start at 1/sqrt(fan_in) and their rate falls as 1/width (muP under Adam, 2203.03466); the embedding's
    rate and scale do not depend on width, and the last norm's gain starts at 4 / (width * embedding std), so that
    a tied head's logits start, and move, alike at every width.
    """
    batch = chosen.batch_tokens or _BATCH * (tokens / _TOKENS) ** 0.5
    batch_tokens = max(1, round(batch / model.seq_len)) * model.seq_len
    embedding_std = 0.5
    gain = 4.0 / (model.width * embedding_std)
    matrix = chosen.learning_rate or 0.22 / model.width
    ratio = matrix / (0.22 / model.width)
    return Recipe(
        name="transfer",
        batch_tokens=batch_tokens,
        rates=Rates(
            embedding=0.015 * ratio, matrix=matrix, norm=matrix, final_norm=matrix * gain, head=matrix
        ),
        weight_decay=0.1 if chosen.weight_decay is None else chosen.weight_decay,
        beta1=0.9,
        beta2=0.95,
        clip=1.0,
        schedule=Schedule(
            kind=chosen.schedule,
            warmup=0.2 if chosen.warmup is None else chosen.warmup,
            decay=chosen.decay,
            final=0.0,
        ),
        init=Init(embedding=embedding_std, matrix=1.0, final_norm=gain if model.tie_embeddings else 1.0, head=0.0),
    )


RECIPES: dict[str, Callable[[LlamaConfig, float, Overrides], Recipe]] = {"transfer": _transfer}
