"""Loss surfaces with known optima, grids of runs on them, and the published isoFLOP tables."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.allocation.estimate import SurfaceEstimate, published_surface
from analysis.runs.arrays import RunArrays
from analysis.runs.table import RunTable, read_table

# E, A, B, alpha, beta.
LAWS = {
    "chinchilla": (1.8172, 482.01, 2085.43, 0.3478, 0.3658),  # 2404.10102
    "steep-size": (1.7, 2000.0, 200.0, 0.5, 0.25),
    "steep-tokens": (1.7, 50.0, 3e5, 0.25, 0.5),
}
FAR = 1e23  # a hundred times the highest budget

# 2406.19146, table of exponents by stage, RefinedWeb.
STAGES = {
    "main0:rw/base/warmup-long/kaplan/count-kaplan/train": 0.834,
    "main1:rw/base/warmup-long/kaplan/count-standard/val": 0.701,
    "main2:rw/base/warmup-short/kaplan/count-standard/val": 0.604,
    "main3:rw/base/warmup-short/chinchilla/count-standard/val": 0.571,
    "main4:rw/tuned/warmup-short/const/count-standard/val": 0.497,
}


def exponent(law: str) -> float:
    """Of N*(C)."""
    *_, alpha, beta = LAWS[law]
    return beta / (alpha + beta)


def best_size(law: str, flops: float) -> float:
    """N*(C) under C = 6ND."""
    _, a, b, alpha, beta = LAWS[law]
    return float((alpha * a / (beta * b)) ** (1 / (alpha + beta)) * (flops / 6) ** exponent(law))


def loss_of(law: str, params: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    e, a, b, alpha, beta = LAWS[law]
    return e + a / params**alpha + b / tokens**beta


def isoflop_frame(
    law: str,
    reach: tuple[float, float],
    noise: float = 0.0,
    seed: int = 0,
    budgets: int = 7,
    sizes: int = 9,
    drift: float = 1.0,
    spent: np.ndarray | None = None,
) -> pd.DataFrame:
    """Budgets up to 1e21 FLOPs, half a decade apart.

    Args:
        law: a name in ``LAWS``.
        reach: the smallest size is the optimum / reach[0], the largest the optimum * reach[1].
        noise: of the log loss.
        seed: of the noise.
        budgets: how many.
        sizes: per budget.
        drift: by which factor the grid lies below the optimum at the lowest budget and above it at the highest.
        spent: what each run spends, in budgets.
    """
    rows = []
    for i, flops in enumerate(10.0 ** np.linspace(21 - (budgets - 1) / 2, 21, budgets)):
        shift = drift ** (2 * i / max(budgets - 1, 1) - 1)
        for params in best_size(law, flops) * shift * np.geomspace(1 / reach[0], reach[1], sizes):
            rows.append((params, flops))
    frame = pd.DataFrame(rows, columns=["params", "flops"])
    frame["flops"] *= 1.0 if spent is None else spent
    frame["tokens"] = frame["flops"] / frame["params"] / 6
    scatter = np.exp(noise * np.random.default_rng(seed).standard_normal(len(frame)))
    frame["loss"] = loss_of(law, frame["params"].to_numpy(), frame["tokens"].to_numpy()) * scatter
    return frame.assign(run_id=[f"r{i}" for i in range(len(frame))])


def points_of(frame: pd.DataFrame) -> RunArrays:
    return RunArrays.of(RunTable.from_frame(frame).fit)


def stage(published: Path, name: str) -> RunArrays:
    """The runs of one of Porian's stages."""
    table = read_table(published / "porian2024_isoflop.csv", where=f"stage == '{name}'")
    return RunArrays.of(table.fit)


def few(known: SurfaceEstimate) -> SurfaceEstimate:
    """The same surface with four draws, for tests that do not look at intervals."""
    return replace(known, draws=known.draws[:4])


def quick(name: str, unique_tokens: float = np.inf) -> SurfaceEstimate:
    """The surface of a paper's constants, with four draws."""
    return few(published_surface(name, unique_tokens))
