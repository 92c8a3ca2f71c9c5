"""Writes parity.npz: small weights, tokens and the logits of transformers' LlamaForCausalLM.

Needs ``pip install -e ".[parity]"``, then: ``python tests/llama/make_parity_fixtures.py``.
"""

import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "support")]

import parity  # noqa: E402

arrays: dict[str, np.ndarray] = {}
for seed, (case, config) in enumerate(parity.CASES.items()):
    weights, tokens = parity.random_weights(config, seed), parity.random_tokens(config, seed)
    arrays |= {f"{case}/{name}": weight for name, weight in weights.items()}
    arrays[f"{case}/tokens"] = tokens.astype(np.uint8)
    arrays[f"{case}/logits"] = parity.reference_logits(config, weights, tokens)
np.savez_compressed(Path(__file__).with_name("parity.npz"), **arrays)
