"""What the best of n answers by a proxy is worth, from m answers to a prompt, for every n up to m.

The estimates are means over all subsets of n of the m answers, which is unbiased (the appendix of WebGPT, 2112.09332).
Drawing n answers again and again with replacement is not: the best of them is too often the best of all m.
"""

import numpy as np
from jaxtyping import Float, Float64, Int, Int64
from scipy.special import gammaln

Answers = Float[np.ndarray, " answers"]
Sizes = Int64[np.ndarray, " sizes"]


def usual_sizes(most: int) -> Sizes:
    """1, 2, 4, ... and the most."""
    powers = [2**power for power in range(most.bit_length())]
    return np.array(powers if powers[-1] == most else [*powers, most], np.int64)


def kl_bound(sizes: Sizes) -> Float64[np.ndarray, " sizes"]:
    """log n - (n - 1) / n, nats: the most that best-of-n can be from its policy in KL divergence (2401.01879).

    It is reached where no answer is likely by itself, and none have the same proxy.
    """
    return np.log(sizes) - (sizes - 1) / sizes


def best_shares(proxy: Answers, sizes: Sizes) -> Float64[np.ndarray, "sizes answers"]:
    """The share of all subsets of n answers in which each answer is the best by the proxy.

    Answers of one proxy share alike the subsets that any of them is the best of. A row's shares sum to 1.

    Args:
        proxy: of the m answers to a prompt.
        sizes: n, each of 1 to m.
    """
    ordered = np.sort(proxy)
    below, within = np.searchsorted(ordered, proxy, "left"), np.searchsorted(ordered, proxy, "right")
    shares = _subsets(within, sizes, len(proxy)) - _subsets(below, sizes, len(proxy))
    return shares / (within - below)


def _subsets(count: Int[np.ndarray, " answers"], sizes: Sizes, answers: int) -> Float64[np.ndarray, "sizes answers"]:
    """C(count, n) / C(m, n): the share of subsets that lie within the ``count`` worst answers."""
    n = sizes[:, None].astype(np.float64)
    possible = count >= n
    within = np.where(possible, count, n)  # elsewhere anything that has a logarithm
    logs = gammaln(within + 1) - gammaln(within - n + 1) - gammaln(answers + 1) + gammaln(answers - n + 1)
    return np.where(possible, np.exp(logs), 0.0)


def win_rates(proxy: Answers, judged: Answers, sizes: Sizes) -> Float64[np.ndarray, " sizes"]:
    """How often the best of n is better than one answer more, as ``judged`` has it; a tie is half. NaN for n = m.

    By the proxy itself it is n / (n + 1) at most: of n + 1 answers the best is as likely any of them.

    Args:
        proxy, judged: of the m answers; where the proxy is tied, an answer's place breaks the tie.
        sizes: n, each of 1 to m.
    """
    answers = len(proxy)
    order = np.argsort(proxy, kind="stable")
    values = judged[order]
    wins = (values[:, None] > values[None, :]) + 0.5 * (values[:, None] == values[None, :])
    np.fill_diagonal(wins, 0.0)
    worse = np.tril(wins).sum(axis=1)
    better = np.triu(wins).sum(axis=1)
    rank = np.arange(1, answers + 1)
    own = _subsets(rank, sizes, answers) - _subsets(rank - 1, sizes, answers)
    rates = np.full(len(sizes), np.nan)
    for at, n in enumerate(sizes.tolist()):
        if n < answers:
            # One answer more is none of the n; of those worse than the best, n - 1 are.
            left = 1 - (n - 1) / np.maximum(rank - 1, 1)
            rates[at] = (own[at] * (better + left * worse)).sum() / (answers - n)
    return rates


def best_probabilities(
    probabilities: Float[np.ndarray, " outcomes"], proxy: Float[np.ndarray, " outcomes"], n: int
) -> Float64[np.ndarray, " outcomes"]:
    """The distribution of the best of n independent draws; outcomes of one proxy are taken as likely as drawn.

    Args:
        probabilities: of all outcomes; they sum to 1.
        proxy: of each.
        n: draws.
    """
    _, level = np.unique(proxy, return_inverse=True)
    mass = np.bincount(level, weights=probabilities)
    upto = np.minimum(np.cumsum(mass), 1.0)
    best = upto**n - np.concatenate([[0.0], upto[:-1]]) ** n
    found: Float64[np.ndarray, " outcomes"] = probabilities * (best / np.where(mass > 0, mass, 1.0))[level]
    return found


def best_kl(probabilities: Float[np.ndarray, " outcomes"], proxy: Float[np.ndarray, " outcomes"], n: int) -> float:
    """KL divergence of the best of n from the distribution it is drawn from, nats; ``kl_bound`` at most."""
    best = best_probabilities(probabilities, proxy, n)
    some = best > 0
    return max(0.0, float((best[some] * np.log(best[some] / probabilities[some])).sum()))


def measured_kl(keys: list[bytes], proxy: Answers, sizes: Sizes) -> Float64[np.ndarray, " sizes"]:
    """The KL divergence of best-of-n from the policy, nats, where a policy is as the answers are: equal ones together.

    Args:
        keys: of the m answers; equal answers have equal ones.
        proxy: of each; the same for equal answers, but for rounding.
        sizes: n.
    """
    _, first, counts = np.unique(np.array(keys, object), return_index=True, return_counts=True)
    shares = counts / len(keys)
    return np.array([best_kl(shares, proxy[first], n) for n in sizes.tolist()])


def mean_and_error(values: Float[np.ndarray, "prompts sizes"]) -> tuple[np.ndarray, np.ndarray]:
    """The mean over prompts, and its standard error; that is NaN for one prompt."""
    count = len(values)
    error = values.std(axis=0, ddof=1) / np.sqrt(count) if count > 1 else np.full(values.shape[1], np.nan)
    return values.mean(axis=0), error
