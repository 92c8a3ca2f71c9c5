"""Reward models and pairs small enough to train in a second."""

import math
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from scaling.data.answers.rows import Ids, Pair, PairSet, PromptSet
from scaling.llama.config import LlamaConfig
from scaling.llama.model import Llama
from scaling.llama.parameters import llama_with, named_parameters
from scaling.llama.sharding import PLAIN, Execution
from scaling.posttrain.config import SCORE, Source, StageConfig, StageRecipe
from scaling.posttrain.stage import Model, StageRun
from scaling.train.recipe import Rates, Schedule

MODEL = LlamaConfig(vocab=256, width=16, depth=2, heads=2, kv_heads=1, ffn=48, seq_len=48, tie_embeddings=True)
NEVER = (math.inf, math.inf)


def ids_of(text: str | bytes) -> Ids:
    return np.frombuffer(text.encode() if isinstance(text, str) else text, np.uint8).astype(np.int32)


def make_model(config: LlamaConfig = MODEL, seed: int = 0, score: bool = False, scale: float = 1.0) -> Model:
    """A Llama at random, its matrices multiplied by ``scale``, and perhaps a scalar head."""
    llama = Llama(config, rngs=nnx.Rngs(seed))
    named = {name: np.asarray(array) * scale for name, array in named_parameters(nnx.split(llama)[1]).items()}
    if score:
        named[SCORE] = np.random.default_rng(seed).normal(size=config.width).astype(np.float32)
    return Model(config, named)


def make_prompts(count: int = 40, held_out: int = 10) -> PromptSet:
    random = np.random.default_rng(5)
    prompts = [random.integers(97, 123, 8, dtype=np.int32) for _ in range(count + held_out)]
    return PromptSet(tuple(prompts[:count]), tuple(prompts[count:]))


def letter_pairs(count: int = 256, held_out: int = 256, safety: float = 0.0) -> PairSet:
    """Pairs of which the answer with more of the letter a is preferred; of a share, that with more of b, by safety."""
    random = np.random.default_rng(7)
    pairs: list[Pair] = []
    while len(pairs) < count + held_out:
        prompt = random.integers(97, 123, 6, dtype=np.int32)
        safe = random.random() < safety
        one, other = (
            np.append(random.choice(np.array([97, 98, 99, 120], np.int32), random.integers(4, 20)), np.int32(0))
            for _ in range(2)
        )
        better = int((one == 97 + safe).sum()) - int((other == 97 + safe).sum())
        if better:
            chosen, rejected = (one, other) if better > 0 else (other, one)
            pairs.append(Pair(prompt, chosen, rejected, float(min(abs(better), 3)), bool(safe)))
    return PairSet(tuple(pairs[:count]), tuple(pairs[count:]))


def reward_run(
    folder: Path,
    data: PairSet,
    report: Callable[[dict[str, float]], None] = lambda _: None,
    *,
    steps: int = 40,
    rate: float = 1e-2,
    checkpoint_s: tuple[float, float] = NEVER,
    execution: Execution = PLAIN,
    start: Model | None = None,
    **settings: object,
) -> StageRun:
    """A run of the stage ``reward`` on given pairs."""
    start = make_model() if start is None else start
    recipe = StageRecipe("tiny", 32, Rates(*[rate] * 8), 0.0, 0.9, 0.95, 1.0, Schedule("wsd", 0.1, 0.5, 0.0))
    config = StageConfig(
        stage="reward",
        model=start.config,
        sources={"start": Source("start", "0", start.config)},
        data={},
        settings={"pairs": len(data.train), "held_out": len(data.held_out), **settings},
        recipe=recipe,
        steps=steps,
        flops=1,
        seed=0,
    )
    return StageRun(config, data, lambda _: start, folder / "checkpoints", checkpoint_s, report, execution)


def plain_scores(model: Model, rows: list[Ids]) -> np.ndarray:
    """The score of each row by itself, without padding: the last hidden state times the head."""
    named = {name: array for name, array in model.parameters.items() if name != SCORE}
    llama = llama_with(model.config, named)
    hidden = [np.asarray(llama(jax.numpy.asarray(row[None])))[0, -1] for row in rows]
    return np.stack(hidden) @ model.parameters[SCORE]
