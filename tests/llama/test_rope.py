"""The scalings of RoPE against what their papers say of the fastest and the slowest pairs."""

import dataclasses
import math

import numpy as np
import pytest

from scaling.llama.config import LlamaConfig
from scaling.llama.layers.rope import rope_frequencies, rope_tables
from scaling.llama.rope_scaling import DynamicScaling, LinearScaling, YarnScaling

PLAIN = LlamaConfig(vocab=8, width=128, depth=1, heads=2, kv_heads=1, ffn=8, seq_len=64)


def test_linear_slows_every_pair() -> None:
    scaled = dataclasses.replace(PLAIN, rope_scaling=LinearScaling(4.0))
    np.testing.assert_allclose(rope_frequencies(scaled), rope_frequencies(PLAIN) / 4)


@pytest.mark.parametrize("seq", [1, 40, 64])
def test_dynamic_is_plain_within_the_context(seq: int) -> None:
    scaled = dataclasses.replace(PLAIN, rope_scaling=DynamicScaling(4.0))
    np.testing.assert_array_equal(rope_frequencies(scaled, seq), rope_frequencies(PLAIN))


def test_dynamic_slows_the_slowest_pair_by_how_much_longer_the_sequence_is() -> None:
    scaled = dataclasses.replace(PLAIN, rope_scaling=DynamicScaling(1.0))
    plain, longer = rope_frequencies(PLAIN), rope_frequencies(scaled, 192)
    assert longer[0] == plain[0]
    assert longer[-1] == pytest.approx(plain[-1] / 3)
    # A factor of 4 counts the growth four times: 4 * 3 - 3.
    faster = rope_frequencies(dataclasses.replace(scaled, rope_scaling=DynamicScaling(4.0)), 192)
    assert faster[-1] == pytest.approx(plain[-1] / 9)


@pytest.mark.parametrize("truncate", [True, False])
def test_yarn_keeps_the_fast_pairs_and_slows_the_slow_ones(truncate: bool) -> None:
    config = dataclasses.replace(PLAIN, seq_len=4096)
    scaling = YarnScaling(8.0, 1024, attention_factor=1.25, truncate=truncate)
    scaled = dataclasses.replace(config, rope_scaling=scaling)
    plain, slowed = rope_frequencies(config), rope_frequencies(scaled)
    turns = 1024 * plain / (2 * math.pi)
    np.testing.assert_allclose(slowed[turns > 50], plain[turns > 50])
    np.testing.assert_allclose(slowed[turns < 0.5], plain[turns < 0.5] / 8)
    between = (turns < 30) & (turns > 1.5)
    assert ((slowed[between] < plain[between]) & (slowed[between] > plain[between] / 8)).all()
    cos, sin = rope_tables(scaled, 3)
    np.testing.assert_allclose(cos**2 + sin**2, 1.25**2, rtol=1e-6)
