"""The coordinate check of the recipe ``transfer`` (2203.03466, appendix D.1; 2505.01618 for depth).

A few real training steps at sizes that grow: what the model computes, what a step changes in it, and how much of its
own output each matrix moves, stay of one order, so log RMS against log size has a slope near 0. Under one learning
rate and one initial standard deviation for all, the same measures have slopes of 0.5 and more.
"""

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import DATA, make_text

from scaling.llama.config import LlamaConfig
from scaling.llama.layers.rope import rope_tables
from scaling.llama.sharding import name_of
from scaling.train.config import RunConfig
from scaling.train.recipe import RECIPES, Overrides, Rates
from scaling.train.step import TrainState, hyper_of, init_state, program_for

SEEDS = (0, 1, 2)
# The recipe under either optimizer; no recipe; and Muon with a rule that is not its own.
Way: TypeAlias = Literal["adamw", "muon", "standard", "muon by 1 / width"]
# The recipe's reference point, at its full rate from the first step.
BATCH, HORIZON, STEPS = 4, 2400, 8
STATES = ("stream", "attention", "logits")
MATRICES = ("qkv", "out", "gate_up", "down")
# A slope that the recipe keeps to, and one that needs a correction.
FLAT, STEEP = 0.25, 0.5
# The slope -1/2 of a mean of uncorrelated terms, and what seeds add to it.
AVERAGED = -0.6


def model(width: int, depth: int, heads: int, tied: bool, qk_norm: bool) -> LlamaConfig:
    return LlamaConfig(
        vocab=256,
        width=width,
        depth=depth,
        heads=heads,
        kv_heads=max(1, heads // 2),
        ffn=2 * width,
        seq_len=32,
        tie_embeddings=tied,
        qk_norm=qk_norm,
    )


@dataclass(frozen=True)
class Family:
    """Models that grow.

    Attributes:
        shape: from the size.
        sizes: from the smallest.
        averaged: what may fall with the square root of the size, as a mean of that many terms does that are not yet
            correlated: a product with independent weights under muP's 1 / width, what the layers add under 1 / depth.
        steep: what grows under the standard parametrisation.
    """

    shape: Callable[[int], LlamaConfig]
    sizes: tuple[int, ...]
    averaged: tuple[str, ...]
    steep: tuple[str, ...]


FAMILIES = {
    "wider heads": Family(
        lambda size: model(size, 2, 2, True, False),
        (16, 32, 64, 128),
        averaged=("attention", "attention after 1", "attention after 8", "logits", "logits after 1"),
        steep=("attention", "stream after 1", "attention after 1", "logits after 1", "stream after 8"),
    ),
    "more heads": Family(
        lambda size: model(size, 2, size // 16, False, True),
        (16, 32, 64, 128),
        averaged=(),
        steep=("stream after 2", "logits after 2", "stream after 8", "logits after 8"),
    ),
    # From 8 layers on: two or three would make up most of the stream, even at first.
    "deeper": Family(
        lambda size: model(32, size, 2, True, True),
        (8, 16, 32, 64),
        averaged=("stream after 1",),
        steep=("stream", "stream after 1", "stream after 8"),
    ),
    "deeper, untied": Family(
        lambda size: model(32, size, 2, False, False),
        (8, 16, 32, 64),
        averaged=("stream after 2", "stream after 8"),
        steep=("stream", "stream after 2", "stream after 8"),
    ),
}


def named(state: TrainState) -> dict[str, np.ndarray]:
    return {name_of(path): np.asarray(x) for path, x in jax.tree_util.tree_leaves_with_path(state.parameters)}


def observe(
    config: LlamaConfig, state: TrainState, tokens: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, list[np.ndarray]]]:
    """What a model computes: residual stream after the last layer, attention logits, logits; each matrix's inputs."""
    parameters = named(state)
    batch, seq = tokens.shape
    past = np.tril(np.ones((seq, seq), bool))
    cos, sin = (np.asarray(table)[:, None, :] for table in rope_tables(config, seq))

    def normed(x: np.ndarray, gain: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + config.norm_eps) * gain

    def turned(x: np.ndarray) -> np.ndarray:
        first, second = np.split(x, 2, axis=-1)
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

    inputs: dict[str, list[np.ndarray]] = {name: [] for name in MATRICES}

    def product(name: str, x: np.ndarray, layer: int) -> np.ndarray:
        inputs[name].append(x)
        return x @ parameters[name][layer]

    x, scores = parameters["embedding"][tokens], []
    for layer in range(config.depth):
        qkv = product("qkv", normed(x, parameters["attention_norm"][layer]), layer)
        parts = qkv.reshape(batch, seq, -1, config.head_dim)
        query, key, value = np.split(parts, [config.heads, config.heads + config.kv_heads], axis=2)
        if config.qk_norm:
            query, key = normed(query, parameters["query_norm"][layer]), normed(key, parameters["key_norm"][layer])
        key, value = (np.repeat(part, config.heads // config.kv_heads, axis=2) for part in (turned(key), value))
        score = np.einsum("bqhd,bkhd->bhqk", turned(query), key) / np.sqrt(config.head_dim)
        scores.append(score[..., past])
        weights = np.exp(np.where(past, score, -np.inf))
        mixed = np.einsum("bhqk,bkhd->bqhd", weights / weights.sum(axis=-1, keepdims=True), value)
        x = x + product("out", mixed.reshape(batch, seq, -1), layer)
        gate, up = np.split(product("gate_up", normed(x, parameters["ffn_norm"][layer]), layer), 2, axis=-1)
        x = x + product("down", gate / (1 + np.exp(-gate)) * up, layer)
    head = parameters["embedding" if config.tie_embeddings else "output"]
    logits = normed(x, parameters["norm"]) @ head.T
    return {"stream": x, "attention": np.stack(scores), "logits": logits}, inputs


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def flat(state: TrainState) -> TrainState:
    """Standard parametrisation: every initial weight has the standard deviation 0.02, every gain is 1."""

    def same(path: tuple[object, ...], parameter: jax.Array) -> np.ndarray:
        x = np.asarray(parameter)  # JAX would compile for every shape
        if name_of(path).endswith("norm"):
            return np.ones_like(x)
        return np.float32(0.02) * x / np.maximum(x.std(axis=-2, keepdims=True), np.float32(1e-9))

    return state._replace(parameters=jax.tree_util.tree_map_with_path(same, state.parameters))


def run_of(config: LlamaConfig, way: Way, seed: int) -> RunConfig:
    batch_tokens = BATCH * config.seq_len
    chosen = Overrides(schedule="wsd", decay=0.3, batch_tokens=batch_tokens, warmup=0.0)
    if way.startswith("muon"):
        chosen = replace(chosen, optimizer="muon")
    recipe = RECIPES["transfer"](config, HORIZON * batch_tokens, chosen)
    if way == "muon by 1 / width":
        rates = {group: rate / config.width for group, rate in asdict(recipe.rates).items()}
        recipe = replace(recipe, rates=Rates(**rates))
    if way == "standard":
        recipe = replace(recipe, rates=Rates(**dict.fromkeys(asdict(recipe.rates), 0.005)))
    return RunConfig(config, DATA, recipe, HORIZON, seed)


@functools.cache
def measure(config: LlamaConfig, way: Way, seed: int) -> dict[str, float]:
    """RMS of the states at first, of their change after the first steps and after more, and of the matrices' part."""
    run = run_of(config, way, seed)
    text, program, hyper = make_text(run), program_for(run), hyper_of(run)
    batches = text.batches.take(0, STEPS)
    probe = batches[0, :, :-1]

    def fresh() -> TrainState:
        return flat(init_state(run)) if way == "standard" else init_state(run)

    begun, first = fresh(), 1 if config.tie_embeddings else 2  # a head of zeros hides the rest from the first step
    before, _ = observe(config, begun, probe)
    found = {name: rms(before[name]) for name in STATES if before[name].any()}
    for steps in (first, STEPS):
        # Anew each time: a dispatch consumes the state that it is given.
        state, _ = program.train(fresh(), hyper, batches, jnp.int32(steps))
        after, inputs = observe(config, state, probe)
        found |= {f"{name} after {steps}": rms(after[name] - before[name]) for name in STATES}
        old, new = named(begun), named(state)
        for name in MATRICES:
            layers = zip(inputs[name], old[name], new[name], strict=True)
            found[f"{name} after {steps}"] = float(np.median([rms(x @ (w - v)) / rms(x @ v) for x, v, w in layers]))
    return found


def slopes(family: Family, sizes: tuple[int, ...], way: Way) -> dict[str, float]:
    """Of log RMS, averaged over seeds, against log size."""
    logs = [
        [{name: np.log(value) for name, value in measure(family.shape(size), way, seed).items()} for seed in SEEDS]
        for size in sizes
    ]
    mean = {name: [np.mean([seed[name] for seed in seeds]) for seeds in logs] for name in logs[0][0]}
    return {name: float(np.polyfit(np.log(sizes), values, 1)[0]) for name, values in mean.items()}


def check(name: str, sizes: slice, way: Way = "adamw") -> None:
    family = FAMILIES[name]
    for what, slope in slopes(family, family.sizes[sizes], way).items():
        assert (AVERAGED if what in family.averaged else -FLAT) < slope < FLAT, what
    steep = slopes(family, family.sizes[sizes], "standard")
    assert min(steep[what] for what in family.steep) > STEEP, "the check must be able to fail"


@pytest.mark.parametrize("name", ["wider heads", "deeper, untied"])
def test_steps_at_both_ends_are_alike(name: str) -> None:
    check(name, slice(None, None, 3))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wider heads", "deeper, untied"])
def test_muons_steps_at_both_ends_are_alike(name: str) -> None:
    check(name, slice(None, None, 3), "muon")


@pytest.mark.slow
def test_adamws_rule_for_width_is_not_muons() -> None:
    family = FAMILIES["wider heads"]
    found = slopes(family, family.sizes[::3], "muon by 1 / width")
    assert max(found[f"{name} after {STEPS}"] for name in MATRICES) < -STEEP


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_steps_at_every_size_are_alike(name: str) -> None:
    check(name, slice(None))


@pytest.mark.parametrize("tied", [True, False])
def test_gains_move_by_the_same_part_at_every_size(tied: bool) -> None:
    recipes = [run_of(model(width, 2, 2, tied, True), "adamw", 0).recipe for width in (16, 1024)]
    small, large = (
        [
            recipe.rates.norm,
            recipe.rates.final_norm / recipe.init.final_norm,
            recipe.rates.query_norm / recipe.init.query,
        ]
        for recipe in recipes
    )
    assert large == pytest.approx(small)


def test_the_observer_computes_what_the_model_does() -> None:
    for family in (FAMILIES["wider heads"], FAMILIES["more heads"]):
        run = run_of(family.shape(family.sizes[0]), "adamw", 0)
        state, windows = init_state(run), make_text(run).batches.take(0, 1)[0]
        if not run.model.tie_embeddings:  # zeros would agree whatever came before them
            state.parameters["output"][...] = 0.1 * jax.random.normal(jax.random.key(0), (256, run.model.width))
        logits = observe(run.model, state, windows[:, :-1])[0]["logits"]
        right = np.take_along_axis(logits, windows[:, 1:, None], axis=-1)[..., 0]
        losses = np.log(np.exp(logits).sum(axis=-1)) - right
        np.testing.assert_allclose(program_for(run).evaluate(state.parameters, windows), losses, atol=1e-3)
