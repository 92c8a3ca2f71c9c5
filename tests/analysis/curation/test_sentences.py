"""No sentence about a curation is false: the numbers of each are counted anew from the funnel."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from curation.funnels import RULES, Made, usual, write
from curation.odd_funnels import odd

from analysis.curation import sentences
from analysis.curation.funnel import (
    Classifier,
    Duplicates,
    Evaluation,
    Example,
    Funnel,
    Group,
    HeldOut,
    Histogram,
    Member,
    Reason,
    Step,
    label,
)
from analysis.curation.numbers import joined, range_of, share, size, value_of
from analysis.curation.reading import read_funnel

NONE = dict.fromkeys(["duplicates", "near_duplicates", "language", *(rule[0] for rule in RULES)], 0.0)


def read(funnel: dict[str, Any], folder: Path) -> Funnel:
    return read_funnel(write(funnel, folder))


def step(**changes: Any) -> Step:
    known = {"name": "rules", "documents": 0, "bytes": 0, "by_source": (), "reached": 0, "reasons": ()}
    return Step(**known | changes)


def reason(judged: int, near: int, limits: tuple[float | None, float | None] | None = (50.0, None)) -> Reason:
    return Reason("gopher.words", 1, 1, "", "words", limits, Histogram((0.0, 1.0), (judged,), 0, 0), near)


@pytest.mark.parametrize("seed", range(8))
def test_the_verdict_counts_what_is_there(seed: int, tmp_path: Path) -> None:
    counts = {"a": seed, "b": 3 * seed**2, "c": 7}
    funnel = read(Made(counts, seed).funnel, tmp_path)
    said = sentences.verdict(funnel)
    total = sum(counts.values())
    assert f"{total:,} documents" in said
    if funnel.dropped:
        dropped = [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) (?:by|as|for) ", said)]
        assert sum(dropped) == funnel.dropped
        assert dropped == sorted(dropped, reverse=True)
        assert len(dropped) == sum(each.documents > 0 for each in funnel.steps)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing read", "No documents were read."),
        ("no sources", "No documents were read."),
        ("no steps", r"All 50 documents \([\d.k]+ bytes\) are kept\."),
        (
            "nothing dropped",
            r"All 50 documents \([\d.k]+ bytes\) are kept, with [\d.k]+ bytes after changes of their text\.",
        ),
        (
            "all dropped",
            r"None of the 50 documents \([\d.k]+ bytes\) is kept\. Dropped: 50 by quality rules\. The single .*",
        ),
        ("one document", r"The only document \(\d+ bytes\) is kept, with \d+ bytes after changes of their text\."),
        (
            "the only document dropped",
            r"The only document \(\d+ bytes\) is dropped\. Dropped: 1 by quality rules\. The single rule that drops "
            r"most: rules\.gopher\.words, with 1 document \(100% of what is dropped\)\.",
        ),
        (
            "as usual",
            r"\d+ of 480 documents are kept \(\d+\.\d%\), with [\d.]+k bytes of text; [\d.]+k bytes were read\. .*",
        ),
    ],
)
def test_the_verdict_at_the_edges(name: str, said: str, tmp_path: Path) -> None:
    assert re.fullmatch(said, sentences.verdict(read(odd()[name], tmp_path)))


def test_many_steps_are_summed_and_ties_are_called_so(tmp_path: Path) -> None:
    made = Made({"a": 90}, rates=NONE).funnel
    names = ["one", "two", "three", "four", "five", "six"]
    made["steps"] = [copy.deepcopy(made["steps"][0]) | {"name": name, "reasons": []} for name in names]
    for number, each in enumerate(made["steps"]):
        each |= {"documents": 2 + number, "by_source": [{"documents": 2 + number, "bytes": 9}]}
    two = {
        "bytes": 1,
        "source": "",
        "unit": "",
        "limits": None,
        "histogram": None,
        "near": 0,
        "dropped": [],
        "kept": [],
    }
    made["steps"][5]["reasons"] = [two | {"name": "x", "documents": 3}, two | {"name": "y", "documents": 3}]
    made["steps"][5]["reasons"] += [two | {"name": "z", "documents": 1}]
    made["documents"]["kept"] = made["sources"][0]["kept"]["documents"] = 90 - 27
    assert sentences.verdict(read(made, tmp_path)).endswith(
        "Dropped: 7 by six, 6 by five, 5 by four, 4 by three and 5 by 2 other steps. "
        "The single rules that drop most: six.x and six.y, with 3 documents each (11.1% of what is dropped)."
    )


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (step(), "No document came to it."),
        (step(reached=1), "1 document came to it, and none was dropped."),
        (step(reached=1, documents=1, bytes=1), "The only document that came to it was dropped, with 1 byte."),
        (step(reached=5, documents=5, bytes=2500), "All 5 documents that came to it were dropped, with 2.5k bytes."),
        (
            step(reached=3000, documents=1, bytes=7),
            "Of 3,000 documents that came to it, 1 was dropped (<0.1%), with 7 bytes.",
        ),
        (
            step(reached=3000, documents=2999, bytes=7),
            "Of 3,000 documents that came to it, 2,999 were dropped (>99.9%), with 7 bytes.",
        ),
    ],
)
def test_a_step(made: Step, said: str) -> None:
    assert sentences.of_step(made) == said


def test_what_a_step_changed(tmp_path: Path) -> None:
    private, rules = read(odd()["longer texts"], tmp_path / "longer").steps[2:4]
    counted = "It counted: masked e-mail 5, masked IP 2."
    assert sentences.of_changes(private) == f"1 document was changed and left, together 12 bytes longer. {counted}"
    assert sentences.of_changes(rules) == "2 documents were changed and left, together as long as before."
    usually = read(usual().funnel, tmp_path / "usual").steps
    assert (
        sentences.of_changes(usually[2]) == f"7 documents were changed and left, together 21 bytes shorter. {counted}"
    )
    assert sentences.of_changes(usually[0]) == ""


@pytest.mark.parametrize(
    ("judged", "near", "limits", "said"),
    [
        (900, 12, (50.0, None), "12 of the 900 documents that it judged lie within 5% of the threshold (1.3%)."),
        (900, 1, (50.0, 99.0), "1 of the 900 documents that it judged lies within 5% of a threshold (0.1%)."),
        (900, 0, (None, 99.0), "None of the 900 documents that it judged lies within 5% of the threshold."),
        (1, 1, (50.0, None), "The only document that it judged lies within 5% of the threshold."),
        (1, 0, (50.0, None), "The only document that it judged does not lie within 5% of the threshold."),
        (0, 0, (50.0, None), "It judged no document."),
        (10, 0, None, ""),
        (10, 0, (None, None), ""),
    ],
)
def test_how_many_lie_at_a_threshold(
    judged: int, near: int, limits: tuple[float | None, float | None] | None, said: str
) -> None:
    assert sentences.of_near(reason(judged, near, limits)) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (12.0, "words: 12, below 50"),
        (49.99, "words: 49.99, below 50"),
        (50.0, "words: 50"),
        (50.004, "words: 50.004"),
        (100_000.0, "words: 100k"),
        (100_001.0, "words: 100001, above 100k"),
        (None, ""),
    ],
)
def test_why_an_example_was_dropped(value: float | None, said: str) -> None:
    example = Example("a", "web", "f", value, "text")
    assert sentences.of_example(example, reason(9, 1, (50.0, 100_000.0))) == said


def test_what_an_example_repeats() -> None:
    plain = Reason("near_duplicates", 1, 1)
    assert sentences.of_example(Example("a", "web", twin="b"), plain) == "repeats b"
    assert sentences.of_example(Example("a", "web", twin="a"), plain) == "has the text of another"
    assert sentences.of_example(Example("a", "web", value=0.75, twin="b"), plain) == "repeats b, similarity: 0.75"


@pytest.mark.parametrize(
    ("pairs", "groups", "said"),
    [
        (0, 0, "No two documents are alike."),
        (1, 0, "1 pair of documents is alike."),
        (
            4,
            1,
            r"4 pairs of documents are alike\. A group is one document that is kept and those that repeat it; the .*",
        ),
        (9, 3, r"9 pairs of documents are alike\. .*; the 3 largest are below\. .*"),
    ],
)
def test_groups(pairs: int, groups: int, said: str) -> None:
    group = Group(2, Member("a", "web", "text"))
    assert re.fullmatch(said, sentences.of_groups(Duplicates(pairs, (group,) * groups)))


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([], ""),
        ([(100, 0, 0)], "No evaluation document is found in the sources."),
        ([(100, 1, 1)], "1 of 100 evaluation documents is found in the sources; 1 is too short to be looked for."),
        ([(1, 0, 1)], "1 of 1 evaluation document is found in the sources."),
        (
            [(100, 2, 1), (900, 3, 4)],
            "5 of 1,000 evaluation documents are found in the sources; 5 are too short to be .*",
        ),
    ],
    ids=["no file", "none found", "one", "the only one", "two files"],
)
def test_evaluations(counts: list[tuple[int, int, int]], said: str) -> None:
    assert re.fullmatch(said, sentences.of_evaluations([Evaluation("f", *each) for each in counts]))


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (None, ""),
        (HeldOut(0), ""),
        (HeldOut(1), "1 held-out document was looked for in training text."),
        (
            HeldOut(1200, 1),
            "1,200 held-out documents were looked for in training text; 1 is a phrase that many documents have.*",
        ),
        (
            HeldOut(9, 2),
            "9 held-out documents were looked for in training text; 2 are phrases that many documents have.*",
        ),
    ],
    ids=["none", "no documents", "one", "a phrase", "phrases"],
)
def test_held_out_text(known: HeldOut | None, said: str) -> None:
    assert re.fullmatch(said, sentences.of_held_out(known))


def test_the_classifier() -> None:
    assert "0.9996 (AUC)" in sentences.of_classifier(Classifier(0.9996, 9, 1, 2)), "a perfect one only at 1"
    assert "1 reference and 2 other documents." in sentences.of_classifier(Classifier(0.9, 9, 1, 2))
    assert sentences.of_classifier(Classifier(None, 0, 1, 2)).endswith("was not measured.")


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        *((0, 5, "0%"), (5, 5, "100%"), (1, 3, "33.3%"), (7, 10, "70%"), (1, 10**6, "<0.1%")),
        *((10**6 - 1, 10**6, ">99.9%"), (10**6 + 1, 10**6, ">100%"), (11, 10, "110%"), (0, 0, "")),
    ],
)
def test_shares(part: int, whole: int, text: str) -> None:
    assert share(part, whole) == text


def test_a_reason_is_called_with_its_step_once() -> None:
    for step_name, name, called in (
        ("rules", "gopher.words", "rules.gopher.words"),
        ("language", "language", "language"),
        ("near_duplicates", "near_duplicates.contained", "near_duplicates.contained"),
    ):
        assert label(step(name=step_name), Reason(name, 0, 0)) == called


def test_numbers_in_words() -> None:
    assert [size(1), size(0), size(2_500_000)] == ["1 byte", "0 bytes", "2.5M bytes"]
    assert [joined([]), joined(["a"]), joined(["a", "b"]), joined(["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert [range_of(50, 1e5), range_of(0.65, None), range_of(None, 0.3), range_of(None, None)] == [
        *("50 to 100k", "at least 0.65", "at most 0.3", ""),
    ]
    assert [value_of(0.8999, [0.9]), value_of(0.9, [0.9]), value_of(0.9000001, [0.9, 1.0])] == [
        "0.8999",
        "0.9",
        "0.9000001",
    ]
    assert [value_of(1.03e-14, [0.65]), value_of(0.0, [0.65]), value_of(2e-5, [1e-5])] == ["<0.0001", "0", "2e-05"]
