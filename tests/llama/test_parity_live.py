"""The same comparison against the installed transformers, on larger shapes and fresh weights."""

import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import parity
import pytest

from scaling.llama.config import LlamaConfig, RopeScaling

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("torch")]

LARGER = {
    "mha": LlamaConfig(vocab=300, width=128, depth=4, heads=4, kv_heads=4, ffn=344, seq_len=200),
    "gqa-llama3": LlamaConfig(
        vocab=512,
        width=128,
        depth=3,
        heads=8,
        kv_heads=2,
        ffn=448,
        seq_len=300,
        rope_theta=500000.0,
        rope_scaling=RopeScaling(factor=32.0, original_context=128),
    ),
    "tied-deep": LlamaConfig(
        vocab=256, width=64, depth=12, heads=2, kv_heads=1, ffn=176, seq_len=64, tie_embeddings=True
    ),
}


@pytest.fixture(scope="module", autouse=True)
def transformers() -> None:
    """Skips where the extra ``parity`` is not installed; warnings at import are not ours to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("torch", reason='needs pip install -e ".[parity]"')
        pytest.importorskip("transformers", reason='needs pip install -e ".[parity]"')


@pytest.mark.parametrize(("case", "seed"), [(case, seed) for case in LARGER for seed in range(2)])
def test_logits_equal(case: str, seed: int) -> None:
    config = LARGER[case]
    weights, tokens = parity.random_weights(config, seed), parity.random_tokens(config, seed)
    reference = parity.reference_logits(config, weights, tokens)
    logits = np.asarray(parity.load(config, weights).logits(jnp.asarray(tokens, jnp.int32)))
    np.testing.assert_allclose(logits, reference, rtol=0, atol=1e-4)


def test_a_shape_of_the_fixtures_still_gives_the_stored_logits() -> None:
    config = parity.CASES["mha"]
    weights, tokens = parity.random_weights(config, 0), parity.random_tokens(config, 0)
    with np.load(Path(__file__).with_name("parity.npz")) as file:
        reference = file["mha/logits"]
    np.testing.assert_allclose(parity.reference_logits(config, weights, tokens), reference, rtol=0, atol=1e-5)
