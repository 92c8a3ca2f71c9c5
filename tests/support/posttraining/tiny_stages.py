"""Runs of SFT and DPO small enough to train in a second, on answers made here."""

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from posttraining.tiny_rewards import MODEL, ids_of, make_model

from scaling.data.answers.rows import Example, ExampleSet, Pair, PairSet
from scaling.llama.config import LlamaConfig
from scaling.llama.sharding import PLAIN, Execution
from scaling.posttrain.config import Source, StageConfig, StageName, StageRecipe
from scaling.posttrain.settings import DpoSettings, SftSettings
from scaling.posttrain.stage import Model, StageRun
from scaling.train.recipe import Rates, Schedule

NEVER = (math.inf, math.inf)


def make_recipe(rate: float = 0.01, batch: int = 16, final: float = 0.0) -> StageRecipe:
    """One rate for all groups, decaying linearly."""
    rates = Rates(rate, rate, rate, rate, rate, rate, rate, rate)
    return StageRecipe("made-here", batch, rates, 0.0, 0.9, 0.95, 1.0, Schedule("wsd", 0.1, 1.0, final))


def example_of(prompt: str, answer: str, end: bool = True) -> Example:
    ids = ids_of(prompt + answer + "\0" * end)
    return Example(ids, np.arange(len(ids)) >= len(prompt))


def make_examples(count: int = 64, held_out: int = 16) -> ExampleSet:
    """Answers that repeat the prompt's letter, of very unequal lengths."""
    random = np.random.default_rng(3)

    def example(number: int) -> Example:
        letter = chr(97 + number % 26)
        return example_of(f"{number:03d}{letter}", letter * int(random.choice([1, 2, 5, 30])))

    made = [example(number) for number in range(count + held_out)]
    return ExampleSet(tuple(made[:count]), tuple(made[count:]))


def make_pairs(count: int = 64, held_out: int = 16) -> PairSet:
    """Answers of a and of b; those of a are preferred, and longer in half of the pairs."""
    random = np.random.default_rng(4)

    def pair(number: int) -> Pair:
        lengths = random.choice([1, 2, 5, 30], 2)
        chosen, rejected = (letter * int(length) + "\0" for letter, length in zip("ab", lengths, strict=True))
        return Pair(ids_of(f"{number:03d}?"), ids_of(chosen), ids_of(rejected))

    made = [pair(number) for number in range(count + held_out)]
    return PairSet(tuple(made[:count]), tuple(made[count:]))


def make_run(
    folder: Path,
    stage: StageName,
    data: Any,
    settings: SftSettings | DpoSettings,
    *,
    steps: int = 8,
    seed: int = 0,
    start: Model | None = None,
    model: LlamaConfig = MODEL,
    recipe: StageRecipe | None = None,
    checkpoint_s: tuple[float, float] = NEVER,
    report: Callable[[dict[str, float]], None] = lambda _: None,
    execution: Execution = PLAIN,
    dtype: str = "float32",
) -> StageRun:
    start = make_model(model) if start is None else start
    config = StageConfig(
        stage=stage,
        model=model,
        sources={"start": Source("sft/runs/start", "0" * 12, model)},
        data={"name": "made-here"},
        settings=asdict(settings),
        recipe=make_recipe() if recipe is None else recipe,
        steps=steps,
        flops=0,
        seed=seed,
        dtype="bfloat16" if dtype == "bfloat16" else "float32",
    )
    return StageRun(config, data, lambda part: {"start": start}[part], folder, checkpoint_s, report, execution)
