"""Our Llama against transformers' LlamaForCausalLM with the same weights."""

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import parity
import pytest

from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params

TOLERANCE = 1e-4


def logits_of(config: LlamaConfig, weights: dict[str, np.ndarray], tokens: np.ndarray) -> np.ndarray:
    return np.asarray(parity.load(config, weights).logits(jnp.asarray(tokens, jnp.int32)))


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    """Weights, tokens and logits that make_parity_fixtures.py wrote."""
    with np.load(Path(__file__).with_name("parity.npz")) as file:
        return dict(file)


def stored_weights(stored: dict[str, np.ndarray], case: str) -> dict[str, np.ndarray]:
    return {name: stored[f"{case}/{name}"] for name in parity.hf_shapes(parity.CASES[case])}


@pytest.mark.parametrize("case", parity.CASES)
def test_logits_equal_the_stored_ones(case: str, stored: dict[str, np.ndarray]) -> None:
    config, weights, reference = parity.CASES[case], stored_weights(stored, case), stored[f"{case}/logits"]
    assert sum(weight.size for weight in weights.values()) == count_params(config).total
    assert reference.std() > 0.5, "the reference is too flat to tell models apart"
    logits = logits_of(config, weights, stored[f"{case}/tokens"])
    np.testing.assert_allclose(logits, reference, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("case", "change"),
    [
        ("rope-scaling", {"rope_scaling": None}),
        ("gqa", {"rope_theta": 9000.0}),
        ("mha", {"norm_eps": 1e-3}),
    ],
)
def test_the_stored_logits_would_notice(case: str, change: dict[str, object], stored: dict[str, np.ndarray]) -> None:
    config = dataclasses.replace(parity.CASES[case], **change)
    logits = logits_of(config, stored_weights(stored, case), stored[f"{case}/tokens"])
    assert np.abs(logits - stored[f"{case}/logits"]).max() > 10 * TOLERANCE
