"""Drops documents that are of none of the languages to keep."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scaling.data.curate.engine.batch import Batch
from scaling.data.curate.engine.decision import Decision, Reason
from scaling.data.curate.engine.stage import Stage
from scaling.data.curate.spec import LanguageSpec
from scaling.data.curate.text.language import judge, library_file

UNSURE = "unsure"
"""The code, in counts, of documents of no language that is likely enough."""
_DOCUMENTS, _BYTES = "language:", "language bytes:"


def check(options: Sequence[LanguageSpec | None]) -> None:  # noqa: ARG001
    """Raises an InputError if py3langid is not installed."""
    library_file()


def inputs(options: Sequence[LanguageSpec | None]) -> list[Path]:  # noqa: ARG001
    """What decides the results besides documents and options: the library."""
    return [library_file()]


def run(stage: Stage) -> None:
    """Drops documents whose kept languages have too low a probability; short ones stay."""
    stage.filter(decide, None, reasons)
    totals: list[Counter[str]] = [Counter() for _ in stage.names]
    for tally in stage.tallies():
        totals[tally["source"]].update(tally["notes"])
    stage.note("languages", _languages(totals))


def reasons(options: LanguageSpec, source: int) -> list[Reason]:  # noqa: ARG001
    """The one reason, judged by the probability that the language is one of those to keep."""
    return [Reason("language", "FineWeb (2406.17557)", least=options.least, unit="probability")]


def decide(batch: Batch, options: LanguageSpec, state: Path | None) -> Decision:  # noqa: ARG001
    """Judges a batch; its notes count documents and bytes by language, as far as it is believed."""
    found = judge(batch.texts, options.keep, options.characters, options.bytes)
    dropped = found.kept < options.least
    unsure = (found.probabilities < options.least) & dropped
    notes: Counter[str] = Counter()
    codes = np.where(unsure, UNSURE.encode(), found.codes)
    for code, size in zip(codes.tolist(), batch.sizes.tolist(), strict=True):
        notes[f"{_DOCUMENTS}{code.decode()}"] += 1
        notes[f"{_BYTES}{code.decode()}"] += size
    return Decision(
        np.where(dropped, 0, -1).astype(np.int16),
        values={"language": found.kept},
        scores={"language": found.codes, "language_score": found.probabilities},
        notes=notes,
    )


def _languages(totals: Sequence[Mapping[str, int]]) -> list[dict[str, Any]]:
    """Documents and bytes of each language, in all and by source, the most frequent first."""
    codes = {name.removeprefix(_DOCUMENTS) for notes in totals for name in notes if name.startswith(_DOCUMENTS)}
    made: list[dict[str, Any]] = []
    for code in sorted(codes):
        counts = [
            {"documents": notes.get(_DOCUMENTS + code, 0), "bytes": notes.get(_BYTES + code, 0)} for notes in totals
        ]
        both = {key: sum(each[key] for each in counts) for key in ("documents", "bytes")}
        made.append({"code": code, **both, "by_source": counts})
    return sorted(made, key=lambda each: -each["documents"])
