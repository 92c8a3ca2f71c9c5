"""The step of the quality classifier: what stays, what the page is told, and which sources cannot be judged."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from curation.curating import curated, paragraphs, write_jsonl
from curation.manuals import COMMON, TERMS, manuals

from scaling.data import sources
from scaling.data.curate.steps import quality as step
from scaling.errors import InputError


@pytest.fixture
def corpus(tmp_path: Path) -> list[dict[str, Any]]:
    """References, and a source of which half is like them."""
    speeches = [text[:500] for text in paragraphs(250)]
    web = [text for pair in zip(speeches[200:], manuals(50, 1), strict=True) for text in pair]
    return [
        {"path": str(write_jsonl(tmp_path / "web.jsonl", web)), "name": "web"},
        {"path": str(write_jsonl(tmp_path / "wiki.jsonl", speeches[:200])), "name": "wiki"},
    ]


def kept_of(folder: Path, source: str) -> pd.DataFrame:
    found = pd.concat(map(pd.read_parquet, sorted(folder.glob("*/*.parquet"))))
    return found[found["source"] == source]


def is_manual(texts: pd.Series) -> pd.Series:
    return texts.str.contains(r"^(?:\w+ )+\d+$")


@pytest.mark.parametrize("keep", ["50%", "1%", "100%"])
def test_the_step_keeps_a_share_with_the_highest_scores(
    tmp_path: Path, corpus: list[dict[str, Any]], keep: str
) -> None:
    done = curated(tmp_path / "out", sources=corpus, curate={"quality": {"like": "wiki", "keep": keep}})
    found, count = kept_of(tmp_path / "out", "web"), int(keep[:-1])
    assert len(found) == count
    assert is_manual(found["text"]).sum() == max(0, count - 50)
    assert len(kept_of(tmp_path / "out", "wiki")) == 200
    dropped = pd.read_parquet(tmp_path / "out" / "dropped.parquet")
    assert set(dropped["reason"]) <= {"quality"}
    assert (dropped["value"].max() if count < 100 else 0) <= found["quality"].min()
    [reason] = next(each for each in done.funnel["steps"] if each["name"] == "quality")["reasons"]
    assert reason["limits"] == [pytest.approx(found["quality"].min()), None]
    assert sum(reason["histogram"]["counts"]) == 100


def test_the_step_keeps_what_rather_looks_like_a_reference(tmp_path: Path, corpus: list[dict[str, Any]]) -> None:
    done = curated(tmp_path / "out", sources=corpus, curate={"quality": {"like": "wiki"}})
    found = kept_of(tmp_path / "out", "web")
    assert is_manual(found["text"]).sum() == 0
    assert 40 <= len(found) <= 50
    assert found["quality"].min() >= 0.5
    [reason] = next(each for each in done.funnel["steps"] if each["name"] == "quality")["reasons"]
    assert reason["limits"] == [0.5, None]
    assert pd.read_parquet(tmp_path / "out" / "dropped.parquet")["value"].max() < 0.5
    references = kept_of(tmp_path / "out", "wiki")["quality"]
    assert len(references) == 200
    assert references.min() < 0.5 < references.mean()


def test_the_page_is_told_what_the_classifier_learnt(tmp_path: Path, corpus: list[dict[str, Any]]) -> None:
    funnel = curated(tmp_path / "out", sources=corpus, curate={"quality": {"like": "wiki"}}).funnel
    report = funnel["classifier"]
    assert report["auc"] == pytest.approx(0.75, abs=0.06)  # as half of the others are like references
    assert (report["references"], report["others"], report["held_out"]) == (200, 100, 300)
    assert {word for word, _ in report["against"][:10]} & {*TERMS, *COMMON}
    assert all(weight > 0 for _, weight in report["for"])
    assert len(report["deciles"]) == 10
    for one, two in pairwise(report["deciles"]):
        assert one["low"] <= one["high"] <= two["low"]
    assert is_manual(pd.Series([each["text"] for each in report["deciles"]])).tolist() == [True] * 5 + [False] * 5
    assert {each["source"] for each in report["deciles"]} == {"web"}
    [warning] = [each for each in funnel["warnings"] if each["code"] == "few-references"]
    assert "200 references" in warning["message"]


def test_the_scores_depend_on_no_part(
    tmp_path: Path, corpus: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "_DOCUMENTS", 80)
    curate = {"quality": {"like": "wiki", "keep": "50%"}}
    one = curated(tmp_path / "whole", sources=corpus, curate=curate).funnel
    monkeypatch.setattr(sources, "PART_BYTES", 60_000)
    two = curated(tmp_path / "cut", sources=corpus[::-1], curate=curate).funnel
    assert one["classifier"] == two["classifier"]
    assert 100 < one["classifier"]["references"] + one["classifier"]["others"] < 220
    found = [kept_of(tmp_path / name, "web").set_index("id")["quality"].sort_index() for name in ("whole", "cut")]
    assert found[0].equals(found[1])


def test_each_source_may_name_its_own_references(tmp_path: Path, corpus: list[dict[str, Any]]) -> None:
    corpus.append({"path": str(write_jsonl(tmp_path / "api.jsonl", manuals(60, 5))), "name": "api"})
    corpus[1]["curate"] = "off"
    corpus[2]["curate"] = {"quality": {"like": ["wiki"], "keep": "10%"}}
    curate = {"quality": {"like": ["api", "wiki"], "keep": "references"}}
    steps = curated(tmp_path / "out", sources=corpus, curate=curate).funnel["steps"]
    assert [each["documents"] for each in steps[-1]["by_source"]][1:] == [0, 54]
    assert kept_of(tmp_path / "out", "wiki")["quality"].isna().all()


@pytest.mark.parametrize(
    ("empty", "message"),
    [
        ("wiki", "quality: like: wiki: no document of the references is left after the steps before"),
        ("web", "quality: like: wiki: no document of another source is left to judge"),
    ],
)
def test_a_side_without_documents(tmp_path: Path, corpus: list[dict[str, Any]], empty: str, message: str) -> None:
    write_jsonl(tmp_path / f"{empty}.jsonl", ["too short", "words"])
    with pytest.raises(InputError) as error:
        curated(tmp_path / "out", sources=corpus, curate={"rules": ["gopher"], "quality": {"like": "wiki"}})
    assert [each.split(";")[0] for each in error.value.errors] == [message]


def test_a_few_documents_are_enough(tmp_path: Path) -> None:
    spec = [
        {"path": str(write_jsonl(tmp_path / "a.jsonl", ["...", "字"])), "name": "a"},
        {"path": str(write_jsonl(tmp_path / "b.jsonl", ["!?", "word"])), "name": "b"},
    ]
    funnel = curated(tmp_path / "out", sources=spec, curate={"quality": {"like": "a", "keep": "50%"}}).funnel
    assert funnel["documents"] == {"read": 4, "kept": 3}
    assert funnel["classifier"]["auc"] is None or 0 <= funnel["classifier"]["auc"] <= 1
