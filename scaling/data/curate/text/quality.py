"""A linear classifier of documents by the words and pairs of words they have, as Llama 1 and fastText judge quality.

With the share x_j = 100 n_j / (n + 32) that feature j has among the n words and pairs of a document, a document looks
like a reference with probability 1 / (1 + exp(-(w_0 + sum_j w_j x_j))). The 32 stand for features that say nothing, so
that a few words decide little. The weights minimise, over documents i of both sides,

    sum_i b_i log(1 + exp(-y_i (w_0 + sum_j w_j x_ij))) + 2 sum_j w_j^2,      y_i = +-1,

where b_i lets both sides count alike. Features are slots of a table of hashes (0902.2206).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64, UInt64
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.stats import rankdata

from scaling.data.curate.text.words import Words, classes, words_of

FEATURES = 2**18
_SHIFT = np.uint64(64 - 18)
_PAIR = np.uint64(0x9E3779B97F4A7C15)
_SILENT, _PENALTY, _ITERATIONS = 32, 4.0, 40
_FIXED = 2**16
"""Weights are added as whole multiples of 1 / 65536, so that a sum is the same wherever a document stands."""


@dataclass(frozen=True)
class Classifier:
    """A trained classifier.

    Attributes:
        weights: of the features; the last is w_0.
    """

    weights: Float32[np.ndarray, " features_1"]

    def save(self, path: Path) -> None:
        """Writes the weights as an ``.npy`` file."""
        np.save(path, self.weights)

    @classmethod
    def load(cls, path: Path) -> "Classifier":
        """Reads what ``save`` wrote."""
        return cls(np.load(path))


def features(words: Words) -> csr_matrix:
    """The shares x (documents, FEATURES), in per cent."""
    rows = words.documents
    within = rows[1:] == rows[:-1]
    columns = np.concatenate([_slots(words.hashes), _pairs(words.hashes)[within]])
    rows = np.concatenate([rows, rows[1:][within]])
    shape = (len(words.bounds) - 1, FEATURES)
    found = csr_matrix((np.ones(len(rows)), (rows.astype(np.int32), columns.astype(np.int32))), shape=shape)
    found.data *= np.repeat(_scales(words.counts), np.diff(found.indptr))
    return found


def train(words: Words, liked: Bool[np.ndarray, " documents"]) -> Classifier:
    """The classifier of some documents, the same for the same documents in the same order.

    Args:
        words: of the documents.
        liked: whether each is a reference; both kinds are there.
    """
    x = features(words)
    transposed = x.T.tocsr()
    signs = np.where(liked, 1.0, -1.0)
    balance = len(liked) / 2 / np.where(liked, liked.sum(), (~liked).sum())

    def objective(weights: Float64[np.ndarray, " features_1"]) -> tuple[float, Float64[np.ndarray, " features_1"]]:
        margins = signs * (x @ weights[:-1] + weights[-1])
        slopes = -balance * signs * np.exp(-np.logaddexp(0, margins))
        loss = (balance * np.logaddexp(0, -margins)).sum() + _PENALTY / 2 * (weights[:-1] @ weights[:-1])
        return float(loss), np.append(transposed @ slopes + _PENALTY * weights[:-1], slopes.sum())

    found = minimize(
        objective, np.zeros(FEATURES + 1), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS, "maxcor": 10}
    )
    return Classifier(found.x.astype(np.float32))


def logits(classifier: Classifier, words: Words) -> Float32[np.ndarray, " documents"]:
    """The logarithms of the odds that documents are references, which differ where probabilities are nearly 1.

    That of a document does not depend on the others.
    """
    table = np.rint(classifier.weights * _FIXED).astype(np.int32)
    begin, end = words.bounds[:-1], words.bounds[1:]
    sums = _sums(table[_slots(words.hashes)])
    total = sums[end] - sums[begin]
    sums = _sums(np.append(table[_pairs(words.hashes)], 0))
    total += sums[np.maximum(end - 1, begin)] - sums[begin]
    made = int(table[-1]) / _FIXED + total / _FIXED * _scales(words.counts)
    return made.astype(np.float32)


def probabilities(logits: Float32[np.ndarray, " documents"]) -> Float32[np.ndarray, " documents"]:
    """The probabilities that documents are references."""
    return np.exp(-np.logaddexp(0, -logits.astype(np.float64))).astype(np.float32)


def area_under_curve(scores: Float[np.ndarray, " documents"], liked: Bool[np.ndarray, " documents"]) -> float:
    """The probability that a reference has a higher score than another document; NaN without both kinds."""
    references, others = int(liked.sum()), int((~liked).sum())
    if not references or not others:
        return float("nan")
    ranks = rankdata(scores)[liked].sum()
    return float((ranks - references * (references + 1) / 2) / references / others)


def spelled(texts: Sequence[str]) -> tuple[list[str], UInt64[np.ndarray, " words"]]:
    """Every word of some texts, once and sorted, and its hash."""
    joined = "\0".join(texts).lower()
    codes = np.frombuffer(joined.encode("utf-32-le"), "<u4")
    kinds = classes()[np.minimum(codes, len(classes()) - 1)]
    apart = np.where(kinds == 1, codes, np.uint32(32)).astype("<u4").tobytes().decode("utf-32-le").split(" ")
    alone = np.unique(codes[kinds == 2]).astype("<u4").tobytes().decode("utf-32-le")
    found = sorted({*apart, *alone} - {""})
    words = words_of(found)
    one = words.counts == 1
    return [word for word, whole in zip(found, one.tolist(), strict=True) if whole], words.hashes[
        words.bounds[:-1][one]
    ]


def strongest(
    classifier: Classifier,
    words: Sequence[str],
    hashes: UInt64[np.ndarray, " words"],
    counts: Int64[np.ndarray, " words"],
    most: int,
) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """The words that speak most for a reference, each with its weight, and those that speak most against it.

    Args:
        classifier: whose weights they are.
        words: to choose from; of those that share a slot, the commonest.
        hashes: of the words.
        counts: how often each was seen.
        most: of the words of each list.
    """
    slots = _slots(hashes)
    common = np.argsort(-counts, kind="stable")
    common = common[np.sort(np.unique(slots[common], return_index=True)[1])]
    weights = classifier.weights[slots[common]]
    order = np.argsort(-weights, kind="stable")
    ranked = [(words[common[place]], float(weights[place])) for place in order.tolist()]
    return [each for each in ranked[:most] if each[1] > 0], [each for each in ranked[: -most - 1 : -1] if each[1] < 0]


def _slots(hashes: UInt64[np.ndarray, " words"]) -> Int64[np.ndarray, " words"]:
    return (hashes >> _SHIFT).view(np.int64)


def _pairs(hashes: UInt64[np.ndarray, " words"]) -> Int64[np.ndarray, " pairs"]:
    """Slots of the pairs of neighbours, across documents too."""
    made = hashes[:-1] * _PAIR
    made += hashes[1:]
    return _slots(made)


def _sums(values: np.ndarray) -> Int64[np.ndarray, " sums"]:
    """Sums of the first 0, 1, 2, ... values."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(values, dtype=np.int64)])


def _scales(words: Int64[np.ndarray, " documents"]) -> Float64[np.ndarray, " documents"]:
    """What makes shares of counts, by the number of words."""
    return 100 / (np.maximum(2 * words - 1, 0) + _SILENT)
