"""The step of rules drops documents for the first rule they break, and asks stop words of English text only."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from curation.curating import GERMAN, curated, paragraphs, write_jsonl

from scaling.data.curate.rules.thresholds import RULES


def curation(folder: Path, spec: list[Any], **curate: Any) -> tuple[list[str], dict[str, str], dict[str, Any]]:
    """Texts that stay, the reason by text's id of those that do not, and the step's part of the funnel."""
    funnel = curated(folder, sources=spec, curate=curate).funnel
    kept = pd.concat(map(pd.read_parquet, sorted(folder.glob("*/*.parquet"))))
    dropped = pd.read_parquet(folder / "dropped.parquet")
    found = next(each for each in funnel["steps"] if each["name"] == "rules")
    return sorted(kept["text"]), dropped["reason"].value_counts().to_dict(), found


def test_documents_are_dropped_for_their_first_rule(tmp_path: Path) -> None:
    texts = [text for text in paragraphs(60) if len(text.split()) > 80]
    bad = [
        "too short",
        "of the planet " * 60,
        *("Home\nAbout us\nContact the of to\n" * count for count in (20, 21)),
    ]
    path = write_jsonl(tmp_path / "web.jsonl", [*texts, *bad])
    kept, dropped, found = curation(tmp_path / "out", [str(path)], rules=["gopher", "fineweb"])
    assert kept == sorted(texts)
    assert dropped == {"gopher.words": 1, "gopher.top_2grams": 1, "gopher.duplicate_lines": 2}
    names = [name for name in RULES if not name.startswith("c4")]
    assert [reason["name"] for reason in found["reasons"]] == names
    words = found["reasons"][0]
    assert (words["limits"], words["unit"], words["histogram"]["log"]) == ([50, 100_000], "words", True)
    assert sum(words["histogram"]["counts"]) + words["histogram"]["below"] == len(texts) + len(bad)
    assert words["dropped"][0]["value"] == 2


def test_sources_have_their_own_limits(tmp_path: Path) -> None:
    texts = [text for text in paragraphs(60) if 80 < len(text.split()) < 2000]
    files = {"a.jsonl": texts[:20], "b.jsonl": texts[20:]}
    one, two = (str(write_jsonl(tmp_path / name, each)) for name, each in files.items())
    spec = [{"path": one, "curate": {"rules": [{"gopher.words": [1, 10]}]}}, {"path": two, "curate": {"rules": []}}]
    kept, dropped, _ = curation(tmp_path / "out", spec, rules=["gopher"])
    assert kept == sorted(texts[20:])
    assert dropped == {"gopher.words": 20}


def test_stop_words_are_asked_of_english_text_only(tmp_path: Path) -> None:
    pytest.importorskip("py3langid", reason="py3langid is not installed")
    english = [text for text in paragraphs(30) if len(text.split()) > 80]
    german = [f"{GERMAN} {GERMAN[::-1]} Das war im Jahre {year} so." for year in range(9)]
    path = str(write_jsonl(tmp_path / "web.jsonl", [*english, *german]))
    kept, dropped, _ = curation(tmp_path / "out", [path], rules=["gopher"])
    assert kept == sorted(english)
    assert dropped == {"gopher.stop_words": 9}
    kept, dropped, _ = curation(
        tmp_path / "judged", [path], rules=["gopher"], language={"keep": ["en", "de"], "least": 0.1}
    )
    assert kept == sorted([*english, *german])
    assert dropped == {}
