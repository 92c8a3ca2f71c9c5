"""Synthetic sweeps: a known law, seed noise, four budgets, and a target ten times beyond."""

from collections.abc import Callable

import numpy as np
import pandas as pd

CHINCHILLA = {"E": 0.75, "A": 8.0, "B": 60.0, "alpha": 0.36, "beta": 0.37}
BRACKETED = {**CHINCHILLA, "A": 20.0}  # whose best sizes lie among those of `bracketed`
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


def bracketed() -> pd.DataFrame:
    """Six sizes at four budgets, two seeds each, and three runs of a target ten times beyond."""
    sizes = (4e3, 8e3, 1.6e4, 3.2e4, 6.4e4, 1.28e5)
    rng = np.random.default_rng(0)
    cells = [(n, c, "fit", s) for c in (1e10, 3e10, 1e11, 3e11) for n in sizes for s in range(2)]
    cells += [(2e5, 3e12, "target", s) for s in range(3)]
    rows = []
    for n, c, role, seed in cells:
        d = c / 6 / n
        loss = BRACKETED["E"] + BRACKETED["A"] / n ** BRACKETED["alpha"] + BRACKETED["B"] / d ** BRACKETED["beta"]
        row = {"run_id": f"{role}-{n:.0f}-{d:.0f}-{seed}", "role": role, "status": "done", "params": n, "tokens": d}
        row |= {"flops": c, "loss": loss * float(np.exp(0.003 * rng.standard_normal())), "lr": 0.01, "seed": seed}
        rows.append(row)
    return pd.DataFrame(rows)


def tuned(frame: pd.DataFrame, best: float = 0.01) -> pd.DataFrame:
    """Three rates at the smallest and the largest fitted size of the sweep, for three paired seeds."""
    cells = frame[frame.role == "fit"].drop_duplicates(["params", "tokens"]).sort_values("params").iloc[[0, -1]]
    rng = np.random.default_rng(0)
    rows = [
        {**cell.to_dict(), "run_id": f"{i}-{lr}-{seed}", "seed": seed, "lr": lr}
        | {"loss": cell.loss * float(np.exp(0.05 * np.log(lr / best) ** 2 + 1e-4 * rng.standard_normal()))}
        for i, (_, cell) in enumerate(cells.iterrows())
        for lr in (0.005, 0.01, 0.02)
        for seed in range(3)
    ]
    return pd.DataFrame(rows)


def curves_of(frame: pd.DataFrame, noise: float = 0.005, seed: int = 0, **spoilt: float) -> pd.DataFrame:
    """Rows of ``run_id tokens loss``: each run's law along its tokens, above it until the rate falls, in 40 rows.

    Args:
        frame: the runs.
        noise: standard deviation of a dispatch's log loss.
        seed: of the noise.
        spoilt: run -> by how much its log loss is higher over the middle of the run.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for run in frame.to_dict("records"):
        share = np.arange(1, 41) / 40
        law = BRACKETED["E"] + BRACKETED["A"] / run["params"] ** BRACKETED["alpha"]
        loss = law + BRACKETED["B"] / (share * run["tokens"]) ** BRACKETED["beta"]
        loss = loss * (1 + 0.04 * np.minimum(1.0, (1 - share) / 0.3)) * np.exp(noise * rng.standard_normal(40))
        loss = loss * np.exp(spoilt.get(run["run_id"], 0.0) * ((share > 0.3) & (share < 0.8)))
        rows.append(pd.DataFrame({"run_id": run["run_id"], "tokens": share * run["tokens"], "loss": loss}))
    return pd.concat(rows, ignore_index=True)
