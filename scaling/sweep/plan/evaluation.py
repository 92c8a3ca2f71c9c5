"""The evaluation sets of a sweep: their texts, their part of a run's config, and what of them is trained on."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, replace

import numpy as np

from scaling.data.batches import Tokens
from scaling.errors import InputError
from scaling.sweep.plan.corpus_text import SweepText, load_evaluation_set, load_text
from scaling.sweep.plan.held_out import documents_of
from scaling.sweep.spec.sweep_spec import SweepSpec
from scaling.train.config import EvaluationSet


def load_sweep_text(spec: SweepSpec) -> SweepText:
    """Loads the text of a sweep with its evaluation sets.

    Raises:
        InputError: as ``load_text``; and a line for each set that cannot be loaded, or has the name of a source of the
            corpus, with its location.
    """
    text, sets, violations = load_text(spec.corpus), {}, []
    for name, corpus in (spec.evaluate or {}).items():
        if name in text.by_source.held_out:
            violations.append(
                f"{spec.where('evaluate', name)}: evaluate.{name}: the name is taken: loss_{name} is the loss on the "
                f"corpus's own source {name}, which every run is evaluated on; choose another name"
            )
            continue
        try:
            sets[name] = load_evaluation_set(corpus, text)
        except InputError as error:
            violations += [f"{spec.where('evaluate', name)}: evaluate.{name}: {line}" for line in error.errors]
    if violations:
        raise InputError(violations)
    return replace(text, evaluation_sets=sets)


def evaluation_sets(spec: SweepSpec, text: SweepText) -> dict[str, EvaluationSet] | None:
    """The sweep's evaluation sets as its runs' configs have them; None without any.

    Args:
        spec: the sweep.
        text: its text, as of :func:`load_sweep_text`.

    Raises:
        InputError: a line for each set whose text is shorter than the context.
    """
    sets, violations, seq_len = {}, [], spec.model.seq_len
    for name, corpus in (spec.evaluate or {}).items():
        held_out = text.evaluation_sets[name]
        try:
            windows = held_out.windows(seq_len, spec.eval_tokens).windows
        except InputError as error:
            violations += [f"{spec.where('evaluate', name)}: evaluate.{name}: {line}" for line in error.errors]
            continue
        options, fingerprint = corpus.model_dump(mode="json"), asdict(held_out.fingerprint)
        sets[name] = EvaluationSet(options, fingerprint, len(windows) * seq_len)
    if violations:
        raise InputError(violations)
    return sets or None


def evaluation_leaks(text: SweepText) -> Iterator[str]:
    """A warning on each evaluation set of which documents are trained on, token for token."""
    if not text.evaluation_sets:
        return
    train = text.train_documents()
    for name, held_out in text.evaluation_sets.items():
        leaked = sum(_are_in(train, held_out.tokens))
        if leaked:
            yield (
                f"evaluate.{name}: {leaked} of {len(held_out.tokens.ends)} held-out documents are also in the training "
                f"text of {text.fingerprint.name}: loss_{name} is lower than on text that is new to the runs"
            )


def _are_in(train: Tokens, held_out: Tokens) -> list[bool]:
    """For each held-out document, whether a training document has the same tokens."""
    sizes = {len(document) for document in documents_of(held_out)}
    lengths = np.diff(train.ends, prepend=0)
    alike = np.flatnonzero(np.isin(lengths, list(sizes)))  # the others need not be read
    known = {_digest(document) for document in documents_of(train, alike)}
    return [_digest(document) in known for document in documents_of(held_out)]


def _digest(ids: np.ndarray) -> bytes:
    return hashlib.sha256(ids.tobytes()).digest()
