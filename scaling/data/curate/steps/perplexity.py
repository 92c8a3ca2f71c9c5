"""Drops documents by the perplexity of an n-gram model of references."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from scaling.data.curate.engine.batch import Batch
from scaling.data.curate.engine.decision import Decision, Reason
from scaling.data.curate.engine.stage import Stage
from scaling.data.curate.engine.view import PartView
from scaling.data.curate.spec import PerplexitySpec
from scaling.data.curate.steps import ranking
from scaling.data.curate.steps.ranking import Cut
from scaling.data.curate.steps.references import Group, count_of, gathered, groups_of, lowest_ids, sample
from scaling.data.curate.text.perplexity import MOST_WORDS, Ngrams, score, train
from scaling.errors import InputError

_BYTES, _DOCUMENTS, _CHARACTERS = 2**25, 1000, 2**16
"""Of the references that a model is made of: bytes, documents at least, and the beginning of each."""
THIRDS = ("head", "middle", "tail")


def run(stage: Stage) -> None:
    """Drops documents of the sources that are no references, but for some thirds by their perplexity.

    A third is of the documents of a source; CCNet's program cuts at 30 and 60 % of a language's.
    """
    groups = groups_of(stage)
    limits = [_limit(stage, group) for group in groups]
    below = [0] * len(stage.names)
    for group, limit in zip(groups, limits, strict=True):
        for source in group.references:
            below[source] = max(below[source], limit)
    samples = stage.survey("samples", sample, below, _CHARACTERS)
    taken = [(view.source, folder) for view, folder in zip(stage.parts, samples, strict=True)]
    sides = [
        ([each for each in taken if each[0] in group.references], limit)
        for group, limit in zip(groups, limits, strict=True)
    ]
    learnt = stage.tasks("models", learn, sides)
    models = {source: folder for group, folder in zip(groups, learnt, strict=True) for source in group.sources}
    scored = stage.survey("scored", rank, models)
    cuts = _cuts(stage, groups, scored)
    decided = stage.survey("decided", settle, scored[0].parent, cuts)
    stage.filter_by_part(decide, decided, lambda options, source: reasons(options, cuts.get(source)))
    stage.note("perplexity", {"thirds": [value for value, _ in next(iter(cuts.values()))]})


def reasons(options: PerplexitySpec, cuts: Sequence[Cut] | None) -> list[Reason]:
    """The one reason; none of sources not judged, and no thresholds where only the middle goes."""
    if cuts is None:
        return []
    least = most = None
    if "head" not in options.keep:
        least = cuts[0][0] if "middle" in options.keep else cuts[1][0]
    if "tail" not in options.keep:
        most = cuts[1][0] if "middle" in options.keep else cuts[0][0]
    return [Reason("perplexity", "CCNet (1911.00359)", least, most, (1.0, 1e6), log=True, unit="perplexity per word")]


def learn(folder: Path, folders: Sequence[tuple[int, Path]], below: int) -> None:
    """Writes a model.

    Args:
        folder: to write into.
        folders: of samples of references, each with the place of its source.
        below: the number that the ids to take are below.

    Raises:
        InputError: the references have no words.
    """
    words = gathered(folders, below, MOST_WORDS).words
    if not len(words.hashes):
        raise InputError("perplexity: the references have no words to learn from")
    train(words).save(folder)


def rank(folder: Path, view: PartView, options: PerplexitySpec | None, models: Mapping[int, Path]) -> None:
    """Writes the perplexities of a part's documents."""
    if options is None:
        return
    model = Ngrams.load(models[view.source])
    made = [np.empty(0, np.float32), *(score(model, batch.words) for batch in view.batches())]
    np.save(folder / ranking.RANKED, np.concatenate(made))


def settle(
    folder: Path, view: PartView, options: PerplexitySpec | None, scored: Path, cuts: Mapping[int, Sequence[Cut]]
) -> None:
    """Writes the perplexities of a part's documents, and which are dropped."""
    if options is None:
        return
    values, dropped = np.load(scored / f"{view.number:06}" / ranking.RANKED), None
    if view.source in cuts:
        ids = view.ids()
        third = 2 - sum(ranking.is_below(values, ids, cut).astype(int) for cut in cuts[view.source])
        dropped = ~np.isin(third, [THIRDS.index(name) for name in options.keep])
    ranking.settle(folder, values, dropped)


def decide(batch: Batch, options: PerplexitySpec, state: Path) -> Decision:  # noqa: ARG001
    """What ``settle`` wrote."""
    return ranking.decision("perplexity", batch, state)


def _limit(stage: Stage, group: Group) -> int:
    size = sum(view.bytes for view in stage.parts if view.source in group.references)
    return lowest_ids(max(Fraction(_BYTES, size), Fraction(_DOCUMENTS, count_of(stage, group.references))))


def _cuts(stage: Stage, groups: Sequence[Group], scored: Sequence[Path]) -> dict[int, list[Cut]]:
    """The two cuts between the thirds of each source that is judged and has documents."""
    parts = list(zip(stage.parts, scored, strict=True))
    judged = sorted(source for group in groups for source in group.judged if count_of(stage, [source]))
    arguments = []
    for source in judged:
        count = count_of(stage, [source])
        own = [each for each in parts if each[0].source == source]
        arguments.append((own, [-(-count // 3), -(-2 * count // 3)]))
    folders = stage.tasks("cuts", ranking.cut, arguments)
    return {source: ranking.cuts_in(folder) for source, folder in zip(judged, folders, strict=True)}
