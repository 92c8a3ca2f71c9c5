"""What is no funnel, or a damaged one, is told in one line."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from curation.funnels import usual, write
from curation.odd_funnels import odd
from inprocess import scaling

from analysis.curation.reading import content_of, read_funnel
from analysis.errors import InputError

FUNNEL = usual().funnel


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    made = copy.deepcopy(FUNNEL)
    place: Any = made
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return made


DAMAGED = {
    "newer": (changed("version", to=2), "of version 2, and this release reads version 1"),
    "not a number": (changed("steps", 0, "documents", to="many"), "not a readable funnel (steps.0.documents: "),
    "below zero": (changed("documents", "read", to=-1), "not a readable funnel (documents.read: "),
    "no sources": (changed("sources", to=None), "not a readable funnel (sources: "),
    "odd limits": (
        changed("steps", 1, "reasons", 0, "limits", to=[1.0]),
        "not a readable funnel (steps.1.reasons.0.lim",
    ),
    "documents gone": (changed("documents", "kept", to=1), "the documents of its steps add up to"),
    "a source's": (
        changed("sources", 1, "kept", "documents", to=1),
        "the documents of its sources that are kept add up",
    ),
    "a step's": (
        changed("steps", 1, "by_source", 1, "documents", to=1),
        "the documents of its sources of language add",
    ),
    "a reason's": (
        changed("steps", 3, "reasons", 0, "documents", to=0),
        "the documents of its reasons of rules add up",
    ),
    "sources missing": (changed("steps", 1, "by_source", to=[]), "language counts 0 sources, not 3"),
    "bins": (changed("steps", 1, "reasons", 0, "histogram", "counts", to=[1, 2]), "damaged: the bins of language"),
    "edges": (changed("steps", 1, "reasons", 0, "histogram", "edges", to=[1.0] * 41), "damaged: the bins of language"),
    "another file": ({"runs": []}, "not a readable funnel ('version')"),
    "a list": ([], "not a readable funnel ("),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_funnel_is_one_line(name: str, tmp_path: Path) -> None:
    content, said = DAMAGED[name]
    (tmp_path / "funnel.json").write_text(json.dumps(content))
    for command in ("report", "inspect"):
        done = scaling("data", command, tmp_path, *(["--dropped", "rules"] if command == "inspect" else []))
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"error: {tmp_path}/funnel.json: ")
        assert said in line
    assert [path.name for path in tmp_path.iterdir()] == ["funnel.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000], ids=["empty", "cut", "bytes", "deep"])
def test_no_json_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "funnel.json").write_bytes(content)
    with pytest.raises(InputError, match=r"funnel\.json: not a readable funnel"):
        read_funnel(tmp_path)


def test_another_folder_is_no_curated_one(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="not a curated folder"):
            read_funnel(folder)


@pytest.mark.parametrize("name", odd())
def test_every_odd_funnel_is_read_as_it_is(name: str, tmp_path: Path) -> None:
    content = odd()[name]
    read = content_of(read_funnel(write(content, tmp_path)))
    assert read["documents"] == content["documents"]
    assert read["steps"] == [{key: step[key] for key in ("name", "documents", "bytes")} for step in content["steps"]]
    assert read["sources"] == content["sources"]


def test_a_number_that_is_none_is_missing(tmp_path: Path) -> None:
    made = changed("steps", 1, "reasons", 0, "dropped", 0, "value", to=float("nan"))
    assert read_funnel(write(made, tmp_path)).steps[1].reasons[0].dropped[0].value is None
