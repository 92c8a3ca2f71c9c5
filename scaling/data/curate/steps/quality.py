"""Drops documents that a classifier tells from references."""

import json
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from scaling.data.curate.engine.batch import Batch
from scaling.data.curate.engine.decision import Decision, Reason
from scaling.data.curate.engine.stage import Stage
from scaling.data.curate.engine.tally import hex_of
from scaling.data.curate.engine.view import PartView
from scaling.data.curate.spec import QualitySpec
from scaling.data.curate.steps import ranking
from scaling.data.curate.steps.ranking import Cut
from scaling.data.curate.steps.references import (
    Group,
    Sample,
    count_of,
    gathered,
    groups_of,
    lowest_ids,
    numbers_of,
    sample,
)
from scaling.data.curate.text.quality import (
    FOLDS,
    Classifier,
    area_under_curve,
    can_be_measured,
    logits,
    probabilities,
    spelled,
    strongest,
    train,
)
from scaling.data.curate.text.words import Words

_DOCUMENTS, _CHARACTERS, _WORDS = 10_000, 2000, 2_000_000
"""What is learnt from of each side: so many documents, of each the beginning, and words at most."""
_STRONGEST, _COMMON, _DECILES = 25, 5000, 10
_WEIGHTS, _REPORT = "weights.npy", "report.json"

Side = tuple[Sequence[tuple[int, Path]], int]
"""Folders of samples, each with the place of its source, and the number that the ids to take are below."""


def run(stage: Stage) -> None:
    """Drops documents of the sources that are no references, by a classifier trained on both.

    Of each source stays a share with the highest scores, or what has a probability of 1/2 at least.
    """
    groups = groups_of(stage)
    limits = [[(own, _limit(stage, own)) for own in (group.references, group.judged)] for group in groups]
    below = [0] * len(stage.names)
    for own, limit in (side for sides in limits for side in sides):
        for source in own:
            below[source] = max(below[source], limit)
    samples = stage.survey("samples", sample, below, _CHARACTERS)
    taken = [(view.source, folder) for view, folder in zip(stage.parts, samples, strict=True)]
    sides = [
        tuple(([each for each in taken if each[0] in own], limit) for own, limit in of_group) for of_group in limits
    ]
    learnt = stage.tasks("classifiers", learn, sides)
    models = {source: folder for group, folder in zip(groups, learnt, strict=True) for source in group.sources}
    scored = stage.survey("scored", rank, models)
    cuts = _cuts(stage, groups, scored)
    decided = stage.survey("decided", settle, scored[0].parent, cuts)
    stage.filter_by_part(decide, decided, lambda _, source: reasons(cuts.get(source)))
    report = json.loads((learnt[0] / _REPORT).read_text())
    for decile in report["deciles"]:
        decile["source"] = stage.names[decile["source"]]
    stage.note("classifier", report)


def reasons(cut: Cut | None) -> list[Reason]:
    """The one reason, judged by the probability that a document is a reference; none of sources not judged."""
    if cut is None:
        return []
    least = float(probabilities(-np.array([cut[0]], np.float32))[0])
    return [Reason("quality", least=least, unit="probability")]


def learn(folder: Path, liked: Side, others: Side) -> None:
    """Writes a classifier, and what the page tells of it.

    Args:
        folder: to write into.
        liked: samples of references.
        others: samples of documents to judge.
    """
    both = [gathered(folders, below, _WORDS) for folders, below in (liked, others)]
    kinds = np.repeat([True, False], [len(each.ids) for each in both])
    folds = np.concatenate([_folds(each.ids) for each in both])
    words = Words(
        np.concatenate([each.words.hashes for each in both]),
        np.concatenate([both[0].words.bounds, both[1].words.bounds[1:] + both[0].words.bounds[-1]]),
    )
    classifier = train(words, kinds, folds)
    classifier.save(folder / _WEIGHTS)
    found = logits(classifier, words, folds)
    measured = can_be_measured(kinds, folds)
    positive, negative = _strongest(classifier, words, [text for each in both for text in each.excerpts])
    report = {
        "auc": area_under_curve(found, kinds) if measured else None,
        "held_out": len(kinds) if measured else 0,
        "references": len(both[0].ids),
        "others": len(both[1].ids),
        "for": positive,
        "against": negative,
        "deciles": _deciles(both[1], found[~kinds]),
    }
    (folder / _REPORT).write_text(json.dumps(report))


def rank(folder: Path, view: PartView, options: QualitySpec | None, models: Mapping[int, Path]) -> None:
    """Writes the logits of a part's documents with the sign changed, so that the best are the lowest."""
    if options is None:
        return
    classifier = Classifier.load(models[view.source] / _WEIGHTS)
    made = [np.empty(0, np.float32), *(-logits(classifier, batch.words, _folds(batch.ids)) for batch in view.batches())]
    np.save(folder / ranking.RANKED, np.concatenate(made))


def settle(folder: Path, view: PartView, options: QualitySpec | None, scored: Path, cuts: Mapping[int, Cut]) -> None:
    """Writes the scores of a part's documents, and which are dropped."""
    if options is None:
        return
    values = np.load(scored / f"{view.number:06}" / ranking.RANKED)
    cut = cuts.get(view.source)
    ranking.settle(folder, probabilities(-values), None if cut is None else ~ranking.is_below(values, view.ids(), cut))


def decide(batch: Batch, options: QualitySpec, state: Path) -> Decision:  # noqa: ARG001
    """What ``settle`` wrote."""
    return ranking.decision("quality", batch, state)


def _limit(stage: Stage, sources: Sequence[int]) -> int:
    return lowest_ids(Fraction(_DOCUMENTS, count_of(stage, sources)))


def _cuts(stage: Stage, groups: Sequence[Group], scored: Sequence[Path]) -> dict[int, Cut]:
    """The cut of each source that is judged and has documents."""
    shares, cuts = {}, {}
    for source in sorted(source for group in groups for source in group.judged):
        keep, count = stage.options[source].keep, count_of(stage, [source])
        if keep == "references":
            cuts[source] = (0.0, b"\xff" * 16)
        elif count:
            shares[source] = max(1, min(count, math.ceil(keep * count - 1e-9)))
    parts = list(zip(stage.parts, scored, strict=True))
    arguments = [([each for each in parts if each[0].source == source], [shares[source]]) for source in shares]
    folders = stage.tasks("cuts", ranking.cut, arguments)
    return cuts | {source: ranking.cuts_in(folder)[0] for source, folder in zip(shares, folders, strict=True)}


def _folds(ids: np.ndarray) -> Int64[np.ndarray, " documents"]:
    """The folds of documents; a document is judged by what has learnt from other folds."""
    return (numbers_of(ids)[:, 1] % np.uint64(FOLDS)).astype(np.int64)


def _strongest(classifier: Classifier, words: Words, excerpts: Sequence[str]) -> tuple[list[Any], list[Any]]:
    """Of the commonest words, as far as documents begin with them."""
    spellings, hashes = spelled(excerpts)
    seen, counts = np.unique(words.hashes, return_counts=True)
    places = np.minimum(np.searchsorted(seen, hashes), len(seen) - 1)
    known = np.where(seen[places] == hashes, counts[places], 0)
    common = np.argsort(-known, kind="stable")[:_COMMON]
    common = common[known[common] > 0]
    chosen = [spellings[place] for place in common.tolist()]
    return strongest(classifier, chosen, hashes[common], known[common], _STRONGEST)


def _deciles(others: Sample, found: Float32[np.ndarray, " documents"]) -> list[dict[str, Any]]:
    """Of each tenth of the documents by score the one with the lowest id, and the scores that the tenth is between."""
    made, scores = [], probabilities(found).astype(float)
    order = np.lexsort((np.arange(len(found)), found))
    for places in np.array_split(order, min(_DECILES, len(order))):
        place = int(places.min())
        made.append(
            {
                "low": float(scores[places[0]]),
                "high": float(scores[places[-1]]),
                "source": int(others.sources[place]),
                "id": hex_of(others.ids[place]),
                "text": others.excerpts[place],
            }
        )
    return made
