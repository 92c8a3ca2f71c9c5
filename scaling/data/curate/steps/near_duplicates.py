"""The step that drops near-duplicates: candidates by sketches, an exact check of every pair, one copy stays."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from scaling.data.curate.duplicates.assign import COUNTS, UNDECIDED, write_fates, write_state
from scaling.data.curate.duplicates.candidates import (
    STATE,
    count_pairs,
    find_again,
    find_pairs,
    find_refined,
    write_compared,
)
from scaling.data.curate.duplicates.check import Limits, check_pairs, write_sets
from scaling.data.curate.duplicates.groups import (
    DECISIONS,
    GROUPS,
    TEXTS,
    ids_of,
    told,
    write_decisions,
    write_names,
    write_texts,
)
from scaling.data.curate.duplicates.keys import RankedPart, bands_of, write_keys, write_ranks
from scaling.data.curate.duplicates.sketch import rows_for
from scaling.data.curate.engine.batch import Batch
from scaling.data.curate.engine.decision import Decision, Reason
from scaling.data.curate.engine.stage import Stage
from scaling.data.curate.spec import NearDuplicatesSpec
from scaling.errors import InputError

_NAME, _CONTAINED = "near_duplicates", "near_duplicates.contained"
_KEYS_AT_ONCE, _DOCUMENTS_AT_ONCE, _PAIRS_AT_ONCE = 2**20, 2**21, 2**21
_ROUNDS, _PROGRESS = 32, 0.8
_ROWS_OF_CONTAINED = 4


def run(stage: Stage) -> None:
    """Drops documents that nearly repeat a preferred one.

    Preferred are documents of earlier sources, then of higher quality, where that was judged, then longer ones, then
    those of smaller ids. From when on documents are near-duplicates says the source of the one that would be dropped.
    """
    views = [view for view in stage.parts if stage.options[view.source] is not None]
    sources = sorted({view.source for view in views}, key=stage.sources.preference)
    count = sum(view.count for view in views)
    if count >= 2**32:
        raise InputError(f"near_duplicates: {count:,} documents, and it can compare 4,294,967,295")
    rows = _rows(stage)
    ranked = _ranked(stage, sources, rows)
    decided = _decide(stage, [ranked[view.number] for view in views], ranked, bands_of(rows), _limits(stage, sources))
    (named,) = stage.tasks("names", write_names, [(decided, views, ranked)])
    states = stage.survey("decisions", write_decisions, ranked, decided, named)
    stage.filter_by_part(decide, states, reasons)
    groups = json.loads((named / GROUPS).read_text())
    texts: dict[str, str] = {}
    for path in stage.survey("texts", write_texts, ids_of(groups)):
        texts |= json.loads((path / TEXTS).read_text())
    counts = json.loads((decided / COUNTS).read_text())
    stage.note("duplicates", {**counts, "groups": told(groups, texts, stage.names)})


def decide(batch: Batch, options: NearDuplicatesSpec, state: Path) -> Decision:
    """Drops the documents of which a near-duplicate stays."""
    rows = np.load(state / DECISIONS, mmap_mode="r")[batch.first : batch.first + len(batch)]
    contained = rows["reason"] == 1
    values = {_NAME: np.where(contained, np.nan, rows["value"])}
    if options.contained is not None:
        values[_CONTAINED] = np.where(contained, rows["value"], np.nan)
    return Decision(rows["reason"].copy(), values, twins=rows["twin"].copy())


def reasons(options: NearDuplicatesSpec, source: int) -> Sequence[Reason]:  # noqa: ARG001
    """Why the step drops documents."""
    found = [Reason(_NAME, "FineWeb (2406.17557)", most=options.alike, unit="Jaccard similarity")]
    if options.contained is not None:
        found.append(Reason(_CONTAINED, most=options.contained, unit="share of n-grams"))
    return found


def _rows(stage: Stage) -> int:
    options = [each for each in stage.options if each is not None]
    rows = rows_for(min(each.alike for each in options))
    # What is contained is less alike.
    return rows if all(each.contained is None for each in options) else min(rows, _ROWS_OF_CONTAINED)


def _limits(stage: Stage, sources: Sequence[int]) -> Limits:
    counts = [sum(view.count for view in stage.parts if view.source == source) for source in sources]
    options = [stage.options[source] for source in sources]
    return Limits(
        first=tuple(sum(counts[:place]) for place in range(len(counts))),
        alike=tuple(each.alike for each in options),
        contained=tuple(2.0 if each.contained is None else each.contained for each in options),
    )


def _ranked(stage: Stage, sources: Sequence[int], rows: int) -> dict[int, RankedPart]:
    """Keys and ranks of the parts that are compared, by their numbers."""
    scores = stage.scores("quality")
    arguments, base = [], 0
    for source in sources:
        own = [(view, score) for view, score in zip(stage.parts, scores, strict=True) if view.source == source]
        arguments.append(([view for view, _ in own], [score for _, score in own], base))
        base += sum(view.count for view, _ in own)
    found: dict[int, RankedPart] = {}
    keys = dict(zip((view.number for view in stage.parts), stage.survey("keys", write_keys, rows), strict=True))
    for (views, *_), ranks in zip(arguments, stage.tasks("ranks", write_ranks, arguments), strict=True):
        first = 0
        for view in views:
            found[view.number] = RankedPart(keys[view.number], ranks, first, view.count)
            first += view.count
    return found


def _decide(
    stage: Stage, parts: Sequence[RankedPart], ranked: dict[int, RankedPart], bands: int, limits: Limits
) -> Path:
    """The folder of what becomes of each document."""
    count = sum(part.count for part in parts)
    found = stage.tasks("pairs-0", find_pairs, [(parts, *own) for own in _shares(count, bands)])
    (compared,) = stage.tasks("compared", write_compared, [(found, count)])
    sets = stage.survey("sets", write_sets, ranked, compared)

    def check(name: str, folders: Sequence[Path]) -> list[Path]:
        shares = 1 + count_pairs(folders) // _PAIRS_AT_ONCE
        return stage.tasks(name, check_pairs, [(folders, share, shares, sets, limits) for share in range(shares)])

    checked = check("checked-0", found)
    (state,) = stage.tasks("state-0", write_state, [(count, checked, found, None)])
    left, before = _undecided(state), count
    for number in range(1, _ROUNDS):
        if not left or left > _PROGRESS * before:
            break
        found = stage.tasks(f"pairs-{number}", find_again, [(folder, state) for folder in found])
        checked += check(f"checked-{number}", found)
        (state,) = stage.tasks(f"state-{number}", write_state, [(count, checked, found, state)])
        left, before = _undecided(state), left
    refined = []
    if left:
        refined = stage.tasks("pairs", find_refined, [(found, state, band, bands - 1) for band in range(bands)])
        checked += check("checked", refined)
    (fates,) = stage.tasks("fates", write_fates, [(count, checked, refined, state)])
    return fates


def _shares(count: int, bands: int) -> list[tuple[list[int], int, int]]:
    """Shares of the keys of documents, a task each: some bands and a range of keys."""
    ranges = 1 + count // _DOCUMENTS_AT_ONCE
    step = max(_KEYS_AT_ONCE // max(count, 1), 1)
    groups = [list(range(first, min(first + step, bands))) for first in range(0, bands, step)]
    # The key behind the last is that of documents which are compared with none.
    cuts = [min(2**64 * place // ranges, 2**64 - 1) for place in range(ranges + 1)]
    return [(own, low, high) for own in groups for low, high in pairwise(cuts)]


def _undecided(state: Path) -> int:
    return int((np.load(state / STATE, mmap_mode="r") == UNDECIDED).sum())
