"""What a curation warns of, at both sides of each limit."""

from typing import Any, get_args

import pytest

from scaling.data.curate.engine.warnings import CurateCode, warnings_of


def step(name: str, dropped: list[int], reasons: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "documents": sum(dropped),
        "by_source": [{"documents": count, "bytes": 9 * count} for count in dropped],
        "reasons": reasons or [],
    }


def reason(name: str, documents: int, judged: int = 0, near: int = 0, limits: Any = None) -> dict[str, Any]:
    counts = {"counts": [judged], "below": 0, "above": 0, "edges": [0.0, 1.0], "log": False}
    histogram = counts if judged else None
    return {"name": name, "documents": documents, "near": near, "limits": limits, "histogram": histogram}


def funnel(read: list[int], steps: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Sources ``a``, ``b``, ... of which so many documents were read."""
    kept = [count - sum(each["by_source"][at]["documents"] for each in steps) for at, count in enumerate(read)]
    sources = [
        {"name": "abc"[at], "read": {"documents": one, "bytes": 9}, "kept": {"documents": two, "bytes": 9}}
        for at, (one, two) in enumerate(zip(read, kept, strict=True))
    ]
    return {"documents": {"read": sum(read), "kept": sum(kept)}, "sources": sources, "steps": steps, **more}


def codes(made: dict[str, Any]) -> list[str]:
    return [warning.code for warning in warnings_of(made)]


def said(made: dict[str, Any], code: CurateCode) -> str:
    (message,) = [warning.message for warning in warnings_of(made) if warning.code == code]
    return message


def test_nothing_to_warn_of() -> None:
    assert warnings_of(funnel([], [])) == []
    assert warnings_of(funnel([100, 0], [step("language", [40, 0]), step("quality", [50, 0])])) == []


def test_over_filtered() -> None:
    made = funnel([1000, 50], [step("language", [300, 0]), step("rules", [601, 0])])
    assert said(made, "over-filtered") == (
        "a: 901 of 1,000 documents (90.1%) are dropped; rules drops most of all steps, 601"
    )
    assert codes(funnel([1000], [step("rules", [900])])) == []


@pytest.mark.parametrize(("most", "warned"), [(50, []), (51, ["one-rule"])])
def test_one_rule(most: int, warned: list[str]) -> None:
    rules = [reason("gopher.words", most), reason("gopher.bullets", 100 - most)]
    made = funnel([10_000], [step("rules", [100], rules)])
    assert codes(made) == warned
    if warned:
        text = "rules.gopher.words drops 51 of the 100 documents that are dropped (51.0%): look at examples"
        assert said(made, "one-rule") == text


def test_one_step_alone_goes_by_its_name_and_exact_duplicates_are_no_rule() -> None:
    made = funnel([100], [step("duplicates", [20], [reason("duplicates", 20)])])
    assert codes(made) == []
    made = funnel([100], [step("language", [20], [reason("language", 20)])])
    assert said(made, "one-rule").startswith("language drops 20 of the 20 documents")


@pytest.mark.parametrize(
    ("documents", "size", "warned"),
    [
        (100, 10, []),
        (100, 11, ["huge-group"]),
        (20_000, 20, []),
        (20_000, 21, ["huge-group"]),
    ],
)
def test_huge_group(documents: int, size: int, warned: list[str]) -> None:
    groups = [{"size": size, "kept": {"id": "ff", "source": "a"}, "dropped": []}]
    made = funnel([documents], [], duplicates={"pairs": 9, "groups": [*groups, groups[0] | {"size": 2}], "bounded": 0})
    assert codes(made) == warned
    assert not warned or "kept, ff, is of a" in said(made, "huge-group")


def test_short_text_of_a_source_of_all_and_of_each() -> None:
    steps = [step("duplicates", [20, 0]), step("language", [0, 0])]
    languages = [{"code": "en", "documents": 100}, {"code": "short", "documents": 80}]
    assert codes(funnel([100], [step("language", [0])], languages=[{"code": "short", "documents": 50}])) == []
    made = funnel([100], [step("language", [0])], languages=[{"code": "short", "documents": 51}])
    assert said(made, "short-text").startswith("a: 51 of 100 documents (51.0%) are too short")
    assert codes(funnel([100, 100], steps, languages=languages)) == []
    made = funnel([100, 100], steps, languages=[{"code": "short", "documents": 91}])
    assert said(made, "short-text").startswith("all sources together: 91 of 180")
    each = {"code": "short", "documents": 90, "by_source": [{"documents": 41}, {"documents": 49}]}
    assert said(funnel([100, 100], steps, languages=[each]), "short-text").startswith("a: 41 of 80 documents (51.2%)")


@pytest.mark.parametrize(("references", "warned"), [(999, ["few-references"]), (1000, [])])
def test_few_references(references: int, warned: list[str]) -> None:
    assert codes(funnel([9], [], classifier={"references": references, "auc": None})) == warned


@pytest.mark.parametrize(("near", "warned"), [(50, []), (51, ["threshold-edge"])])
def test_threshold_edge(near: int, warned: list[str]) -> None:
    rules = [reason("gopher.words", 0, 1000, near, [50, 100_000.0]), reason("gopher.bullets", 0)]
    made = funnel([2000], [step("rules", [0], rules)])
    assert codes(made) == warned
    if warned:
        text = "rules.gopher.words: 51 of 1,000 documents (5.1%) lie within 5% of 50 and 100k: "
        assert said(made, "threshold-edge").startswith(text)


def test_warnings_come_by_code() -> None:
    rules = [reason("x", 95, 100, 90, [0.5, None]), reason("y", 0, 100, 90, [None, 0.5])]
    made = funnel(
        [100],
        [step("language", [0]), step("rules", [95], rules)],
        languages=[{"code": "short", "documents": 99}],
        classifier={"references": 3},
        duplicates={"pairs": 1, "groups": [{"size": 50, "kept": {"id": "a", "source": "a"}}]},
    )
    assert codes(made) == [*get_args(CurateCode), "threshold-edge"]
