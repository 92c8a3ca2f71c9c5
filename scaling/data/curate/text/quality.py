"""A linear classifier of documents by the words and pairs of words they have, as Llama 1 and fastText judge quality.

With the share x_j = 100 n_j / (n + 32) that feature j has among the n words and pairs of a document, a document looks
like a reference with probability 1 / (1 + exp(-(w_0 + sum_j w_j x_j))). The 32 stand for features that say nothing, so
that a few words decide little. The weights minimise, over documents i of both sides,

    sum_i b_i log(1 + exp(-y_i (w_0 + sum_j w_j x_ij))) + 1/2 sum_j w_j^2,      y_i = +-1,

where b_i lets both sides count alike. Features are slots of a table of hashes (0902.2206).

There are so many features that a classifier says of a document that it has learnt from what it was told, and calls all
but references bad. So documents are in folds, and each is judged by weights learnt from the other folds, whether it is
of the sample or not. By the logits that the sample has thus the probabilities are calibrated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int32, Int64, UInt64
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.stats import rankdata

from scaling.data.curate.text.per_word import slices, starts_in, sums_of
from scaling.data.curate.text.words import Words, classes, words_of

FEATURES, FOLDS = 2**18, 5
_SHIFT = np.uint64(64 - 18)
_PAIR = np.uint64(0x9E3779B97F4A7C15)
_SILENT, _ITERATIONS = 32, 40
_UNITS = 2**16


@dataclass(frozen=True)
class Classifier:
    """A trained classifier.

    Attributes:
        weights: of the features, and last w_0; a row for the documents of each fold.
    """

    weights: Float32[np.ndarray, "folds features_1"]

    def save(self, path: Path) -> None:
        """Writes the weights as an ``.npy`` file."""
        np.save(path, self.weights)

    @classmethod
    def load(cls, path: Path) -> "Classifier":
        """Reads what ``save`` wrote."""
        return cls(np.load(path))

    @cached_property
    def whole(self) -> Int32[np.ndarray, "folds features_1"]:
        """The weights in units, so that a sum is the same wherever a document stands."""
        return np.rint(self.weights * _UNITS).astype(np.int32)


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


def can_be_measured(liked: Bool[np.ndarray, " documents"], folds: Int64[np.ndarray, " documents"]) -> bool:
    """Whether both kinds are there whatever fold is left out, so that no document is judged by what learnt from it."""
    return all((kind & (folds != fold)).any() for fold in np.unique(folds) for kind in (liked, ~liked))


def train(words: Words, liked: Bool[np.ndarray, " documents"], folds: Int64[np.ndarray, " documents"]) -> Classifier:
    """The classifier of some documents, the same for the same documents in the same order.

    Args:
        words: of the documents.
        liked: whether each is a reference; both kinds are there.
        folds: of the documents, 0 to FOLDS - 1; ignored where they cannot be measured.
    """
    x = features(words)
    if not can_be_measured(liked, folds):
        return Classifier(np.tile(_fit(x, liked), (FOLDS, 1)).astype(np.float32))
    rows = [_fit(x[folds != fold], liked[folds != fold]) for fold in range(FOLDS)]
    raw = Classifier(np.array(rows, np.float32))
    slope, intercept = _calibration(logits(raw, words, folds), liked)
    weights = raw.weights * np.float32(slope)
    weights[:, -1] += np.float32(intercept)
    return Classifier(weights)


def logits(
    classifier: Classifier, words: Words, folds: Int64[np.ndarray, " documents"]
) -> Float32[np.ndarray, " documents"]:
    """The logarithms of the odds that documents are references, which differ where probabilities are nearly 1.

    That of a document does not depend on the others.
    """
    weights, rows = np.empty(len(words.hashes), np.int32), np.repeat(folds.astype(np.int8), words.counts)
    table = classifier.whole.reshape(-1)
    for low, high in slices(words):
        places = rows[low:high] * np.int64(FEATURES + 1)
        weights[low:high] = table[places + _slots(words.hashes[low:high])]
        pairs = _pairs(words.hashes[low : high + 1])
        weights_of_pairs = table[places[: len(pairs)] + pairs]
        starts = starts_in(words, low + 1, low + 1 + len(pairs))  # no pair of two documents
        weights_of_pairs[starts] = 0
        weights[low : low + len(pairs)] += weights_of_pairs
    made = classifier.weights[folds, -1] + sums_of(weights, words) / _UNITS * _scales(words.counts)
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
    weights = classifier.weights.mean(axis=0)[slots[common]]
    order = np.argsort(-weights, kind="stable")
    ranked = [(words[common[place]], float(weights[place])) for place in order.tolist()]
    return [each for each in ranked[:most] if each[1] > 0], [each for each in ranked[: -most - 1 : -1] if each[1] < 0]


def _fit(x: csr_matrix, liked: Bool[np.ndarray, " documents"]) -> Float64[np.ndarray, " features_1"]:
    """The weights at the minimum."""
    used, places = np.unique(x.indices, return_inverse=True)  # others are 0
    x = csr_matrix((x.data, places, x.indptr), shape=(len(liked), len(used)))
    transposed = x.T.tocsr()
    signs = np.where(liked, 1.0, -1.0)
    balance = len(liked) / 2 / np.where(liked, liked.sum(), (~liked).sum())

    def objective(weights: Float64[np.ndarray, " used_1"]) -> tuple[float, Float64[np.ndarray, " used_1"]]:
        margins = signs * (x @ weights[:-1] + weights[-1])
        slopes = -balance * signs * np.exp(-np.logaddexp(0, margins))
        loss = (balance * np.logaddexp(0, -margins)).sum() + 0.5 * np.square(weights[:-1]).sum()
        return float(loss), np.append(transposed @ slopes + weights[:-1], slopes.sum())

    found = minimize(
        objective, np.zeros(len(used) + 1), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS, "maxcor": 10}
    )
    weights = np.zeros(FEATURES + 1)
    weights[np.append(used, FEATURES)] = found.x
    return weights


def _calibration(
    logits: Float32[np.ndarray, " documents"], liked: Bool[np.ndarray, " documents"]
) -> tuple[float, float]:
    """Slope and intercept that make probabilities of logits, both sides counting alike (Platt 1999)."""
    sides = np.array([(~liked).sum(), liked.sum()], np.float64)[liked.astype(np.int64)]
    targets = np.where(liked, sides + 1, 1) / (sides + 2)

    def objective(line: Float64[np.ndarray, " two"]) -> tuple[float, Float64[np.ndarray, " two"]]:
        margins = line[0] * logits + line[1]
        loss = ((np.logaddexp(0, margins) - targets * margins) / sides).sum()
        slopes = (np.exp(-np.logaddexp(0, -margins)) - targets) / sides
        return float(loss), np.array([(slopes * logits).sum(), slopes.sum()])

    found = minimize(objective, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0.01, None), (None, None)])
    return float(found.x[0]), float(found.x[1])


def _slots(hashes: UInt64[np.ndarray, " words"]) -> Int64[np.ndarray, " words"]:
    return (hashes >> _SHIFT).view(np.int64)


def _pairs(hashes: UInt64[np.ndarray, " words"]) -> Int64[np.ndarray, " pairs"]:
    """Slots of the pairs of neighbours, across documents too."""
    made = hashes[:-1] * _PAIR
    made += hashes[1:]
    return _slots(made)


def _scales(words: Int64[np.ndarray, " documents"]) -> Float64[np.ndarray, " documents"]:
    """What makes shares of counts, by the number of words."""
    return 100 / (np.maximum(2 * words - 1, 0) + _SILENT)
