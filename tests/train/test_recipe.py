"""Recipes: the published Llamas' figures, and the rules by which ``transfer`` scales."""

from dataclasses import asdict, replace

import pytest

from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.counts import flops_per_token
from scaling.llama.zoo import ZOO, find
from scaling.train.recipe import RECIPES, Overrides

WSD = Overrides(schedule="wsd", decay=0.3)
COSINE = Overrides(schedule="cosine", decay=None)
MUON = replace(WSD, optimizer="muon")
SMALL = LlamaConfig(vocab=257, width=32, depth=2, heads=2, kv_heads=2, ffn=88, seq_len=64, tie_embeddings=True)


@pytest.mark.parametrize("name", [name for name in ZOO if find(name).learning_rate is not None])
def test_llama_has_about_the_published_rates(name: str) -> None:
    published = find(name)
    recipe = RECIPES["llama"](published.config, published.tokens, COSINE)
    ratio = recipe.rates.matrix / published.learning_rate
    assert 0.85 < ratio < 1.255
    assert not name.startswith("llama3") or ratio == pytest.approx(1, abs=0.04)
    assert set(asdict(recipe.rates).values()) == {recipe.rates.matrix}
    assert recipe.batch_tokens == pytest.approx(4e6, rel=0.01)
    assert recipe.schedule.warmup * published.tokens / recipe.batch_tokens == pytest.approx(2000, rel=0.01)
    assert (recipe.schedule.final, recipe.weight_decay, recipe.clip, recipe.beta2) == (0.1, 0.1, 1.0, 0.95)


@pytest.mark.parametrize(("budget", "batch"), [(6e18, 250e3), (1e22, 4e6)])
def test_llamas_batch_at_the_ends_of_its_scaling_runs(budget: float, batch: float) -> None:
    model = replace(find("llama3.2-1b").config, seq_len=1024)
    tokens = budget / flops_per_token(model, 1024)
    assert RECIPES["llama"](model, tokens, COSINE).batch_tokens == pytest.approx(batch, rel=0.02)


def test_llama_warms_up_a_short_run_for_a_tenth() -> None:
    assert RECIPES["llama"](SMALL, 1e6, COSINE).schedule.warmup == 0.1


def test_transfer_at_its_reference_point() -> None:
    recipe = RECIPES["transfer"](SMALL, 300e3, WSD)
    steps = 300e3 / 128
    assert recipe.batch_tokens == 128
    assert recipe.rates.matrix == pytest.approx(0.23 / 32 * (steps / 2400) ** -0.32)
    assert recipe.rates.residual == recipe.rates.query == recipe.rates.matrix  # depth 2, head_dim 16
    assert recipe.weight_decay * recipe.rates.matrix * steps == pytest.approx(0.1)


def test_the_reference_points_of_batch_and_rate() -> None:
    assert RECIPES["transfer"](SMALL, 300e3, WSD).batch_tokens == 128
    by_steps = RECIPES["transfer"](SMALL, 2400 * 128, replace(WSD, batch_tokens=128))
    assert by_steps.rates.matrix == pytest.approx(0.23 / 32)


def test_transfer_carried_to_llama3_8b() -> None:
    recipe = RECIPES["transfer"](find("llama3-8b").config, 15e12, WSD)
    assert recipe.batch_tokens == pytest.approx(3.2e6, rel=0.02)
    assert recipe.rates.matrix == pytest.approx(7.8e-4, rel=0.01)


@pytest.mark.parametrize("qk_norm", [True, False])
def test_transfer_scales_with_width_depth_and_heads(qk_norm: bool) -> None:
    base = replace(SMALL, qk_norm=qk_norm)
    here = RECIPES["transfer"](base, 1e6, WSD)
    wide = RECIPES["transfer"](replace(base, width=128, heads=8, kv_heads=8, ffn=352), 1e6, WSD)
    assert wide.batch_tokens == here.batch_tokens
    assert wide.rates.matrix == pytest.approx(here.rates.matrix / 4)
    assert wide.rates.residual == pytest.approx(here.rates.residual / 4)
    assert (wide.rates.embedding, wide.rates.norm) == (here.rates.embedding, here.rates.norm)
    assert wide.init.final_norm == pytest.approx(here.init.final_norm / 4)
    deep = RECIPES["transfer"](replace(base, depth=8), 1e6, WSD)
    assert deep.rates.matrix == here.rates.matrix
    assert (deep.rates.residual, deep.init.residual) == (here.rates.residual / 4, 0.25)
    fat = RECIPES["transfer"](replace(base, width=128, ffn=352), 1e6, WSD)  # head_dim 64
    assert fat.init.query == 0.5
    # With a norm on the queries their scale is its gain's, without one their matrix's.
    assert fat.rates.query == pytest.approx(fat.rates.matrix * (1.0 if qk_norm else 0.5))
    assert fat.rates.query_norm == pytest.approx(fat.rates.norm / 2)


@pytest.mark.parametrize("tied", [True, False])
def test_muons_rates_stay_over_width_and_its_adamws_do_not(tied: bool) -> None:
    base = replace(SMALL, tie_embeddings=tied)
    here, wide = (
        RECIPES["transfer"](replace(base, width=width, heads=width // 16, kv_heads=1, ffn=width * 2), 1e6, MUON)
        for width in (32, 128)
    )
    assert (here.optimizer, here.name) == ("muon", "transfer")
    for group in ("matrix", "query", "residual", "embedding", "norm"):
        assert getattr(wide.rates, group) == pytest.approx(getattr(here.rates, group)), group
    assert wide.rates.head == pytest.approx(here.rates.head / 4)
    assert wide.rates.final_norm == pytest.approx(here.rates.final_norm / (4 if tied else 1))
    deep = RECIPES["transfer"](replace(base, depth=8), 1e6, MUON)
    assert (deep.rates.matrix, deep.rates.residual) == (here.rates.matrix, pytest.approx(here.rates.matrix / 4))
    fat = RECIPES["transfer"](replace(base, width=128, ffn=352), 1e6, MUON)  # head_dim 64
    assert (fat.init.query, fat.rates.query) == (0.5, pytest.approx(fat.rates.matrix / 2))


def test_muon_and_adamw_start_from_the_same_weights_with_the_same_batches() -> None:
    muon, adamw = (RECIPES["transfer"](SMALL, 3e6, chosen) for chosen in (MUON, WSD))
    assert (muon.batch_tokens, muon.init, muon.schedule, muon.clip) == (
        *(adamw.batch_tokens, adamw.init, adamw.schedule),
        adamw.clip,
    )


def test_llama_has_no_rules_for_muon() -> None:
    with pytest.raises(InputError, match="`optimizer` muon takes the recipe transfer"):
        RECIPES["llama"](SMALL, 1e6, MUON)


@pytest.mark.parametrize(("name", "overrides"), [("transfer", WSD), ("llama", WSD), ("transfer", MUON)])
def test_what_is_set_by_hand_is_kept(name: str, overrides: Overrides) -> None:
    make = RECIPES[name]
    usual = make(SMALL, 1e6, overrides)
    chosen = make(SMALL, 1e6, replace(overrides, learning_rate=0.01, batch_tokens=640, weight_decay=0.3, warmup=0.05))
    assert chosen.rates.matrix == pytest.approx(0.01)
    ratio = {group: rate / usual.rates.matrix for group, rate in asdict(usual.rates).items()}
    assert {group: rate / 0.01 for group, rate in asdict(chosen.rates).items()} == pytest.approx(ratio)
    assert (chosen.batch_tokens, chosen.weight_decay, chosen.schedule.warmup) == (640, 0.3, 0.05)
    assert chosen.schedule.decay == 0.3
