"""Hyperparameters as functions of the model and the token budget: the one place where they are decided."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params, flops_per_token
from scaling.llama.init import Init

OptimizerName: TypeAlias = Literal["adamw", "muon"]


@dataclass(frozen=True)
class Schedule:
    """A schedule over a run's steps.

    Attributes:
        kind: ``wsd``: warm-up, stable, then a linear decay to ``final`` (2405.18392); ``cosine``: warm-up, then half
            a cosine down to ``final``.
        warmup: share of the run spent rising linearly from 0.
        decay: share of the run spent decaying; only ``wsd`` reads it, a cosine decays from the warm-up on.
        final: the factor at the end.
    """

    kind: Literal["wsd", "cosine"]
    warmup: float
    decay: float
    final: float


@dataclass(frozen=True)
class Rates:
    """Peak learning rates of the groups of parameters; under Muon AdamW's but for ``matrix``, ``query``, ``residual``.

    Attributes:
        embedding: of the input embedding, which a tied head shares.
        matrix: of the matrices that read the residual stream; the rate that a table's ``lr`` gives.
        query: of the part of them that makes the queries.
        residual: of the two matrices of a layer that write to the residual stream.
        norm: of the norms' gains.
        query_norm: of the gain on the queries, where there is one.
        final_norm: of the last norm's gain.
        head: of an untied output head.
    """

    embedding: float
    matrix: float
    query: float
    residual: float
    norm: float
    query_norm: float
    final_norm: float
    head: float


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of a run.

    Attributes:
        name: of the recipe.
        batch_tokens: tokens per step.
        rates: peak learning rates by group.
        weight_decay: decoupled; all matrices and an untied head shrink by it times the rate ``matrix`` in a step.
        beta1, beta2: of Adam's moments.
        clip: largest global norm of the gradient.
        schedule: of the learning rates.
        init: standard deviations of the initial weights.
        optimizer: AdamW (1711.05101), or Muon for the matrices and AdamW for all else (2502.16982).
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
    optimizer: OptimizerName = "adamw"

    def canonical(self) -> dict[str, Any]:
        """Fields and values as JSON has them; without AdamW's name, so that its runs keep the ids they always had."""
        return {name: value for name, value in asdict(self).items() if (name, value) != ("optimizer", "adamw")}


@dataclass(frozen=True)
class Overrides:
    """Hyperparameters that a sweep file may set itself; None leaves one to the recipe.

    ``learning_rate`` is the matrices' peak rate; the other groups keep their ratio to it. The schedule's kind and
    decay are always the sweep's.
    """

    schedule: Literal["wsd", "cosine"]
    decay: float | None
    learning_rate: float | None = None
    batch_tokens: int | None = None
    weight_decay: float | None = None
    warmup: float | None = None
    optimizer: OptimizerName = "adamw"


Recipes = Callable[[LlamaConfig, float, Overrides], Recipe]


@dataclass(frozen=True)
class Tuned:
    """Laws found by tuning, which replace a recipe's own.

    Attributes:
        learning_rate: (model, tokens) -> peak rate of the matrices, at the batch of the other law, or without one at
            the recipe's own; None leaves it to the recipe.
        batch_tokens: (model, tokens) -> tokens per step; None leaves it to the recipe.
    """

    learning_rate: Callable[[LlamaConfig, float], float] | None
    batch_tokens: Callable[[LlamaConfig, float], float] | None

    def before(self, recipe: Recipes) -> Recipes:
        """A recipe in which the laws set what the sweep file does not.

        Where the file sets another batch, the law's rate grows with the square root of the batch (2405.14578).
        """

        def tuned(model: LlamaConfig, tokens: float, chosen: Overrides) -> Recipe:
            law = None if self.batch_tokens is None else max(1, round(self.batch_tokens(model, tokens)))
            usual = recipe(model, tokens, replace(chosen, batch_tokens=law)).batch_tokens
            made = recipe(model, tokens, replace(chosen, batch_tokens=chosen.batch_tokens or usual))
            if self.learning_rate is None or chosen.learning_rate is not None:
                return made
            rate = self.learning_rate(model, tokens) * math.sqrt(made.batch_tokens / usual)
            return recipe(model, tokens, replace(chosen, batch_tokens=made.batch_tokens, learning_rate=rate))

        return tuned


def _whole(batch: float, model: LlamaConfig) -> int:
    """Tokens of a batch, rounded to whole sequences."""
    return max(1, round(batch / model.seq_len)) * model.seq_len


def _llama(model: LlamaConfig, tokens: float, chosen: Overrides) -> Recipe:
    """The published Llamas' recipe, for comparison and for runs of their size (2302.13971, 2307.09288, 2407.21783).

    - rate 3e-4 (params / 8e9)^(-1/3) for every parameter: within 4 % of Llama 3's (3e-4 at 8B, 1.5e-4 at 70B, 8e-5 at
      405B), and between 15 % below (the 13B) and 25 % above (Llama 1 33B) the rates of the others;
    - batch 250k tokens (FLOPs / 6e18)^(3/8), at most 4M: the ends of Llama 3's own scaling runs, 250k at 6e18 and 4M at
      1e22 FLOPs;
    - AdamW with betas 0.9 and 0.95, weight decay 0.1, clip 1; initial std 0.02 throughout;
    - warm-up of 2,000 steps, in shorter runs of a tenth; then half a cosine down to a tenth of the rate, or ``wsd``.

    No Llama up to 3 normalises its queries and keys: with ``qk_norm`` this is their recipe on another model. It has no
    rules for Muon: InputError.
    """
    if chosen.optimizer != "adamw":
        raise InputError("the recipe llama is AdamW's; `optimizer` muon takes the recipe transfer")
    budget = tokens * flops_per_token(model, model.seq_len)
    batch_tokens = chosen.batch_tokens or min(4e6, 250e3 * (budget / 6e18) ** 0.375)
    batch_tokens = _whole(batch_tokens, model)
    rate = chosen.learning_rate or 3e-4 * (count_params(model).total / 8e9) ** (-1 / 3)
    return Recipe(
        name="llama",
        batch_tokens=batch_tokens,
        rates=Rates(rate, rate, rate, rate, rate, rate, rate, rate),
        weight_decay=0.1 if chosen.weight_decay is None else chosen.weight_decay,
        beta1=0.9,
        beta2=0.95,
        clip=1.0,
        schedule=Schedule(
            kind=chosen.schedule,
            warmup=min(0.1, 2000 * batch_tokens / tokens) if chosen.warmup is None else chosen.warmup,
            decay=1.0 if chosen.decay is None else chosen.decay,
            final=0.1,
        ),
        init=Init(),
    )


# Multipliers are folded into the weights they act on: a factor m on a matrix's output is the same as initial std
# and rate times m, since Adam's steps do not depend on the gradient's scale, as long as gradients are far above its
# epsilon (1e-8, which no multiplier scales). So the model stays a plain Llama.
#
# Constants found on byte-level models of English, 16 to 60 wide, at 2e10 to 3e12 FLOPs. Carried to Llama 3 8B (15T
# tokens) the rules give 3.2M tokens a batch and a rate of 7.8e-4; published are 4M and more, and 3e-4.
# The reference point of ``transfer``, where its rules meet the values they were found at.
_TOKENS, _BATCH, _STEPS, _RATE, _HEAD_DIM, _DEPTH = 300e3, 128, 2400, 0.23, 16, 2
_MUON_RATE = 0.0125


def _transfer(model: LlamaConfig, tokens: float, chosen: Overrides) -> Recipe:
    """AdamW that transfers across width, depth and horizon: the default.

    Reference point: 128 tokens a step at 300k tokens; a matrix rate of 0.23 / width at 2400 steps of them; head
    dimension 16, depth 2.

    - batch = 128 tokens (tokens / 300k)^0.571, to the nearest sequence; Step Law's exponent (2503.04715);
    - g = (batch / 128)^(1/2) (steps / 2400)^-0.32: rates grow with the square root of the batch (2405.14578) and
      fall with the horizon (2409.19913);
    - width (muP under Adam, 2203.03466): matrices have the rate 0.23 g / width and initial std 1 / sqrt(fan_in), also
      the one that reads the inner layer, whose fan-in is ``ffn``: right for sizes of one ratio of ffn to width;
      embedding and gains the rates 0.04 g and 0.007 g at every width, the embedding std 1/2; attention logits are
      scaled by 4 / head_dim instead of 1 / sqrt(head_dim); under a tied head the last norm's gain starts at 8 / width,
      and its rate is scaled by that, so that logits move alike at every width; an untied head starts at 0;
    - depth (CompleteP, 2505.01618): what a layer adds to the residual stream is scaled by 2 / depth;
    - weight decay by its time scale (2405.13698): at peak rate a matrix would lose a tenth in the whole run;
    - clip 1; warm-up over a tenth of the run.

    Under Muon ``_transfer_muon`` has the rates; all else is the same.
    """
    if chosen.optimizer == "muon":
        return _transfer_muon(model, tokens, chosen)
    batch_tokens = _batch(model, tokens, chosen)
    growth = _growth(batch_tokens, tokens / batch_tokens)
    if chosen.learning_rate is not None:
        growth = chosen.learning_rate * model.width / _RATE
    matrix = _RATE * growth / model.width
    return _assembled(model, tokens, chosen, batch_tokens, growth, matrix, matrix)


def _transfer_muon(model: LlamaConfig, tokens: float, chosen: Overrides) -> Recipe:
    """The rules of ``transfer`` under Muon, where they differ from AdamW's.

    - batch as there, and g = (batch / 128)^(1/2) (steps / 2400)^-0.32 as there;
    - matrices have the rate 0.0125 g at every width: an orthogonalised update of that rate has the spectral norm that
      muP asks for (2310.17813; see ``muon.direction``). In depth and for queries it is scaled as there: Muon's steps
      do not depend on the gradient's scale either;
    - embedding, gains and an untied head are AdamW's, with the rates that they have there for this g;
    - weight decay by its time scale, as there.

    Found on `sotu` at 5k to 80k parameters, 2 and 8 layers, up to 3e11 FLOPs (``benchmarks/optimizers.md``): the best
    rate was 0.7 to 1.6 times this one.
    """
    batch_tokens = _batch(model, tokens, chosen)
    growth = _growth(batch_tokens, tokens / batch_tokens)
    if chosen.learning_rate is not None:
        growth = chosen.learning_rate / _MUON_RATE
    return _assembled(model, tokens, chosen, batch_tokens, growth, _MUON_RATE * growth, _RATE * growth / model.width)


def _batch(model: LlamaConfig, tokens: float, chosen: Overrides) -> int:
    return _whole(chosen.batch_tokens or _BATCH * (tokens / _TOKENS) ** 0.571, model)


def _growth(batch_tokens: int, steps: float) -> float:
    """What rates are times those of the reference point, by batch and horizon."""
    return math.sqrt(batch_tokens / _BATCH) * (steps / _STEPS) ** -0.32


def _assembled(
    model: LlamaConfig, tokens: float, chosen: Overrides, batch_tokens: int, growth: float, matrix: float, head: float
) -> Recipe:
    """The recipe of given rates of the matrices and an untied head; those of embedding and gains go by ``growth``."""
    steps = tokens / batch_tokens
    query = math.sqrt(_HEAD_DIM / model.head_dim)
    residual = _DEPTH / model.depth
    gain = 8.0 / model.width if model.tie_embeddings else 1.0
    return Recipe(
        name="transfer",
        batch_tokens=batch_tokens,
        rates=Rates(
            embedding=0.04 * growth,
            matrix=matrix,
            query=matrix * (1.0 if model.qk_norm else query),
            residual=matrix * residual,
            norm=0.007 * growth,
            query_norm=0.007 * growth * query,
            final_norm=0.007 * growth * gain,
            head=head,
        ),
        weight_decay=0.1 / (matrix * steps) if chosen.weight_decay is None else chosen.weight_decay,
        beta1=0.9,
        beta2=0.95,
        clip=1.0,
        schedule=Schedule(
            kind=chosen.schedule,
            warmup=0.1 if chosen.warmup is None else chosen.warmup,
            decay=1.0 if chosen.decay is None else chosen.decay,
            final=0.0,
        ),
        init=Init(
            embedding=0.5,
            matrix=1.0,
            query=query,
            residual=residual,
            final_norm=gain,
            head=0.0,
        ),
        optimizer=chosen.optimizer,
    )


RECIPES: dict[str, Recipes] = {"transfer": _transfer, "llama": _llama}
