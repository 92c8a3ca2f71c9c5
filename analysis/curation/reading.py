"""Reads what a curation counted, and checks that it adds up."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from analysis.curation.funnel import Count, Funnel
from analysis.errors import InputError
from analysis.files import readable

FUNNEL, VERSION = "funnel.json", 1


def read_funnel(folder: str | Path) -> Funnel:
    """Reads what ``scaling data curate`` counted.

    Raises:
        InputError: if the folder is not a curated one, or its funnel is of a newer version, damaged, or does not add
            up.
    """
    path = Path(folder) / FUNNEL
    if not path.is_file():
        raise InputError(f"{folder}: no {FUNNEL}, which `scaling data curate` writes: not a curated folder")
    with readable(path, "funnel"):
        content = json.loads(path.read_bytes())
        version = content["version"]
    if version != VERSION:
        raise InputError(f"{path}: of version {str(version)[:20]}, and this release reads version {VERSION}")
    try:
        funnel = TypeAdapter(Funnel).validate_python(content)
    except ValidationError as errors:
        first = errors.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: not a readable funnel ({place}: {first['msg']})") from None
    if (reason := _odd(funnel)) is not None:
        raise InputError(f"{path}: damaged: {reason}")
    return funnel


def _odd(funnel: Funnel) -> str | None:
    """Why a funnel cannot be, or None."""
    sources, steps = funnel.sources, funnel.steps
    for step in steps:
        if len(step.by_source) != len(sources):
            return f"{step.name} counts {len(step.by_source)} sources, not {len(sources)}"
        for reason in step.reasons:
            bins = reason.histogram
            if bins is not None and (len(bins.edges) != len(bins.counts) + 1 or not _rises(bins.edges)):
                return f"the bins of {reason.name}"
    sums: list[tuple[str, int, Sequence[int]]] = [
        ("steps", funnel.dropped, [step.documents for step in steps]),
        ("sources", funnel.documents.read, [source.read.documents for source in sources]),
        ("sources that are kept", funnel.documents.kept, [source.kept.documents for source in sources]),
    ]
    sums += [
        (f"sources of {step.name}", step.documents, [count.documents for count in step.by_source]) for step in steps
    ]
    sums += [
        (f"reasons of {step.name}", step.documents, [reason.documents for reason in step.reasons])
        for step in steps
        if step.reasons
    ]
    for name, total, parts in sums:
        if sum(parts) != total:
            return f"the documents of its {name} add up to {sum(parts)}, not {total}"
    return None


def _rises(edges: Sequence[float]) -> bool:
    return all(low < high for low, high in pairwise(edges))


def content_of(funnel: Funnel) -> dict[str, Any]:
    """The counts as JSON: what ``scaling data inspect`` prints."""
    return {
        "name": funnel.name,
        "sample": funnel.sample,
        "documents": {"read": funnel.documents.read, "kept": funnel.documents.kept},
        "bytes": {"read": funnel.bytes.read, "kept": funnel.bytes.kept},
        "sources": [
            {
                "name": source.name,
                **{key: _counts(each) for key, each in (("read", source.read), ("kept", source.kept))},
            }
            for source in funnel.sources
        ],
        "steps": [{"name": step.name, **_counts(Count(step.documents, step.bytes))} for step in funnel.steps],
        "warnings": [{"code": warning.code, "message": warning.message} for warning in funnel.warnings],
    }


def _counts(count: Count) -> dict[str, int]:
    return {"documents": count.documents, "bytes": count.bytes}
