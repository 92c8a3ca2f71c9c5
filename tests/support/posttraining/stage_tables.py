"""Tables of stages as they may come: few runs or many, with gaps, with and without gold, seeds, sizes and lengths."""

import numpy as np
import pandas as pd

SEEDS = 24
MODELS = ("reward-accuracy", "examples")  # kinds of figures of the second of these


def rewards(seed: int) -> pd.DataFrame:
    """A random table of rewards: curves of best-of-n, of trained policies, or of both."""
    rng = np.random.default_rng(seed)
    proxies = rng.choice([64, 128, 512, 2048, 8192], size=rng.integers(1, 5), replace=False)
    kinds = [("n",), ("kl",), ("n", "kl")][rng.integers(3)]
    rows = []
    for pairs in sorted(proxies.tolist()):
        for kind in kinds:
            for again in range(rng.integers(1, 3)):
                run = f"{kind}-{pairs}-{again}"
                d = _distances(rng, kind)
                gold = rng.normal(-3, 0.5) + d * (rng.uniform(0.2, 1.2) - rng.uniform(-0.05, 0.6) * d)
                table = pd.DataFrame({"run_id": run, "pairs": float(pairs), "kl": d**2, "gold": gold})
                table["proxy"] = rng.uniform(0.2, 1.0) * d + rng.normal(0, 0.02, len(d))
                table["win_rate"] = np.clip(0.5 + 0.2 * (gold - gold[0]), 0, 1)
                table["length"] = np.maximum(40 - rng.uniform(-3, 6) * d**2, 1)
                table["stopped"] = np.clip(0.8 + 0.05 * d, 0, 1)
                if kind == "n":
                    table["n"] = 2.0 ** np.arange(len(d))
                else:
                    table["step"] = 2.0 * np.arange(len(d))
                rows.append(table)
    frame = pd.concat(rows, ignore_index=True)
    for name, chance in (("pairs", 0.3), ("stopped", 0.3), ("proxy", 0.2), ("gold", 0.2)):
        if rng.uniform() < chance:
            frame = frame.drop(columns=name)
    if "gold" not in frame and "proxy" in frame and rng.uniform() < 0.5:
        frame = frame.drop(columns="win_rate")
    return frame.sample(frac=1.0, random_state=seed).reset_index(drop=True)


def _distances(rng: np.random.Generator, kind: str) -> np.ndarray:
    if kind == "n":
        n = 2.0 ** np.arange(rng.integers(2, 9))
        return np.sqrt(np.log(n) - (n - 1) / n)
    return np.concatenate([[0.0], np.sort(rng.uniform(0.2, 2.5, rng.integers(2, 30)))])


def models(seed: int) -> pd.DataFrame:
    """A random table of reward models, which is one of fine-tuned models too."""
    rng = np.random.default_rng(seed)
    sizes = rng.choice([6600.0, 20000.0, 68000.0], size=rng.integers(1, 4), replace=False)
    amounts = rng.choice([128.0, 512.0, 2048.0, 8192.0], size=rng.integers(1, 5), replace=False)
    rows = [
        {"params": size, "pairs": amount, "examples": 2 * amount, "accuracy": rng.uniform(0.5, 0.9)}
        | {"loss": rng.uniform(0.3, 0.7), "start_loss": rng.uniform(0.7, 0.9)}
        for size in sizes
        for amount in amounts
        for _ in range(rng.integers(1, 3))
    ]
    frame = pd.DataFrame(rows)
    for name in ("params", "start_loss"):
        if rng.uniform() < 0.3:
            frame = frame.drop(columns=name)
    return frame
