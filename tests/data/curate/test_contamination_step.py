"""What repeats an evaluation or a held-out document goes, and nothing else, whoever asks."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from curation.curating import contents, curated, paragraphs, write_jsonl

from scaling.data import sources
from scaling.data.build import build
from scaling.data.building.part import is_held_out
from scaling.data.curate.building import without_steps
from scaling.data.curate.engine import output
from scaling.data.curate.steps import contamination as step
from scaling.data.curate.text import held_out as held_out_room
from scaling.data.spec import BuildSpec
from scaling.errors import InputError

SHARE = 0.2


def held_out(text: str) -> bool:
    return is_held_out(hashlib.sha256(text.encode()).digest(), SHARE)


def near(text: str) -> str:
    """Almost the same document, on the side of training."""
    made = text.replace(" the ", " The, ", 3).replace(" of ", " from ", 1)
    return next(each for number in range(99) if not held_out(each := f"{made} It was said in {number}."))


def around(text: str, others: list[str], number: int) -> str:
    """A long page of training with the text in it."""
    pages = (f"{others[number]}\n{text.upper()}\n{others[number + 1]} {at}" for at in range(99))
    return next(page for page in pages if not held_out(page))


@pytest.fixture
def texts() -> list[str]:
    return paragraphs(240, seed=3)


@pytest.fixture
def corpus(tmp_path: Path, texts: list[str]) -> dict[str, list[str]]:
    """Documents by kind; those of ``clean`` that are held out have near-duplicates and pages around them."""
    clean, others = texts[:150], texts[150:]
    measured = [text for text in clean if held_out(text)]
    assert 15 < len(measured) < 50
    train = [text for text in others[60:] if not held_out(text)]
    kinds = {
        "clean": clean,
        "near": [near(text) for text in measured],
        "within": [around(text, others, number) for number, text in enumerate(measured)],
        "train": train,
    }
    for name, each in kinds.items():
        write_jsonl(tmp_path / f"{name}.jsonl", each)
    return kinds


def curation(tmp_path: Path, **options: Any) -> tuple[set[str], pd.DataFrame, dict[str, Any]]:
    """Texts that stay, rows of those that do not, and the funnel."""
    spec = [str(tmp_path / f"{name}.jsonl") for name in ("clean", "near", "within", "train")]
    made = curated(tmp_path / "out", sources=spec, held_out=SHARE, curate={"contamination": options})
    kept = pd.concat(map(pd.read_parquet, sorted((tmp_path / "out").glob("*/*.parquet"))))
    return set(kept["text"]), pd.read_parquet(tmp_path / "out" / "dropped.parquet"), made.funnel


def test_what_repeats_held_out_documents_goes(tmp_path: Path, corpus: dict[str, list[str]]) -> None:
    kept, dropped, funnel = curation(tmp_path)
    assert kept == {*corpus["clean"], *corpus["train"]}
    assert set(dropped["reason"]) == {"held_out.alike", "held_out.within"}
    ids = {hashlib.sha256(text.encode()).hexdigest()[:32]: text for text in corpus["clean"]}
    assert set(dropped["twin"]) == {id for id, text in ids.items() if held_out(text)}
    rows = dropped.set_index("id")
    for text, twin in zip(corpus["near"], [text for text in corpus["clean"] if held_out(text)], strict=True):
        row = rows.loc[hashlib.sha256(text.encode()).hexdigest()[:32]]
        assert row["reason"] == "held_out.alike"
        assert ids[row["twin"]] == twin
        assert row["value"] >= 0.7
    assert funnel["contamination"] == {
        "evaluations": [], "held_out": {"documents": sum(map(held_out, kept)), "phrases": 0}
    }  # fmt: skip


def test_a_build_counts_no_leaks_after_it(tmp_path: Path, corpus: dict[str, list[str]]) -> None:
    paths = [str(tmp_path / f"{name}.jsonl") for name in corpus]
    spec = BuildSpec.model_validate({"name": "test", "sources": paths, "held_out": SHARE})
    assert build(spec, tmp_path / "raw", 1, lambda _: None).leaks == len(corpus["near"])
    curated(tmp_path / "curated", sources=paths, held_out=SHARE, curate={"contamination": {}})
    manifest = build(without_steps(spec, tmp_path / "curated"), tmp_path / "built", 1, lambda _: None)
    assert manifest.leaks == 0
    assert sum(shard.documents for shard in manifest.of("held_out")) == sum(map(held_out, corpus["clean"]))


def test_no_leaks_of_documents_of_which_a_build_compares_the_beginning(tmp_path: Path) -> None:
    texts = paragraphs(60, seed=5)
    joined = "\n".join(texts).encode("ascii", "ignore").decode()
    long = joined * (2**22 // len(joined) + 1)
    # The same for 4 MiB, and then much else.
    other = long[: 2**22] + " ".join(str(number) for number in range(2**17))
    own = write_jsonl(tmp_path / "own.jsonl", [long])
    web = write_jsonl(tmp_path / "web.jsonl", [other, texts[0]])
    spec = [{"path": str(own), "only": "held_out"}, {"path": str(web), "only": "train"}]
    made = curated(tmp_path / "out", sources=spec, curate={"contamination": {}})
    assert [source["kept"]["documents"] for source in made.funnel["sources"]] == [1, 1]
    assert pd.read_parquet(tmp_path / "out" / "dropped.parquet")["reason"].tolist() == ["held_out.alike"]


def test_what_repeats_evaluations_goes(tmp_path: Path, corpus: dict[str, list[str]]) -> None:
    asked = [text.split("\n\n")[0] for text in corpus["clean"][:9]]
    rows = [{"question": text, "answer": "yes"} for text in asked] + [{"question": "Why?"}]
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "evals" / "b.txt").write_text(" ".join(corpus["near"][0].split()[:60]) + " and what nobody has written")
    kept, dropped, funnel = curation(tmp_path, **{"with": [str(tmp_path / "evals")], "held_out": False})
    # Those that are held out go too, and the pages around them.
    gone = {text for texts in corpus.values() for text in texts if any(near_enough(ask, text) for ask in asked)}
    everything = {text for texts in corpus.values() for text in texts}
    own = {text for text in everything if near_enough(" ".join(corpus["near"][0].split()[:60]), text)}
    assert kept == everything - gone - own
    assert set(dropped["reason"]) == {"evaluations"}
    assert (dropped["value"] >= 0.8).all()
    assert funnel["contamination"] == {
        "evaluations": [
            {"file": str(tmp_path / "evals" / "a.jsonl"), "documents": 10, "too_short": 1, "found": 9},
            {"file": str(tmp_path / "evals" / "b.txt"), "documents": 1, "too_short": 0, "found": 1},
        ]
    }
    [reason] = funnel["steps"][-1]["reasons"]
    assert reason["limits"] == [None, 0.8]
    assert sum(reason["histogram"]["counts"]) == len(everything)


def near_enough(text: str, page: str) -> bool:
    """Whether a page has four fifths of the 13-grams of a text, by tuples of words."""
    import re

    def grams(of: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", of.lower())
        return {tuple(words[at : at + 13]) for at in range(len(words) - 12)}

    return len(grams(text) & grams(page)) >= 0.8 * len(grams(text))


def test_sources_that_are_held_out_as_a_whole(tmp_path: Path, corpus: dict[str, list[str]]) -> None:
    first = corpus["train"][:5]
    own = write_jsonl(tmp_path / "own.jsonl", first)
    copies = write_jsonl(tmp_path / "copies.jsonl", [f"{text} Thank you." for text in first])
    spec = [
        {"path": str(own), "only": "held_out", "name": "own"},
        {"path": str(copies), "only": "train", "name": "copies"},
        {"path": str(tmp_path / "clean.jsonl"), "only": "train", "name": "clean"},
    ]
    made = curated(tmp_path / "out", sources=spec, curate={"contamination": {"with": [str(own)]}})
    left = {source["name"]: source["kept"]["documents"] for source in made.funnel["sources"]}
    assert left == {"own": 5, "copies": 0, "clean": 150}
    assert made.funnel["contamination"]["held_out"] == {"documents": 5, "phrases": 0}


@pytest.mark.usefixtures("corpus")
def test_nothing_may_be_held_out_or_left(tmp_path: Path) -> None:
    write_jsonl(
        tmp_path / "odd.jsonl", ["!?", "...", "?", "a", "\u4e00"] + ["spam " * 30 + str(number) for number in range(9)]
    )
    spec: list[Any] = [{"path": str(tmp_path / f"{name}.jsonl"), "only": "train"} for name in ("clean", "odd")]
    made = curated(tmp_path / "out", sources=spec, curate={"contamination": {}})
    assert made.funnel["documents"] == {"read": 164, "kept": 164}
    assert made.funnel["contamination"]["held_out"] == {"documents": 0, "phrases": 0}
    spec = [str(tmp_path / "odd.jsonl"), str(write_jsonl(tmp_path / "copy.jsonl", ["a", "?"]))]
    steps = {"contamination": {"with": [str(tmp_path / "within.jsonl")]}}
    left = curated(tmp_path / "other", sources=spec, held_out=SHARE, curate=steps).funnel["sources"]
    assert [source["kept"]["documents"] for source in left] == [14, 0]
    made = curated(tmp_path / "odd", sources=spec[:1], held_out=0.5, curate={"contamination": {}})
    assert made.funnel["documents"]["kept"] >= 5


def test_a_source_may_be_left_out(tmp_path: Path, corpus: dict[str, list[str]]) -> None:
    spec: list[Any] = [str(tmp_path / f"{name}.jsonl") for name in ("clean", "near")]
    spec.append({"path": str(tmp_path / "within.jsonl"), "curate": {"contamination": "off"}})
    spec.append({"path": str(tmp_path / "train.jsonl"), "curate": {"contamination": {"words": 8, "share": 1}}})
    made = curated(tmp_path / "out", sources=spec, held_out=SHARE, curate={"contamination": {}})
    left = [source["kept"]["documents"] for source in made.funnel["sources"]]
    assert left == [150, 0, len(corpus["within"]), len(corpus["train"])]


def test_phrases_that_many_have_are_no_reason(
    tmp_path: Path, corpus: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    licence = next(text for text in corpus["clean"] if held_out(text))
    pages = [around(licence, corpus["train"], number % 20) + f" {number}" for number in range(15)]
    write_jsonl(tmp_path / "train.jsonl", [*corpus["train"], *(page for page in pages if not held_out(page))])
    write_jsonl(tmp_path / "within.jsonl", [corpus["train"][0] + " once more"])
    kept, _, funnel = curation(tmp_path)
    assert funnel["contamination"]["held_out"]["phrases"] == 1
    assert sum(licence.upper() in text for text in kept) > 10
    monkeypatch.setattr(step, "_COMMON", 20)
    (tmp_path / "train.jsonl").touch()
    kept, _, funnel = curation(tmp_path)
    assert funnel["contamination"]["held_out"]["phrases"] == 0
    assert sum(licence.upper() in text for text in kept) == 0


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("part", [12_000, 60_000])
def test_where_work_is_cut_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    spec = [str(tmp_path / f"{name}.jsonl") for name in ("clean", "near", "within", "train")]
    options = {"with": [str(tmp_path / "train.jsonl")], "share": 0.3}
    monkeypatch.setattr(output, "FILE_BYTES", 50_000)
    curated(tmp_path / "whole", sources=spec, held_out=SHARE, curate={"contamination": options})
    monkeypatch.setattr(sources, "PART_BYTES", part)
    monkeypatch.setattr(held_out_room, "_RANGE", 500)
    monkeypatch.setattr(held_out_room, "_BLOCK", 3)
    curated(tmp_path / "out", sources=spec, held_out=SHARE, curate={"contamination": options})
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.usefixtures("corpus")
def test_faults_are_told_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"question": "fine?"}\n{"question": \n')
    with pytest.raises(InputError) as error:
        curation(tmp_path, **{"with": [str(tmp_path / "bad.jsonl")]})
    assert error.value.errors[0].startswith(f"contamination: {tmp_path}/bad.jsonl:2: not JSON")
    with pytest.raises(InputError, match=r"contamination: corpus path .*none\.jsonl: no such file"):
        curation(tmp_path, **{"with": [str(tmp_path / "none.jsonl")]})
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / ".out.steps").exists()
