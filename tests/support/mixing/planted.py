"""Runs on mixtures by a planted law, whose best mixture is known."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

SMALL, LARGE = (1e6, 2e7), (3e6, 6e7)  # params, tokens


class Planted:
    """A planted law: on every domain a level that falls with N and D, and 1 / sum_j C_j h_j^g_j (2507.09404).

    Each source counts most for its own domain. Of two sources that are ``alike`` only the sum of the shares counts.
    """

    def __init__(self, sources: Sequence[str] = ("code", "docs", "web"), alike: bool = False, seed: int = 0) -> None:
        self.sources = tuple(sources)
        random, k = np.random.default_rng(seed), len(self.sources)
        self._c = np.exp(random.normal(0, 0.7, (k, k)) - 1.5) + np.eye(k)
        self._g = random.uniform(0.3, 0.8, (k, k))
        self._alike = alike

    def losses(
        self, shares: Float[np.ndarray, "runs sources"], params: float, tokens: float
    ) -> Float[np.ndarray, "runs domains"]:
        """Without noise, nats per token."""
        level = 1.0 + 0.5 * (params / 1e6) ** -0.3 + 0.5 * (tokens / 2e7) ** -0.3
        c, g = self._c, self._g
        if self._alike:
            shares = np.column_stack([shares[:, 0] + shares[:, 1], shares[:, 2:]])
            c, g = c[:, 1:], g[:, 1:]
        return np.asarray(level + 1 / (c[None] * shares[:, None, :] ** g[None]).sum(axis=-1))

    def runs(
        self,
        shares: Float[np.ndarray, "runs sources"],
        at: tuple[float, float],
        seed: int = 0,
        noise: float = 0.002,
    ) -> pd.DataFrame:
        """A table of runs at one size and length, a row a mixture."""
        random = np.random.default_rng([seed, int(at[0])])
        losses = self.losses(shares, *at)
        losses = losses * np.exp(noise * random.standard_normal(losses.shape))
        return pd.DataFrame(
            {
                "params": at[0],
                "tokens": at[1],
                "seed": seed,
                **{f"mix_{name}": shares[:, place] for place, name in enumerate(self.sources)},
                **{f"loss_{name}": losses[:, place] for place, name in enumerate(self.sources)},
            }
        )

    def table(self, mixtures: int = 10, noise: float = 0.002, seed: int = 0) -> pd.DataFrame:
        """Mixtures drawn evenly, two seeds each at a small size, and half of them at a larger one."""
        shares = self.shares(mixtures, seed)
        parts = [self.runs(shares, SMALL, 0, noise), self.runs(shares, SMALL, 1, noise)]
        return pd.concat([*parts, self.runs(shares[: mixtures // 2 + 1], LARGE, 0, noise)], ignore_index=True)

    def shares(self, mixtures: int, seed: int = 0) -> Float[np.ndarray, "mixtures sources"]:
        """Mixtures drawn evenly from all, in thousandths."""
        drawn = np.random.default_rng([seed, 7]).dirichlet(np.ones(len(self.sources)), mixtures)
        rounded = np.round(drawn, 3)
        rounded[:, -1] = 1 - rounded[:, :-1].sum(axis=1)
        return np.maximum(np.round(rounded, 3), 0.0)
