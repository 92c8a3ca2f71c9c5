"""Tables of rewards made by a known law, and measured ones whose answers are known."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.rewards.best_of_n import kl_bound
from analysis.rewards.laws import RewardLaw

SIZES = 2.0 ** np.arange(8)

# Best-of-n on the embedded corpus: 96 held-out prompts, gold over n = 1 in its standard deviations, of proxies of 68k
# parameters by their preference pairs. From the study that the project's own stages were designed by.
MEASURED_N = np.array([2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0])
MEASURED = {
    128: (0.32, 0.52, 0.56, 0.53, 0.49, 0.41, 0.31),
    512: (0.36, 0.57, 0.61, 0.60, 0.56, 0.47, 0.33),
    2048: (0.37, 0.55, 0.56, 0.50, 0.41, 0.30, 0.19),
    8192: (0.47, 0.85, 1.05, 1.11, 1.12, 1.13, 1.14),
}
# A public reproduction with Qwen (rush-srik/Overoptimization-Repro): coefficients of best-of-n by pairs.
QWEN = {500: (0.386, 0.136), 1000: (0.461, 0.123), 4000: (0.616, 0.121), 8000: (0.741, 0.118), 60_000: (0.913, 0.122)}


def best_of_n_rows(
    coefficients: Mapping[object, tuple[float, float]],
    facts: Mapping[object, Mapping[str, object]],
    noise: float = 0.0,
    seed: int = 0,
    start: float = 0.0,
    law: RewardLaw | None = None,
    d: Sequence[float] = (),
) -> pd.DataFrame:
    """Rows of runs by the law, with their facts: n = 1 to 128 or, of a law of trained policies, at some sqrt(KL)."""
    from analysis.rewards.laws import BEST_OF_N

    generator = np.random.default_rng(seed)
    law = law or BEST_OF_N
    rows = []
    for run, (alpha, beta) in coefficients.items():
        root = np.sqrt(kl_bound(SIZES)) if law is BEST_OF_N else np.array([0.0, *d])
        error = generator.normal(0.0, noise, len(root)) if noise else np.zeros(len(root))
        gold = start + law.gain(alpha, beta, root) + np.where(root > 0, error, 0.0)
        frame = pd.DataFrame({"run_id": str(run), "kl": root**2, "gold": gold, "proxy": root})
        if law is BEST_OF_N:
            frame["n"] = SIZES
        rows.append(frame.assign(**facts[run]))
    return pd.concat(rows, ignore_index=True)


def measured_rows(pairs: Sequence[int]) -> pd.DataFrame:
    """The measured rows of some proxies: gains, without a row of the start."""
    return pd.concat(
        [
            pd.DataFrame({"run_id": f"r{each}", "pairs": each, "n": MEASURED_N, "gold": MEASURED[each]})
            for each in pairs
        ],
        ignore_index=True,
    )
