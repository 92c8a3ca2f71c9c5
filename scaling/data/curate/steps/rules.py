"""Drops documents by rules on their statistics."""

from pathlib import Path

import numpy as np

from scaling.data.curate.engine.batch import Batch
from scaling.data.curate.engine.decision import Decision, Reason
from scaling.data.curate.engine.stage import Stage
from scaling.data.curate.engine.view import PartView
from scaling.data.curate.rules.statistics import statistics_of
from scaling.data.curate.rules.thresholds import RULES, broken, limits_of
from scaling.data.curate.spec import RulesSpec

_ENGLISH = "english.npy"


def run(stage: Stage) -> None:
    """Drops documents for the first rule that they break."""
    stage.filter_by_part(decide, stage.survey("english", write_english), reasons)


def reasons(options: RulesSpec, source: int) -> list[Reason]:  # noqa: ARG001
    """The rules, in the order in which they are judged."""
    return [
        Reason(name, RULES[name].source, least, most, RULES[name].span, RULES[name].log, RULES[name].unit)
        for name, (least, most) in limits_of(options.sets, options.limits).items()
    ]


def write_english(folder: Path, view: PartView, options: RulesSpec | None) -> None:  # noqa: ARG001
    """Writes which documents of a part are English, all of them where the language step has not judged them."""
    codes = view.scores().get("language")
    np.save(folder / _ENGLISH, np.ones(view.count, bool) if codes is None else codes == b"en")


def decide(batch: Batch, options: RulesSpec, state: Path) -> Decision:
    """Judges a batch.

    Args:
        batch: of documents.
        options: the rules.
        state: what ``write_english`` has written of their part.
    """
    english = np.load(state / _ENGLISH, mmap_mode="r")[batch.first : batch.first + len(batch)]
    limits = limits_of(options.sets, options.limits)
    found, values = broken(statistics_of(batch.texts), limits, np.array(english))
    return Decision(found, values)
