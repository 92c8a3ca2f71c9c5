"""Hyperparameters of the stages: the one place where they are decided."""

from dataclasses import asdict, dataclass, replace

from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params
from scaling.posttrain.config import StageName, StageRecipe
from scaling.train.recipe import Rates, Schedule


@dataclass(frozen=True)
class StageOverrides:
    """Hyperparameters that a sweep file may set itself; None leaves one to the recipe.

    Attributes:
        learning_rate: the matrices' peak rate; the other groups keep their ratio to it.
        batch: rows of a step.
        weight_decay: as of ``StageRecipe``.
        warmup: share of the run.
    """

    learning_rate: float | None = None
    batch: int | None = None
    weight_decay: float | None = None
    warmup: float | None = None


STAGE_RECIPES = ("transfer", "llama")
NO_OVERRIDES = StageOverrides()
_BETA1, _BETA2, _CLIP = 0.9, 0.95, 1.0
# The start's rates times these; that of PPO is of the policy.
FACTORS: dict[StageName, float] = {"sft": 1 / 3, "reward": 1.0, "best_of_n": 0.0, "ppo": 1 / 30, "dpo": 1 / 10}
# Of a reward model's scalar head, which begins at zero, over the rate of an output head: ten times the rate brought the
# loss of a reward model of 2k pairs from .67 to .55 nats.
_HEAD = 10.0
# Of best-of-n, which takes no step: answers of a call.
_BATCHES: dict[StageName, int] = {"sft": 32, "reward": 32, "best_of_n": 256, "ppo": 128, "dpo": 64}
# Parameters from which the Llamas' papers give the numbers of their largest model.
_LARGE = 60e9


def stage_recipe(
    name: str,
    stage: StageName,
    model: LlamaConfig,
    start_rates: Rates | None,
    overrides: StageOverrides = NO_OVERRIDES,
) -> StageRecipe:
    """The hyperparameters of a stage's run.

    Args:
        name: ``transfer`` or ``llama``; see there.
        stage: of the run.
        model: that is trained.
        start_rates: peak rates of the pre-training that the start goes back to, through whatever stages; None if
            nobody knows them, as of an imported model.
        overrides: what the sweep file sets.

    Raises:
        InputError: there is no such recipe, or it needs the start's rates.
    """
    if name == "transfer":
        return _transfer(stage, start_rates, overrides)
    if name == "llama":
        return _llama(stage, model, overrides)
    raise InputError(f"there is no recipe {name!r} of stages; there are {', '.join(STAGE_RECIPES)}")


def _transfer(stage: StageName, start_rates: Rates | None, overrides: StageOverrides) -> StageRecipe:
    """The rates that the start was pre-trained with, whose groups suit its initialisation, times a factor: the default.

    The factor is 1 for reward models, a third for SFT, a tenth for DPO and a thirtieth for PPO, found on byte-level
    models of 7k to 68k parameters. No weight decay, a warm-up over a tenth of the run as Adam's moments start at zero,
    then a linear decay to 0; for PPO no decay, so that the first part of a run does not depend on its length.
    """
    if stage == "best_of_n":  # which takes no step
        start_rates = start_rates or Rates(0, 0, 0, 0, 0, 0, 0, 0)
    if start_rates is None:
        raise InputError(
            "the recipe 'transfer' multiplies the rates that a start was pre-trained with, and an imported model has "
            "none: set `recipe: llama`"
        )
    rates = _times(start_rates, FACTORS[stage], overrides)
    return StageRecipe(
        name="transfer",
        batch=overrides.batch or _BATCHES[stage],
        rates=replace(rates, head=_HEAD * rates.head) if stage == "reward" else rates,
        weight_decay=0.0 if overrides.weight_decay is None else overrides.weight_decay,
        beta1=_BETA1,
        beta2=_BETA2,
        clip=_CLIP,
        schedule=Schedule("wsd", _either(overrides.warmup, 0.1), 1.0, 1.0 if stage == "ppo" else 0.0),
    )


def _times(rates: Rates, factor: float, overrides: StageOverrides) -> Rates:
    """All rates times a factor, or so that the matrices' is the one that is set."""
    if overrides.learning_rate is not None:
        factor = overrides.learning_rate / rates.matrix
    return Rates(**{group: factor * rate for group, rate in asdict(rates).items()})


def _llama(stage: StageName, model: LlamaConfig, overrides: StageOverrides) -> StageRecipe:
    """The Llamas' published numbers, one rate for all parameters (2307.09288, sections 3.1 to 3.2.3; 2407.21783, 4.1).

    - SFT, Llama 2: rate 2e-5, batch 64, a cosine, weight decay 0.1 (Llama 3 405B: rate 1e-5);
    - reward models, Llama 2: rate 1e-5, at 70B 5e-6, batch 512 pairs, a warm-up of 3 %, a cosine down to a tenth;
    - PPO, Llama 2: constant rate 1e-6, minibatches of 64 of the 512 answers of an iteration, weight decay 0.1;
    - DPO, Llama 3: rate 1e-5.

    Not published, and chosen here: the end of SFT's cosine and its warm-up, as of the reward models; DPO's batch of 64,
    and its linear decay after a warm-up of a tenth, as in Zephyr's recipe (2310.16944).
    """
    large = count_params(model).total >= _LARGE
    cosine = Schedule("cosine", 0.03, 1.0, 0.1)
    rate, batch, schedule = {
        "sft": (2e-5, 64, cosine),
        "reward": (5e-6 if large else 1e-5, 512, cosine),
        "best_of_n": (0.0, _BATCHES["best_of_n"], cosine),
        "ppo": (1e-6, 64, Schedule("wsd", 0.0, 1.0, 1.0)),
        "dpo": (1e-5, 64, Schedule("wsd", 0.1, 1.0, 0.0)),
    }[stage]
    rate = _either(overrides.learning_rate, rate)
    return StageRecipe(
        name="llama",
        batch=overrides.batch or batch,
        rates=Rates(rate, rate, rate, rate, rate, rate, rate, rate),
        weight_decay=_either(overrides.weight_decay, 0.1),
        beta1=_BETA1,
        beta2=_BETA2,
        clip=_CLIP,
        schedule=Schedule(schedule.kind, _either(overrides.warmup, schedule.warmup), schedule.decay, schedule.final),
    )


def _either(chosen: float | None, usual: float) -> float:
    return usual if chosen is None else chosen
