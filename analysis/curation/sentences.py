"""Sentences about a curation, true whatever its counts are."""

from collections.abc import Sequence

from analysis.curation.funnel import (
    Classifier,
    Duplicates,
    Evaluation,
    Example,
    Funnel,
    HeldOut,
    Reason,
    Step,
    judged,
    label,
)
from analysis.curation.numbers import counted, joined, range_of, share, size, value_of

TITLES = {
    "unreadable": "Unreadable documents",
    "empty": "Empty documents",
    "duplicates": "Exact duplicates",
    "language": "Language",
    "lines": "Repeated lines",
    "private": "Private data",
    "rules": "Quality rules",
    "words": "Word list",
    "quality": "Quality classifier",
    "perplexity": "Perplexity",
    "near_duplicates": "Near-duplicates",
    "contamination": "Contamination",
}
"""What a step is called; one that is not here goes by its own name."""
_CAUSES = {
    "unreadable": "as unreadable",
    "empty": "as empty",
    "duplicates": "as exact duplicates",
    "language": "for their language",
    "lines": "as nothing was left of their lines",
    "rules": "by quality rules",
    "words": "by the word list",
    "quality": "by the quality classifier",
    "perplexity": "by their perplexity",
    "near_duplicates": "as near-duplicates",
    "contamination": "as they repeat evaluations or held-out text",
}
_NAMED_STEPS, _NAMED_REASONS = 4, 3
_EXACT = 1e-3  # of the AUC: fewer digits below it


def title_of(step: Step) -> str:
    """What a step is called."""
    return TITLES.get(step.name, step.name)


def verdict(funnel: Funnel) -> str:
    """What came of it: how much is kept, and what the rest was dropped for."""
    read = funnel.documents.read
    if not read:
        return "No documents were read."
    if not funnel.dropped:
        whole = f"The only document ({size(funnel.bytes.read)}) is kept"
        if read > 1:
            whole = f"All {counted(read)} ({size(funnel.bytes.read)}) are kept"
        changed = funnel.bytes.kept != funnel.bytes.read
        return f"{whole}, with {size(funnel.bytes.kept)} after changes of their text." if changed else f"{whole}."
    return f"{_kept(funnel)} Dropped: {_causes(funnel)}.{_largest(funnel)}"


def _kept(funnel: Funnel) -> str:
    read, kept = funnel.documents.read, funnel.documents.kept
    if not kept:
        which = "The only document" if read == 1 else f"None of the {counted(read)}"
        return f"{which} ({size(funnel.bytes.read)}) is {'dropped' if read == 1 else 'kept'}."
    text = f"{kept:,} of {counted(read)} {'is' if kept == 1 else 'are'} kept ({share(kept, read)})"
    return f"{text}, with {size(funnel.bytes.kept)} of text; {size(funnel.bytes.read)} were read."


def _causes(funnel: Funnel) -> str:
    steps = sorted((step for step in funnel.steps if step.documents), key=lambda step: -step.documents)
    # One more step than the named ones is named too: "1 other step" would be as long.
    named = steps if len(steps) <= _NAMED_STEPS + 1 else steps[:_NAMED_STEPS]
    parts = [f"{step.documents:,} {_CAUSES.get(step.name, f'by {step.name}')}" for step in named]
    if rest := steps[len(named) :]:
        parts.append(f"{sum(step.documents for step in rest):,} by {len(rest)} other steps")
    return joined(parts)


def _largest(funnel: Funnel) -> str:
    """The reasons that drop most, of those with a threshold of their own."""
    found = [(step, reason) for step in funnel.steps if len(step.reasons) > 1 for reason in step.reasons]
    most = max((reason.documents for _, reason in found), default=0)
    names = [label(step, reason) for step, reason in found if reason.documents == most]
    if not most or len(names) > _NAMED_REASONS:
        return ""
    each = " each" if len(names) > 1 else ""
    return (
        f" The single rule{'s' * (len(names) > 1)} that drop{'s' * (len(names) == 1)} most: {joined(names)}, with "
        f"{counted(most)}{each} ({share(most, funnel.dropped)} of what is dropped)."
    )


def of_sample(funnel: Funnel) -> str:
    """How much of the sources was taken; empty for all of it."""
    return "" if funnel.sample is None else f"This is a sample: {share(funnel.sample, 1)} of the sources' documents."


def of_step(step: Step) -> str:
    """What a step dropped of the documents that came to it."""
    if not step.reached:
        return "No document came to it."
    if not step.documents:
        return f"{counted(step.reached)} came to it, and none was dropped."
    if step.documents == step.reached:
        all_of_them = f"All {counted(step.reached)} that came to it were"
        which = "The only document that came to it was" if step.reached == 1 else all_of_them
        return f"{which} dropped, with {size(step.bytes)}."
    verb = "was" if step.documents == 1 else "were"
    return (
        f"Of {counted(step.reached)} that came to it, {step.documents:,} {verb} dropped "
        f"({share(step.documents, step.reached)}), with {size(step.bytes)}."
    )


def of_changes(step: Step) -> str:
    """What a step changed in documents that it left, and what it counted; empty for nothing."""
    documents, cut = step.changed.documents, step.changed.bytes
    said = []
    if documents:
        how = f"{size(abs(cut))} {'shorter' if cut > 0 else 'longer'}" if cut else "as long as before"
        said.append(f"{counted(documents)} {'was' if documents == 1 else 'were'} changed and left, together {how}.")
    if notes := [f"{name} {number:,}" for name, number in step.notes.items()]:
        said.append(f"It counted: {', '.join(notes)}.")
    return " ".join(said)


def of_limits(reason: Reason) -> str:
    """What a rule keeps: ``words 50 to 100k``; empty without thresholds."""
    text = range_of(*(reason.limits or (None, None)))
    return f"{reason.unit or 'a value'} {text}" if text else ""


def of_near(reason: Reason) -> str:
    """How many documents a slightly different threshold would judge otherwise; empty without one or without values."""
    number, limits = judged(reason), reason.thresholds
    if reason.histogram is None or not limits:
        return ""
    threshold = "the threshold" if len(limits) == 1 else "a threshold"
    if not number:
        return "It judged no document."
    if number == 1:
        return f"The only document that it judged {'lies' if reason.near else 'does not lie'} within 5% of {threshold}."
    if not reason.near:
        return f"None of the {counted(number)} that it judged lies within 5% of {threshold}."
    verb = "lies" if reason.near == 1 else "lie"
    return (
        f"{reason.near:,} of the {counted(number)} that it judged {verb} within 5% of {threshold} "
        f"({share(reason.near, number)})."
    )


def of_example(example: Example, reason: Reason) -> str:
    """Why a document was dropped, or how near it came: its value beside the thresholds; empty where there is none."""
    if example.twin:
        same = "has the text of another" if example.twin == example.id else f"repeats {example.twin}"
        return same if example.value is None else f"{same}, {reason.unit or 'similarity'}: {value_of(example.value)}"
    if example.value is None:
        return ""
    text = f"{reason.unit or 'value'}: {value_of(example.value, reason.thresholds)}"
    least, most = reason.limits or (None, None)
    if least is not None and example.value < least:
        return f"{text}, below {value_of(least)}"
    return f"{text}, above {value_of(most)}" if most is not None and example.value > most else text


def of_classifier(known: Classifier) -> str:
    """What the classifier learnt from, and how well it tells."""
    learnt = f"It learnt from {counted(known.references, 'reference')} and {counted(known.others, 'other document')}"
    if known.auc is None:
        return f"{learnt}; how well it tells them apart was not measured."
    digits = 3 if 1 - known.auc > _EXACT else 4
    return (
        f"{learnt}. Of {counted(known.held_out)} that it did not learn from, a reference scores above another document "
        f"with probability {known.auc:.{digits}f} (AUC)."
    )


def of_groups(known: Duplicates) -> str:
    """How many pairs of documents are alike, and what of their groups is shown."""
    pairs = f"{counted(known.pairs, 'pair')} of documents {'is' if known.pairs == 1 else 'are'} alike"
    if not known.groups:
        return f"{pairs}." if known.pairs else "No two documents are alike."
    if len(known.groups) == 1:
        return f"{pairs}. A group is one document that is kept and those that repeat it; the largest is below."
    return (
        f"{pairs}. A group is one document that is kept and those that repeat it; the {len(known.groups)} largest are "
        "below. Marked words are in one of the two documents alone."
    )


def of_evaluations(evaluations: Sequence[Evaluation]) -> str:
    """How many evaluation documents are found in the sources; empty where none were given."""
    if not evaluations:
        return ""
    documents, found = sum(each.documents for each in evaluations), sum(each.found for each in evaluations)
    short = sum(each.too_short for each in evaluations)
    which = f"{found:,} of {counted(documents, 'evaluation document')}" if found else "No evaluation document"
    text = f"{which} {'are' if found > 1 else 'is'} found in the sources"
    return f"{text}; {short:,} {'is' if short == 1 else 'are'} too short to be looked for." if short else f"{text}."


def of_held_out(known: HeldOut | None) -> str:
    """How many held-out documents were looked for in training text; empty where none were."""
    if known is None or not known.documents:
        return ""
    verb = "was" if known.documents == 1 else "were"
    text = f"{counted(known.documents, 'held-out document')} {verb} looked for in training text"
    if not known.phrases:
        return f"{text}."
    verb = "is a phrase" if known.phrases == 1 else "are phrases"
    return f"{text}; {known.phrases:,} {verb} that many documents have, and did not count."
