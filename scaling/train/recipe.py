"""Hyperparameters as functions of the model and the token budget: the one place where they are decided."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

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

    ``learning_rate`` is the matrices' peak rate; the other groups keep their ratio to it. The schedule's kind and
    decay are always the sweep's.
    """

    schedule: Literal["wsd", "cosine"]
    decay: float | None
    learning_rate: float | None = None
    batch_tokens: int | None = None
    weight_decay: float | None = None
    warmup: float | None = None


# The reference point of ``transfer``: 2400 steps of 128 tokens at a rate of 0.17 / width.
_TOKENS, _BATCH, _STEPS, _RATE = 300e3, 128, 2400, 0.17


def _transfer(model: LlamaConfig, tokens: float, chosen: Overrides) -> Recipe:
    """AdamW that transfers across width and horizon: the default.

    - batch = 128 tokens (tokens / 300k)^(1/2), to the nearest sequence;
    - g = (batch / 128)^(1/2) (steps / 2400)^-0.32: rates grow with the square root of the batch (2405.14578) and
      fall with the horizon (2409.19913);
    - matrices: rate 0.17 g / width, initial std 1 / sqrt(fan_in) (muP under Adam, 2203.03466);
    - embedding: rate 0.015 g, std 1/2, at every width;
    - the last norm's gain starts at 8 / width, and its rate is scaled by that, so that a tied head's logits start,
      and move, alike at every width; an untied head starts at 0;
    - weight decay 0.1, clip 1, warm-up over 20 % of the run.

    Found on byte-level models of English, 16 to 64 wide, at 2e10 to 3e12 FLOPs.
    """
    batch = chosen.batch_tokens or _BATCH * math.sqrt(tokens / _TOKENS)
    batch_tokens = max(1, round(batch / model.seq_len)) * model.seq_len
    growth = math.sqrt(batch_tokens / _BATCH) * (tokens / batch_tokens / _STEPS) ** -0.32
    usual = _RATE / model.width * growth
    matrix = chosen.learning_rate or usual
    gain = 8.0 / model.width
    return Recipe(
        name="transfer",
        batch_tokens=batch_tokens,
        rates=Rates(
            embedding=0.015 * growth * matrix / usual,
            matrix=matrix,
            norm=matrix,
            final_norm=matrix * gain,
            head=matrix,
        ),
        weight_decay=0.1 if chosen.weight_decay is None else chosen.weight_decay,
        beta1=0.9,
        beta2=0.95,
        clip=1.0,
        schedule=Schedule(
            kind=chosen.schedule,
            warmup=0.2 if chosen.warmup is None else chosen.warmup,
            decay=1.0 if chosen.decay is None else chosen.decay,
            final=0.0,
        ),
        init=Init(embedding=0.5, matrix=1.0, final_norm=gain if model.tie_embeddings else 1.0, head=0.0),
    )


RECIPES: dict[str, Callable[[LlamaConfig, float, Overrides], Recipe]] = {"transfer": _transfer}
