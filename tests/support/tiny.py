"""A run small enough to train in a second, on text made here."""

import numpy as np

from scaling.data.batches import Batches, HeldOutWindows, RunText, TokenSet, held_out_windows
from scaling.data.mixing.mixed import MixedBatches
from scaling.llama.config import LlamaConfig
from scaling.train.config import DataConfig, RunConfig
from scaling.train.recipe import RECIPES, OptimizerName, Overrides

MODEL = LlamaConfig(vocab=256, width=16, depth=2, heads=2, kv_heads=1, ffn=48, seq_len=32, tie_embeddings=True)
DATA = DataConfig(
    corpus={"name": "sotu"},
    fingerprint={"name": "made-here", "documents": 2, "bytes": 1, "sha256": "0"},
    tokenizer={"name": "bytes", "hash": "0"},
    eval_tokens=2048,
)


def make_run(
    steps: int = 150, seed: int = 0, model: LlamaConfig = MODEL, optimizer: OptimizerName = "adamw", **chosen: float
) -> RunConfig:
    batch = 2 * model.seq_len
    overrides = Overrides(batch_tokens=batch, schedule="wsd", decay=0.3, optimizer=optimizer, **chosen)
    recipe = RECIPES["transfer"](model, steps * batch, overrides)
    return RunConfig(model, DATA, recipe, steps, seed)


def make_ids(seed: int, tokens: int) -> np.ndarray:
    """Words that follow one another by a rule, so that there is something to learn."""
    random = np.random.default_rng(seed)
    words = [random.integers(97, 123, 5, dtype=np.uint8).tobytes() + b" " for _ in range(8)]
    state, text = 0, []
    for _ in range(tokens // 6):
        state = (3 * state + random.integers(0, 2)) % len(words)
        text.append(words[state])
    return np.frombuffer(b"".join(text), np.uint8)


def make_text(config: RunConfig, tokens: int = 60_000) -> RunText:
    """The text of a run, of one source."""
    train, held = split(make_ids(0, tokens))
    windows, documents = held_out_windows(held, config.model.seq_len, config.data.eval_tokens)
    return RunText(Batches(train, config.model.seq_len, config.batch, config.stream), windows, documents)


def make_mixed_text(config: RunConfig, tokens: int = 12_000) -> RunText:
    """The text of a run on the mixture of its config, of the sources ``a``, ``b`` and ``c``."""
    parts = {name: split(make_ids(seed, tokens)) for seed, name in enumerate("abc")}
    seq_len, mixture = config.model.seq_len, config.data.mixture
    assert mixture is not None
    sources = {name: train for name, (train, _) in parts.items()}
    sets = {name: held_out_windows(held, seq_len, config.data.eval_tokens) for name, (_, held) in parts.items()}
    return RunText(
        MixedBatches(sources, mixture, seq_len, config.batch, config.stream),
        *sets["a"],
        {name: HeldOutWindows(*found) for name, found in sets.items()},
    )


def split(ids: np.ndarray) -> tuple[TokenSet, TokenSet]:
    """Nine tenths to train on, and the rest held out."""
    cut = len(ids) * 9 // 10
    train, held = (TokenSet(part, np.array([len(part)], np.int64)) for part in (ids[:cut], ids[cut:]))
    return train, held
