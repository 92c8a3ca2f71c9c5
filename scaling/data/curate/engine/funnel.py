"""The counts of a curation: what was read, what each step dropped, and what stays; they add up to the document."""

import json
from collections.abc import Sequence
from typing import Any

from scaling.data.curate.engine.reading import READ
from scaling.data.curate.engine.stage import Stage
from scaling.data.curate.engine.tally import merged
from scaling.data.curate.engine.view import PartView

FUNNEL = "funnel.json"


def funnel_of(
    name: str, sample: float | None, sources: Sequence[str], read: Sequence[PartView], stages: Sequence[Stage]
) -> dict[str, Any]:
    """The content of ``funnel.json``.

    Args:
        name: of the corpus.
        sample: share of the documents that was taken.
        sources: names.
        read: the documents that were read.
        stages: the steps that were done, in order.
    """
    counts = [(view, json.loads((view.texts / READ).read_text())) for view in read]
    left = stages[-1].left if stages else read

    def by_source(pairs: Sequence[tuple[int, int, int]]) -> list[dict[str, int]]:
        total = [{"documents": 0, "bytes": 0} for _ in sources]
        for source, documents, size in pairs:
            total[source]["documents"] += documents
            total[source]["bytes"] += size
        return total

    refused = by_source([(view.source, each["refused"], 0) for view, each in counts])
    empty = by_source([(view.source, each["empty"], each["empty_bytes"]) for view, each in counts])
    texts = by_source([(view.source, each["documents"], each["bytes"]) for view, each in counts])
    kept = by_source([(view.source, view.count, view.bytes) for view in left])
    total = [
        {key: one[key] + two[key] + three[key] for key in one}
        for one, two, three in zip(refused, empty, texts, strict=True)
    ]
    steps = [_plain("unreadable", refused, total), _plain("empty", empty, total)]
    steps += [_step(stage, by_source) for stage in stages]
    funnel: dict[str, Any] = {
        "version": 1,
        "name": name,
        "sample": sample,
        **{
            key: {"read": sum(each[key] for each in total), "kept": sum(each[key] for each in kept)}
            for key in ("documents", "bytes")
        },
        "sources": [
            {"name": source, "read": one, "kept": two} for source, one, two in zip(sources, total, kept, strict=True)
        ],
        "steps": [step for step in steps if step["name"] not in ("unreadable", "empty") or step["documents"]],
    }
    for stage in stages:
        funnel |= stage.notes
    _name_sources(funnel, sources)
    return funnel


def skipped_of(read: Sequence[PartView]) -> list[dict[str, str]]:
    """A warning of the documents that could not be read, with the first reason."""
    found = [json.loads((view.texts / READ).read_text()) for view in read]
    count = sum(each["refused"] for each in found)
    if not count:
        return []
    first = next(each["first"] for each in found if each["refused"])
    message = f"documents that cannot be read are skipped: {count:,}, the first: {first}"
    return [{"code": "skipped-documents", "message": message}]


def _plain(name: str, dropped: list[dict[str, int]], total: list[dict[str, int]]) -> dict[str, Any]:
    """A step of reading, which has no reasons."""
    return {
        "name": name,
        **{key: sum(each[key] for each in dropped) for key in ("documents", "bytes")},
        "by_source": dropped,
        "reached": sum(each["documents"] for each in total),
        "changed": {"documents": 0, "bytes": 0},
        "notes": {},
        "reasons": [],
    }


def _step(stage: Stage, by_source: Any) -> dict[str, Any]:
    tallies = list(stage.tallies())
    total = merged(tallies)
    dropped = [
        (each["source"], *(sum(reason[key] for reason in each["reasons"]) for key in ("documents", "bytes")))
        for each in tallies
    ]
    sums = by_source(dropped)
    for reason in total["reasons"]:
        for name in ("dropped", "kept"):
            reason[name] = [{key: value for key, value in each.items() if key != "far"} for each in reason[name]]
    return {
        "name": stage.step,
        **{key: sum(each[key] for each in sums) for key in ("documents", "bytes")},
        "by_source": sums,
        "reached": total["reached"],
        "changed": {"documents": total["changed"], "bytes": total["changed_bytes"]},
        # Those with a colon are the steps' own, of which they make other content.
        "notes": {name: count for name, count in sorted(total["notes"].items()) if ":" not in name},
        "reasons": total["reasons"],
    }


def _name_sources(funnel: dict[str, Any], sources: Sequence[str]) -> None:
    for step in funnel["steps"]:
        for reason in step["reasons"]:
            for example in (*reason["dropped"], *reason["kept"]):
                example["source"] = sources[example["source"]]
