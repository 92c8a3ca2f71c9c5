"""Makes ``reference.json``: two steps of Muon in torch, as published (Jordan, 2024), on each matrix of a tiny layer.

    python tests/train/muon/make_reference.py

Needs torch. The published code iterates in bfloat16; here in float32, so that the numbers say more than their rounding.
Torch's matrices are (fan_out, fan_in); so are those in the file. Its ``torch.optim.Muon`` is compared by the tests.
"""

import json
import math
from pathlib import Path

import torch

RATE, DECAY, MOMENTUM, STEPS = 0.02, 0.1, 0.95, 2
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
# Of a layer of width 4, with two query heads and one of keys and values, each 2 wide; the inner layer is 6 wide.
SHAPES = {"query": (4, 4), "key": (2, 4), "value": (2, 4), "out": (4, 4), "gate": (6, 4), "up": (6, 4), "down": (4, 6)}


def newton_schulz(g: torch.Tensor) -> torch.Tensor:
    a, b, c = COEFFICIENTS
    x = g / (torch.linalg.matrix_norm(g) + 1e-7)
    if g.shape[0] > g.shape[1]:
        x = x.T
    for _ in range(5):
        s = x @ x.T
        x = a * x + b * (s @ x) + c * (s @ (s @ x))
    return x.T if g.shape[0] > g.shape[1] else x


def steps(weight: torch.Tensor, gradients: list[torch.Tensor]) -> torch.Tensor:
    weight, momentum = weight.clone(), torch.zeros_like(weight)
    for gradient in gradients:
        momentum = MOMENTUM * momentum + (1 - MOMENTUM) * gradient
        direction = newton_schulz((1 - MOMENTUM) * gradient + MOMENTUM * momentum)
        fan_out, fan_in = weight.shape
        weight *= 1 - RATE * DECAY
        weight -= RATE * math.sqrt(max(1, fan_out / fan_in)) * direction
    return weight


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name, shape in SHAPES.items():
        weight, *gradients = (torch.randn(shape, generator=generator) for _ in range(1 + STEPS))
        tensors = {"before": weight, "gradients": torch.stack(gradients), "after": steps(weight, gradients)}
        found[name] = {key: torch.round(tensor, decimals=7).tolist() for key, tensor in tensors.items()}
    content = {"rate": RATE, "weight_decay": DECAY, "matrices": found}
    Path(__file__).with_name("reference.json").write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
