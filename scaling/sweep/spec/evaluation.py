"""Names of losses: of the corpora under the key ``evaluate`` of a sweep file, and of a corpus's own sources."""

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from scaling.data.corpus import CorpusSpec
from scaling.sweep.spec.fields import show

_WORD = re.compile(r"[a-z0-9][a-z0-9_]{0,31}")
# ``loss_<name>`` is another column of the table, or a usual name of the run's own loss.
_TAKEN = frozenset(["stderr", "stderr_documents", "spikes", "gold"])
# Words by which a column's name says that it holds another kind of loss, or one in another unit.
_KINDS = frozenset(
    [
        *("eval", "evaluation", "val", "valid", "validation", "test", "dev", "heldout", "train", "training"),
        *("ppl", "pplx", "perplexity", "perplexities", "bit", "bits", "bpb", "bpc", "bpt", "bpw", "per", "nats"),
        *("accuracy", "acc", "bleu", "f1", "reward", "score"),
    ]
)


def _column_name(name: str) -> str:
    if not _WORD.fullmatch(name):
        raise ValueError("the name makes a column: use up to 32 of a-z, 0-9 and '_', beginning with a letter or digit")
    if name in _TAKEN or name.endswith("_stderr"):
        raise ValueError(f"the name is taken: loss_{name} is another column")
    if found := [word for word in name.split("_") if word in _KINDS]:
        raise ValueError(f"the name is misleading: by {found[0]!r} loss_{name} is read as another kind of loss or unit")
    return name


def source_columns(labels: Sequence[str]) -> tuple[str, ...]:
    """Names for the columns of sources, distinct and such as ``evaluate`` takes: labels made of a-z, 0-9 and ``_``.

    Words by which a loss would be read as another kind are left out: ``web/train/*.jsonl`` becomes ``web_jsonl``.
    """
    names: list[str] = []
    for label in labels:
        words = [word for word in re.split("[^a-z0-9]+", label.lower()) if word and word not in _KINDS]
        stem = "_".join(word for word in words if word != "stderr")[:24].strip("_")
        stem = f"source_{stem}".strip("_") if not stem or stem in _TAKEN else stem
        name, number = stem, 2
        while name in names:
            name, number = f"{stem}_{number}", number + 1
        names.append(name)
    return tuple(names)


def _as_corpora(value: object) -> object:
    """Corpora by name; a word alone stands for the corpus of that name, as in ``corpus``."""
    if not isinstance(value, dict):
        raise ValueError(
            f"must be a mapping of names to corpora, such as {{speech: sotu, code: python}}, not {show(value)}"
        )
    if not value:
        raise ValueError("names no corpus")
    return {name: {"name": corpus} if isinstance(corpus, str) else corpus for name, corpus in value.items()}


EvaluationName = Annotated[str, AfterValidator(_column_name)]
Evaluate = Annotated[dict[EvaluationName, CorpusSpec], BeforeValidator(_as_corpora)]
