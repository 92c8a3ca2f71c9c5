"""Exact best-of-n from samples: what the best of n by the proxy is worth, over all subsets of the samples.

Averaging over every subset of n of the M samples of a prompt is unbiased for every n <= M, and has the least variance
of all such estimates (the appendix of WebGPT, 2112.09332). Drawing subsets that reuse samples, or the best of the first
n alone, is not.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaln


def kl_bound(n: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    """log n - (n - 1) / n, nats: the most that best-of-n diverges from its policy (2401.01879).

    The divergence equals it where no two answers share a reward or are the same; ties make it less.
    """
    return np.log(n) - (n - 1) / n


def best_weights(
    proxy: Float[np.ndarray, " samples"], sizes: Int[np.ndarray, " sizes"]
) -> Float[np.ndarray, "sizes samples"]:
    """The share of all subsets of each size whose best sample by the proxy is each sample.

    Samples that share a proxy share what they win alike, as if ties were broken by lot. The shares of a size sum to 1.

    Args:
        proxy: reward of each of the M samples of one prompt.
        sizes: n, each from 1 to M.
    """
    ordered = np.sort(proxy)
    # Samples below and up to each one's proxy: its ties begin after `below` and end at `upto`.
    below = np.searchsorted(ordered, proxy, side="left")
    upto = np.searchsorted(ordered, proxy, side="right")
    won = _subsets_within(upto, sizes, len(proxy)) - _subsets_within(below, sizes, len(proxy))
    return won / (upto - below)


def expected_best(
    proxy: Float[np.ndarray, " samples"], values: Float[np.ndarray, " samples"], sizes: Int[np.ndarray, " sizes"]
) -> Float[np.ndarray, " sizes"]:
    """Mean over all subsets of each size of the value, gold or proxy, of the subset's best sample by the proxy."""
    return best_weights(proxy, sizes) @ values


def usual_sizes(samples: int) -> Sequence[int]:
    """1, 2, 4, ... up to a number of samples."""
    return [2**power for power in range(samples.bit_length())]


def _subsets_within(
    count: Int[np.ndarray, " samples"], sizes: Int[np.ndarray, " sizes"], samples: int
) -> Float[np.ndarray, "sizes samples"]:
    """C(count, n) / C(M, n): the share of subsets of size n that lie within the lowest ``count`` samples."""
    n = sizes[:, None].astype(np.float64)
    enough = count >= n
    held = np.where(enough, count, n)
    log = gammaln(held + 1) - gammaln(held - n + 1) - gammaln(samples + 1.0) + gammaln(samples - n + 1)
    return np.where(enough, np.exp(log), 0.0)
