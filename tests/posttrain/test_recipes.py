"""Hyperparameters of the stages."""

from dataclasses import asdict, replace

import jax.numpy as jnp
import pytest
from posttraining.tiny_rewards import MODEL

from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params
from scaling.posttrain.config import STAGES, StageRecipe
from scaling.posttrain.recipes import FACTORS, StageOverrides, stage_recipe
from scaling.train.recipe import RECIPES, Overrides
from scaling.train.schedule import factor

RATES = RECIPES["transfer"](MODEL, 1e6, Overrides("wsd", None)).rates
LARGE = LlamaConfig(vocab=32000, width=8192, depth=80, heads=64, kv_heads=8, ffn=28672, seq_len=4096)


def factors(recipe: StageRecipe, steps: int = 100) -> list[float]:
    schedule = recipe.schedule
    numbers = (jnp.asarray(x, jnp.float32) for x in (schedule.warmup * steps, schedule.decay * steps, schedule.final))
    given = (jnp.int32(steps), *numbers)
    return [float(factor(schedule.kind, jnp.int32(step), *given)) for step in (0, 10, 50, 99)]


@pytest.mark.parametrize("stage", STAGES)
def test_transfer_takes_a_share_of_the_starts_rates(stage: str) -> None:
    recipe = stage_recipe("transfer", stage, MODEL, RATES)
    expected = {group: FACTORS[stage] * rate for group, rate in asdict(RATES).items()}
    if stage == "reward":  # its head begins at zero
        expected["head"] *= 10
    assert asdict(recipe.rates) == pytest.approx(expected)
    assert recipe.weight_decay == 0.0


def test_transfer_decays_linearly_but_for_ppo() -> None:
    first, warm, half, last = factors(stage_recipe("transfer", "sft", MODEL, RATES))
    assert first == pytest.approx(0.05 * 0.995, rel=1e-3)
    assert (warm, half, last) == pytest.approx((0.895, 0.495, 0.005), rel=1e-3)
    assert factors(stage_recipe("transfer", "ppo", MODEL, RATES))[1:] == [1.0, 1.0, 1.0]


def test_llama_has_the_papers_numbers() -> None:
    found = {stage: stage_recipe("llama", stage, MODEL, None) for stage in STAGES}
    assert (found["sft"].rates.matrix, found["sft"].batch, found["sft"].weight_decay) == (2e-5, 64, 0.1)
    assert (found["reward"].rates.head, found["reward"].batch, found["reward"].schedule.warmup) == (1e-5, 512, 0.03)
    assert (found["ppo"].rates.matrix, found["ppo"].batch) == (1e-6, 64)
    assert factors(found["ppo"]) == [1.0] * 4
    assert found["dpo"].rates.embedding == 1e-5
    assert factors(found["reward"])[3] == pytest.approx(0.1, abs=1e-3)
    assert count_params(LARGE).total > 65e9
    assert stage_recipe("llama", "reward", LARGE, None).rates.matrix == 5e-6


@pytest.mark.parametrize("name", ["transfer", "llama"])
def test_a_file_sets_what_it_likes(name: str) -> None:
    chosen = StageOverrides(learning_rate=0.5, batch=7, weight_decay=0.2, warmup=0.0)
    usual, recipe = stage_recipe(name, "dpo", MODEL, RATES), stage_recipe(name, "dpo", MODEL, RATES, chosen)
    assert (recipe.rates.matrix, recipe.batch, recipe.weight_decay, recipe.schedule.warmup) == (0.5, 7, 0.2, 0.0)
    ratio = usual.rates.embedding / usual.rates.matrix
    assert recipe.rates.embedding / recipe.rates.matrix == pytest.approx(ratio)
    assert replace(recipe, rates=usual.rates, batch=usual.batch, weight_decay=usual.weight_decay).clip == usual.clip


def test_what_cannot_be_decided() -> None:
    with pytest.raises(InputError, match="an imported model has none: set `recipe: llama`"):
        stage_recipe("transfer", "sft", MODEL, None)
    with pytest.raises(InputError, match="no recipe 'gpt' of stages; there are transfer, llama"):
        stage_recipe("gpt", "sft", MODEL, RATES)
