"""Synthetic sweeps: a known law, seed noise, four budgets, and a target ten times beyond."""

from collections.abc import Callable

import numpy as np
import pandas as pd

CHINCHILLA = {"E": 0.75, "A": 8.0, "B": 60.0, "alpha": 0.36, "beta": 0.37}
Loss = Callable[[float, float], float]


def chinchilla(params: float, tokens: float) -> float:
    c = CHINCHILLA
    return c["E"] + c["A"] / params ** c["alpha"] + c["B"] / tokens ** c["beta"]


def sweep(seed: int = 0, noise: float = 0.004, seeds: int = 2, loss: Loss = chinchilla) -> pd.DataFrame:
    """Rows of a small sweep: 16 cells of role fit, and three seeds of a target."""
    rng = np.random.default_rng(seed)
    cells = [(8e3 * 3 ** (b / 2) * spread, 1e10 * 3.16**b) for b in range(4) for spread in (0.5, 1, 2, 3)]
    plan = [(n, c, "fit", s) for n, c in cells for s in range(seeds)]
    plan += [(8e3 * 3**2.5, 3.16e12, "target", s) for s in range(3)]
    rows = []
    for n, c, role, s in plan:
        params, tokens = round(n), round(c / 6 / n)
        run_id = f"{role}-{params}-{tokens}-{s}"
        rows.append(
            {
                "run_id": run_id,
                "trunk_id": run_id,
                "sweep": "synthetic",
                "role": role,
                "status": "done",
                "params": params,
                "tokens": tokens,
                "flops": 6.0 * params * tokens,
                "loss": loss(params, tokens) * float(np.exp(noise * rng.standard_normal())),
                "lr": 0.01,
                "seed": s,
                "corpus": "synthetic",
                "wall_s": float(rng.uniform(1, 2)),
            }
        )
    return pd.DataFrame(rows)
