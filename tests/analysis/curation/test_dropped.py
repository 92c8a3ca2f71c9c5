"""``scaling data inspect`` of a curated folder: the counts, and the documents that went under a name."""

import json
from pathlib import Path
from typing import Any

import pytest
from curation.funnels import Made, usual
from curation.odd_funnels import HOSTILE, MARKS, odd
from inprocess import scaling

MADE = usual(5)
RULES = [reason["name"] for reason in MADE.funnel["steps"][3]["reasons"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MADE.write(tmp_path_factory.mktemp("curated") / "web")


def inspected(folder: Path, *arguments: object) -> dict[str, Any]:
    done = scaling("data", "inspect", folder, *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def rows_of(reasons: list[str]) -> list[dict[str, Any]]:
    return sorted((row for row in MADE.rows if row["reason"] in reasons), key=lambda row: row["id"])


def test_the_counts_as_text_and_as_json(folder: Path) -> None:
    content = inspected(folder)
    assert content["documents"] == MADE.funnel["documents"]
    assert content["warnings"] == MADE.funnel["warnings"]
    assert [step["name"] for step in content["steps"]] == [step["name"] for step in MADE.funnel["steps"]]
    done = scaling("data", "inspect", folder)
    assert done.stdout.startswith(f"web: {MADE.funnel['documents']['kept']:,} of 480 documents are kept")
    lines = [line.split() for line in done.stdout.splitlines()]
    wiki = MADE.funnel["sources"][0]
    assert ["wiki", "120", f"{wiki['kept']['documents']}"] in [line[:3] for line in lines]
    for title, step in zip(
        ("Language", "Near-duplicates"), (MADE.funnel["steps"][1], MADE.funnel["steps"][4]), strict=True
    ):
        assert [title, f"{step['reached']}", f"{step['documents']}"] in [line[:3] for line in lines]
    assert "[one-rule]" in done.stderr


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("rules", RULES),
        ("rules.gopher.bullets", ["gopher.bullets"]),
        ("gopher.bullets", ["gopher.bullets"]),
        ("rules.bullets", ["gopher.bullets"]),
        ("bullets", ["gopher.bullets"]),
        ("language", ["language"]),
        ("near_duplicates", ["near_duplicates"]),
    ],
)
def test_documents_by_every_name_of_a_step_or_rule(name: str, reasons: list[str], folder: Path) -> None:
    content, rows = inspected(folder, "--dropped", name, "--show", 12), rows_of(reasons)
    assert content["documents"] == len(rows) > 0
    assert [row["id"] for row in content["rows"]] == [row["id"] for row in rows[:12]]
    for shown, row in zip(content["rows"], rows, strict=False):
        assert {key: shown[key] for key in ("source", "file", "value", "twin")} == {
            key: row[key] for key in ("source", "file", "value", "twin")
        }
        assert shown["reason"].endswith(row["reason"])
    if len(reasons) == 1:
        assert [row["text"] is not None for row in content["rows"]] == [
            number < 10 for number in range(len(content["rows"]))
        ]


def test_a_name_of_two_rules_is_both(tmp_path: Path) -> None:
    made = usual(6)
    made.funnel["steps"][3]["reasons"][1]["name"] = "c4.words"
    for row in made.rows:
        row["reason"] = row["reason"].replace("gopher.bullets", "c4.words")
    content = inspected(made.write(tmp_path), "--dropped", "words", "--show", 1000)
    assert content["reasons"] == ["rules.gopher.words", "rules.c4.words"]
    assert content["documents"] == len(content["rows"]) == sum(each["reason"].endswith("words") for each in made.rows)


def test_documents_as_text(folder: Path) -> None:
    rows = rows_of(["gopher.words"])
    done = scaling("data", "inspect", folder, "--dropped", "gopher.words", "--show", 3)
    head, titles, *lines = done.stdout.splitlines()
    assert head.startswith(f"rules.gopher.words: {len(rows)} documents (")
    assert head.endswith("; the first 3 by id")
    assert titles.split() == ["id", "source", "file", "value"]
    assert [line.split()[:3] for line in lines[::2]] == [[row["id"], row["source"], row["file"]] for row in rows[:3]]
    assert all(line.startswith("      document ") for line in lines[1::2])
    twins = scaling("data", "inspect", folder, "--dropped", "duplicates", "--show", 1000).stdout
    assert twins.count("the same text") == MADE.funnel["steps"][0]["documents"]
    assert "by id" not in twins
    all_rules = scaling("data", "inspect", folder, "--dropped", "rules").stdout.splitlines()
    assert all_rules[0].startswith("rules.gopher.words, rules.gopher.bullets, rules.gopher.mean_length and 2 more: ")
    assert "reason" in all_rules[1]


def test_a_step_that_dropped_nothing_and_one_without_a_list(tmp_path: Path, folder: Path) -> None:
    assert scaling("data", "inspect", folder, "--dropped", "private").stdout == "private: 0 documents\n"
    made = Made({"wiki": 20})
    made.funnel["steps"][0] |= {"name": "empty", "reasons": []}
    count = made.funnel["steps"][0]["documents"]
    shown = scaling("data", "inspect", made.write(tmp_path), "--dropped", "empty").stdout
    assert shown.startswith(f"empty: {count} document")
    assert shown.endswith(", of which there is no list\n") == (count > 0)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("gopher.bulets", "near it: gopher.bullets, "),
        ("bullet", "near it: bullets, "),
        ("near-duplicates", "near it: near_duplicates"),
        ("zzzzzz", "curation; its steps: duplicates, language, private, rules, near_duplicates"),
    ],
)
def test_a_name_that_is_none_is_told_with_the_nearest(name: str, near: str, folder: Path) -> None:
    done = scaling("data", "inspect", folder, "--dropped", name)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: --dropped {name}: no step or rule of this curation")
    assert near in line


@pytest.mark.parametrize("content", [None, b"", b"PAR1", b"{}" * 100])
def test_a_table_that_is_missing_or_damaged_is_one_line(content: bytes | None, tmp_path: Path) -> None:
    folder = usual().write(tmp_path)
    (folder / "dropped.parquet").unlink()
    if content is not None:
        (folder / "dropped.parquet").write_bytes(content)
    done = scaling("data", "inspect", folder, "--dropped", "rules")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "dropped.parquet: " in line
    assert scaling("data", "inspect", folder).returncode == 0, "the counts need no table"


def test_hostile_texts_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    made = usual()
    made.funnel = odd()["hostile"]
    for row in made.rows:
        row |= {key: HOSTILE + MARKS + row[key] for key in ("id", "source", "file", "step", "reason")}
    folder = made.write(tmp_path)
    for arguments in ((), ("--dropped", made.funnel["steps"][1]["name"])):
        shown = scaling("data", "inspect", folder, *arguments).stdout
        assert all(line.isprintable() for line in shown.splitlines())
        assert "[U+202E]right to left" in shown
