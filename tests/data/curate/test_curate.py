"""Curations as a whole: what stays, what is counted, what is used again, and that the bytes depend on nothing else."""

import json
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from curation.curating import Counted, contents, curated, here, messy, paragraphs, write_jsonl

from scaling.data import sources
from scaling.data.curate.engine import output
from scaling.data.curate.engine.tasks import local_tasks
from scaling.errors import InputError

CHAIN = {
    "language": {"keep": ["en"]},
    "lines": {},
    "private": "mask",
    "rules": ["gopher", "fineweb"],
    "quality": {"like": ["wiki"], "keep": "80%"},
    "perplexity": {"like": ["wiki"], "keep": ["head", "middle", "tail"]},
    "near_duplicates": {},
    "contamination": {"held_out": True},
}


@pytest.fixture
def corpus(tmp_path: Path) -> list[dict[str, Any]]:
    """Two sources: clean text, and a mess."""
    pytest.importorskip("py3langid", reason="py3langid is not installed")
    kinds = messy(count=160)
    clean = kinds.pop("clean")
    web = [text for texts in kinds.values() for text in texts] + clean[100:]
    return [
        {"path": str(write_jsonl(tmp_path / "wiki.jsonl", clean[:100])), "name": "wiki"},
        {"path": str(write_jsonl(tmp_path / "web.jsonl", web)), "name": "web"},
    ]


def documents(folder: Path) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(file) for file in sorted(folder.glob("*/*.parquet"))], ignore_index=True)


def test_the_counts_add_up_to_the_document(tmp_path: Path, corpus: list[dict[str, Any]]) -> None:
    funnel = curated(tmp_path / "out", sources=corpus, curate=CHAIN).funnel
    kept, dropped = documents(tmp_path / "out"), pd.read_parquet(tmp_path / "out" / "dropped.parquet")
    texts = [json.loads(line)["text"] for source in corpus for line in Path(source["path"]).read_text().splitlines()]
    assert funnel["documents"] == {"read": len(texts), "kept": len(kept)}
    assert funnel["bytes"]["read"] == sum(len(text.encode()) for text in texts)
    assert funnel["bytes"]["kept"] == sum(len(text.encode()) for text in kept["text"])
    for key in ("documents", "bytes"):
        gone = sum(step[key] + (step["changed"]["bytes"] if key == "bytes" else 0) for step in funnel["steps"])
        assert funnel[key]["read"] == funnel[key]["kept"] + gone
        for number, source in enumerate(funnel["sources"]):
            gone = sum(step["by_source"][number]["documents"] for step in funnel["steps"])
            assert source["read"]["documents"] == source["kept"]["documents"] + gone
    counted = {step["name"]: step["documents"] for step in funnel["steps"] if step["name"] != "empty"}
    assert dropped["step"].value_counts().to_dict() == {name: count for name, count in counted.items() if count}
    assert counted["duplicates"] == 9
    assert counted["language"] == 20
    for step in funnel["steps"]:
        assert sum(reason["documents"] for reason in step["reasons"]) == (step["documents"] if step["reasons"] else 0)
    assert set(kept["id"]).isdisjoint(set(dropped["id"]) - set(dropped.loc[dropped["step"] == "duplicates", "id"]))
    assert list(kept.columns) == ["id", "source", "file", "text", "language", "language_score", "quality", "perplexity"]
    assert kept.groupby("source").size().to_dict() == {
        source["name"]: source["kept"]["documents"] for source in funnel["sources"]
    }


@pytest.mark.parametrize(("part", "workers"), [(2**26, 0), (30_000, 0), (9_000, 2), (9_000, 5)])
def test_the_bytes_depend_on_neither_parts_nor_workers(
    tmp_path: Path, corpus: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, part: int, workers: int
) -> None:
    monkeypatch.setattr(output, "FILE_BYTES", 50_000)
    curated(tmp_path / "whole", sources=corpus, curate=CHAIN)
    monkeypatch.setattr(sources, "PART_BYTES", part)
    curated(tmp_path / "out", partial(local_tasks, workers) if workers else here, sources=corpus, curate=CHAIN)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert len(list((tmp_path / "out").glob("*/*.parquet"))) > 4


def test_a_changed_option_does_again_only_what_follows(tmp_path: Path, corpus: list[dict[str, Any]]) -> None:
    first, second, third = Counted(), Counted(), Counted()
    curated(tmp_path / "out", first, sources=corpus, curate=CHAIN)
    assert {"read", "duplicates", "language", "near_duplicates", "contamination", "written"} <= first.steps()
    changed = {**CHAIN, "near_duplicates": {"alike": 0.8}}
    curated(tmp_path / "out", second, sources=corpus, curate=changed)
    assert second.steps() == {"near_duplicates", "contamination", "written"}
    curated(tmp_path / "out", third, sources=corpus, curate=changed)
    assert third.steps() == set()
    curated(tmp_path / "fresh", sources=corpus, curate=changed)
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_a_changed_file_is_read_again_alone(tmp_path: Path, corpus: list[dict[str, Any]]) -> None:
    again = Counted()
    curated(tmp_path / "out", sources=corpus, curate={"private": "mask"})
    write_jsonl(Path(corpus[1]["path"]), paragraphs(20, seed=7))
    curated(tmp_path / "out", again, sources=corpus, curate={"private": "mask"})
    assert sum(task.folder.parents[1].name == "read" for task in again.done) == 1


def test_a_source_may_have_its_own_steps(tmp_path: Path, corpus: list[dict[str, Any]]) -> None:
    corpus[1]["curate"] = {"language": "any", "rules": []}
    steps = curated(tmp_path / "out", sources=corpus, curate={"language": {"keep": ["en"]}, "rules": ["gopher"]}).funnel
    assert {step["name"]: step["by_source"][1]["documents"] for step in steps["steps"]} == {
        "empty": 2, "duplicates": 9, "language": 0, "rules": 0
    }  # fmt: skip
    corpus[1]["curate"] = "off"
    corpus[0]["curate"] = {"language": {"least": 1.0}}
    steps = curated(tmp_path / "out", sources=corpus, curate={"language": {"keep": ["en"]}}).funnel
    assert steps["steps"][-1]["by_source"][0]["documents"] > 50
    assert steps["steps"][-1]["by_source"][1]["documents"] == 0


def test_until_and_sample(tmp_path: Path, corpus: list[dict[str, Any]]) -> None:
    done = curated(tmp_path / "a", sources=corpus, curate=CHAIN, run={"until": "lines"}).funnel
    assert [step["name"] for step in done["steps"]] == ["empty", "duplicates", "language", "lines"]
    with pytest.raises(
        InputError, match="`until` words: is none of the steps here, which are duplicates, language, lines"
    ):
        curated(tmp_path / "b", sources=corpus, curate=CHAIN, run={"until": "words"})
    some = curated(tmp_path / "c", sources=corpus, curate={"private": "mask"}, run={"sample": 0.3}).funnel
    assert 0.15 < some["documents"]["read"] / done["documents"]["read"] < 0.45
    assert set(documents(tmp_path / "c")["id"]) < set(documents(tmp_path / "a")["id"]) | set(
        pd.read_parquet(tmp_path / "a" / "dropped.parquet")["id"]
    )


def test_nothing_half_made_is_left(tmp_path: Path, corpus: list[dict[str, Any]]) -> None:
    empty = write_jsonl(tmp_path / "empty.jsonl", ["", " "])
    with pytest.raises(InputError, match="the sources have no documents: every text is empty"):
        curated(tmp_path / "out", sources=[str(empty)], curate={"private": "mask"})
    spam = write_jsonl(tmp_path / "spam.jsonl", ["short", "shorter"])
    with pytest.raises(InputError, match="nothing is left of 2 documents: the last were dropped by rules"):
        curated(tmp_path / "out", sources=[str(spam)], curate={"rules": ["gopher"]})
    (tmp_path / "broken.jsonl").write_text('{"text": "fine"}\n{"text": 3}\n')
    with pytest.raises(InputError, match=r"broken.jsonl:2: 'text' is no text but a number; `on_error` skip leaves"):
        curated(tmp_path / "out", sources=[str(tmp_path / "broken.jsonl")], curate={"private": "mask"})
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]
    skipped = curated(
        tmp_path / "out", sources=[str(tmp_path / "broken.jsonl")], curate={"private": "mask"}, run={"on_error": "skip"}
    ).funnel
    assert skipped["steps"][0] | {"by_source": 0} == {
        "name": "unreadable", "documents": 1, "bytes": 0, "by_source": 0, "reached": 2,
        "changed": {"documents": 0, "bytes": 0}, "notes": {}, "reasons": [],
    }  # fmt: skip
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("not to be lost")
    with pytest.raises(InputError, match="mine: is there already, and is no curated data"):
        curated(tmp_path / "mine", sources=corpus, curate={"private": "mask"})
    assert (tmp_path / "mine" / "notes.txt").exists()


def test_private_data_is_nowhere_in_what_is_left(tmp_path: Path) -> None:
    texts = [f"Write to reader{number}@news.org. {text}" for number, text in enumerate(paragraphs(30))]
    texts += texts[:3]
    file = write_jsonl(tmp_path / "a.jsonl", texts)
    steps = {"private": "mask", "language": {"keep": ["de"]} if find_spec("py3langid") else "off"}
    corpus = [str(file), {"path": str(write_jsonl(tmp_path / "b.jsonl", paragraphs(3, 5))), "curate": "off"}]
    curated(tmp_path / "out", sources=corpus, curate=steps)
    assert "Write to" in (tmp_path / "out" / "funnel.json").read_text()
    assert "@news.org" not in (tmp_path / "out" / "funnel.json").read_text()
