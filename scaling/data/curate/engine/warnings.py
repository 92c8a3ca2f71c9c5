"""What the user of a curation should look at, found in the counts of its funnel."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from scaling.quantity import format_quantity

CurateCode = Literal[
    "over-filtered",
    "one-rule",
    "huge-group",
    "short-text",
    "few-references",
    "threshold-edge",
]
_KEPT_LEAST = 0.1  # of a source's documents
_ONE_RULE = 0.5  # of all dropped documents
_HUGE, _HUGE_LEAST = 0.001, 10  # share of all documents, and documents, that a group has more than
_SHORT = 0.5  # of a source's documents
_REFERENCES = 1000
_EDGE = 0.05  # of the documents that a rule judges
# What nobody chose by a threshold makes no rule.
_NO_RULES = ("unreadable", "empty", "duplicates")


class CurateWarning(BaseModel):
    """A warning of a curation, kept in its funnel.

    Attributes:
        code: of the warning.
        message: in words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: CurateCode
    message: str


def warnings_of(funnel: Mapping[str, Any]) -> list[CurateWarning]:
    """What to tell of a curation.

    Args:
        funnel: the content of ``funnel.json``; its own warnings are not read, and blocks may be absent.

    Returns:
        The warnings, by code in the order of ``CurateCode``, then in the order of the funnel.
    """
    found: list[tuple[CurateCode, Iterator[str]]] = [
        ("over-filtered", _over_filtered(funnel)),
        ("one-rule", _one_rule(funnel)),
        ("huge-group", _huge_groups(funnel)),
        ("short-text", _short_text(funnel)),
        ("few-references", _few_references(funnel)),
        ("threshold-edge", _threshold_edges(funnel)),
    ]
    return [CurateWarning(code=code, message=message) for code, messages in found for message in messages]


def _over_filtered(funnel: Mapping[str, Any]) -> Iterator[str]:
    for place, source in enumerate(funnel["sources"]):
        read, kept = source["read"]["documents"], source["kept"]["documents"]
        if kept < _KEPT_LEAST * read:
            dropped = {step["name"]: step["by_source"][place]["documents"] for step in funnel["steps"]}
            step = max(dropped, key=lambda name: dropped[name])
            yield (
                f"{source['name']}: {_of(read - kept, read)} are dropped; "
                f"{step} drops most of all steps, {dropped[step]:,}"
            )


def _one_rule(funnel: Mapping[str, Any]) -> Iterator[str]:
    dropped = funnel["documents"]["read"] - funnel["documents"]["kept"]
    for step in funnel["steps"]:
        for reason in step["reasons"]:
            if step["name"] not in _NO_RULES and reason["documents"] > _ONE_RULE * dropped:
                count = reason["documents"]
                yield (
                    f"{_reason(step, reason)} drops {count:,} of the {dropped:,} documents that are dropped "
                    f"({count / dropped:.1%}): look at examples"
                )


def _huge_groups(funnel: Mapping[str, Any]) -> Iterator[str]:
    documents = funnel["documents"]["read"]
    for group in funnel.get("duplicates", {}).get("groups", ()):
        if group["size"] > max(_HUGE * documents, _HUGE_LEAST):
            yield (
                f"a group of near-duplicates has {_of(group['size'], documents)}; "
                f"the one that is kept, {group['kept']['id']}, is of {group['kept']['source']}"
            )


def _short_text(funnel: Mapping[str, Any]) -> Iterator[str]:
    """Of each source where the funnel counts languages by source, else of all together."""
    short = next((entry for entry in funnel.get("languages", ()) if entry["code"] == "short"), None)
    if short is None:
        return
    sources = funnel["sources"]
    if "by_source" in short:
        counts = [(each["name"], counts["documents"]) for each, counts in zip(sources, short["by_source"], strict=True)]
        reached = _reached(funnel, "language")
    else:
        counts = [(sources[0]["name"] if len(sources) == 1 else "all sources together", short["documents"])]
        reached = [sum(_reached(funnel, "language"))]
    for (name, count), documents in zip(counts, reached, strict=True):
        if count > _SHORT * documents:
            yield f"{name}: {_of(count, documents)} are too short for their language to be judged, and are kept"


def _reached(funnel: Mapping[str, Any], name: str) -> list[int]:
    """Documents of each source that came to a step."""
    left = [source["read"]["documents"] for source in funnel["sources"]]
    for step in funnel["steps"]:
        if step["name"] == name:
            break
        left = [count - dropped["documents"] for count, dropped in zip(left, step["by_source"], strict=True)]
    return left


def _few_references(funnel: Mapping[str, Any]) -> Iterator[str]:
    references = funnel.get("classifier", {}).get("references", _REFERENCES)
    if references < _REFERENCES:
        yield f"the quality classifier has learnt from {references:,} references: give it {_REFERENCES:,} or more"


def _threshold_edges(funnel: Mapping[str, Any]) -> Iterator[str]:
    for step in funnel["steps"]:
        for reason in step["reasons"]:
            histogram = reason["histogram"]
            if histogram is None:
                continue
            judged = sum(histogram["counts"]) + histogram["below"] + histogram["above"]
            if reason["near"] > _EDGE * judged:
                limits = " and ".join(format_quantity(limit) for limit in reason["limits"] or () if limit is not None)
                yield (
                    f"{_reason(step, reason)}: {_of(reason['near'], judged)} lie within 5% of {limits}: "
                    "another threshold nearby drops other documents"
                )


def _reason(step: Mapping[str, Any], reason: Mapping[str, Any]) -> str:
    name: str = reason["name"]
    own = name == step["name"] or name.startswith(f"{step['name']}.")
    return name if own else f"{step['name']}.{name}"


def _of(count: int, documents: int) -> str:
    return f"{count:,} of {documents:,} documents ({count / documents:.1%})"
