"""Mixtures chosen where the best is known: writes a section of ``mixtures.md``.

    python -m benchmarks.mixing.planted

About five minutes on a core. With ``--kept`` the section is written from the results kept.
"""

import sys
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from analysis.mixing.choose import choose
from analysis.mixing.optimum import Allowed, least
from analysis.mixing.reading import read_mixtures
from analysis.mixing.request import ChoiceRequest
from benchmarks.mixing.page import error, keep, kept, write
from benchmarks.pages.page import table

TITLE = "## Planted laws"
SOURCES, MIXTURES, NOISE, SEEDS, FLAT_SEEDS = 5, 22, 0.005, 4, 8
SMALL, LARGE, TARGET = (1e6, 2e7), (3e6, 6e7), (1e7, 2e8)
ALIKE = "inverse, two sources alike"
INTRO = """\
Written by `python -m benchmarks.mixing.planted`: 22 mixtures of five sources, two seeds each at one size and eight of
them at nine times its compute, with .5 % noise on every loss, and a target of eleven times that. `distance` is the
total variation between the chosen mixture and the truly best one of the same convex hull, `regret` what its true
objective is above that one's; there is no pull towards the proportional mixture. Gain is that over the uniform mixture.
Of two sources that are alike only the sum of their shares counts, for the losses as for the distance. Laws:
`inverse` is 1 / sum_j C_j h_j^g_j (2507.09404); `exponential` is c exp(sum_j t_j h_j) (2403.16952); `quadratic` and
`interacting` (products of roots of shares in the exponent) are no law that is fitted."""

Contrast = Callable[[np.ndarray], np.ndarray]


def _inverse(random: np.random.Generator, alike: bool = False) -> Contrast:
    k = SOURCES
    c = np.exp(random.normal(0, 1, (k, k)) - 1.5) * (1 + 7 * np.eye(k))
    g = random.uniform(0.3, 0.8, (k, k))

    def contrast(shares: np.ndarray) -> np.ndarray:
        first = 1 if alike else 0
        h = merged(shares) if alike else shares
        return np.asarray(1 / (c[None, :, first:] * h[:, None, :] ** g[None, :, first:]).sum(axis=-1))

    return contrast


def _exponential(random: np.random.Generator) -> Contrast:
    t, c = random.normal(0, 0.5, (SOURCES, SOURCES)) - 2 * np.eye(SOURCES), random.uniform(0.3, 0.8, SOURCES)
    return lambda shares: np.asarray(c * np.exp(shares @ t.T))


def _quadratic(random: np.random.Generator) -> Contrast:
    q, slope = random.normal(0, 0.1, (SOURCES, SOURCES, SOURCES)), random.uniform(0.3, 0.9, SOURCES)
    return lambda shares: np.asarray(
        1 - slope * shares + slope * shares**2 / 2 + np.einsum("ni,nj,kij->nk", shares, shares, q)
    )


def _interacting(random: np.random.Generator) -> Contrast:
    t, c = random.normal(0, 0.3, (SOURCES, SOURCES)) - 1.5 * np.eye(SOURCES), random.uniform(0.3, 0.7, SOURCES)
    product = random.normal(0, 0.15, (SOURCES, SOURCES, SOURCES))

    def contrast(shares: np.ndarray) -> np.ndarray:
        root = np.sqrt(shares)
        return np.asarray(c * np.exp(shares @ t.T + np.einsum("ni,nj,kij->nk", root, root, product)))

    return contrast


LAWS: dict[str, Callable[[np.random.Generator], Contrast]] = {
    "inverse": _inverse,
    "exponential": _exponential,
    "quadratic": _quadratic,
    "interacting": _interacting,
    ALIKE: lambda random: _inverse(random, alike=True),
}


def merged(shares: np.ndarray) -> np.ndarray:
    """Shares with the first two sources as one."""
    return np.concatenate([shares[..., :1] + shares[..., 1:2], shares[..., 2:]], axis=-1)


def _losses(contrast: Contrast, shares: np.ndarray, at: tuple[float, float]) -> np.ndarray:
    level = 1.0 + 0.5 * (at[0] / SMALL[0]) ** -0.3 + 0.5 * (at[1] / SMALL[1]) ** -0.3
    return level + contrast(shares)


def _runs(
    contrast: Contrast, shares: np.ndarray, at: tuple[float, float], random: np.random.Generator, seed: int
) -> pd.DataFrame:
    losses = _losses(contrast, shares, at) * np.exp(NOISE * random.normal(size=shares.shape))
    columns = {f"mix_{name}": values for name, values in zip("abcde", shares.T, strict=True)}
    columns |= {f"loss_{name}": values for name, values in zip("abcde", losses.T, strict=True)}
    return pd.DataFrame({"params": at[0], "tokens": at[1], "seed": seed, **columns})


def chosen(law: str, seed: int) -> dict[str, object]:
    """What is chosen for one planted law, beside what is best."""
    random = np.random.default_rng([seed, list(LAWS).index(law)])
    contrast = LAWS[law](random)
    shares = random.dirichlet(np.ones(SOURCES), MIXTURES)
    parts = [_runs(contrast, shares, SMALL, random, 0), _runs(contrast, shares, SMALL, random, 1)]
    read = read_mixtures(pd.concat([*parts, _runs(contrast, shares[:8], LARGE, random, 0)], ignore_index=True))
    made = choose(read, ChoiceRequest(*TARGET, kl=0.0))

    def objective(mixtures: np.ndarray) -> np.ndarray:
        return np.asarray(_losses(contrast, mixtures, TARGET).mean(axis=1))

    start = shares[objective(shares).argmin()]
    best = least(objective, Allowed(read.fit.tried, np.ones(SOURCES)), start)
    mixture = np.array(list(made.shares.values()))
    apart = merged(mixture) - merged(best) if law == ALIKE else mixture - best
    uniform = np.full(SOURCES, 1 / SOURCES)
    own, even, least_of = objective(np.stack([mixture, uniform, best]))
    gain = made.gain["uniform"]
    return {
        "law": law,
        "seed": seed,
        "distance": 0.5 * np.abs(apart).sum(),
        "regret": own / least_of - 1,
        "better": made.p_better["uniform"],
        "gain": gain.value,
        "low": gain.low,
        "high": gain.high,
        "actual": even / own - 1,
        "flat": " ".join(made.flat),
    }


def results() -> pd.DataFrame:
    """One row a law and seed."""
    seeds = {law: FLAT_SEEDS if law == ALIKE else SEEDS for law in LAWS}
    return pd.DataFrame([chosen(law, seed) for law, count in seeds.items() for seed in range(count)])


def _rows(found: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    for _, row in found.iterrows():
        inside = row["low"] <= row["actual"] <= row["high"]
        yield (
            row["law"],
            str(row["seed"]),
            f"{row['distance']:.3f}",
            error(row["regret"]),
            f"{row['gain']:+.2%} [{row['low']:+.2%}, {row['high']:+.2%}]",
            f"{row['actual']:+.2%}",
            "yes" if inside else "**no**",
            f"{row['better']:.3f}",
            row["flat"] if isinstance(row["flat"], str) else "",
        )


def section() -> str:
    """The section of the page, from the results kept."""
    found = kept("planted")
    head = ("law", "seed", "distance", "regret", "gain", "actual", "inside", "P(better)", "told as flat")
    by_law = [
        (str(law), f"{rows['distance'].mean():.3f}", f"{rows['distance'].max():.3f}", error(rows["regret"].mean()))
        for law, rows in found.groupby("law", sort=False)
    ]
    return "\n".join(
        [
            TITLE,
            "",
            INTRO,
            "",
            *table(("law", "mean distance", "largest", "mean regret"), by_law),
            "",
            *table(head, _rows(found)),
            "",
        ]
    )


def main(*options: str) -> None:
    if "--kept" not in options:
        keep("planted", results())
    write(TITLE, section())


if __name__ == "__main__":
    main(*sys.argv[1:])
