"""Words and phrases of a list are found by their words, whatever their case, and counted once."""

from pathlib import Path

import pandas as pd
import pytest
from curation.curating import curated, paragraphs, write_jsonl

from scaling.data.curate.spec import WordListSpec
from scaling.data.curate.steps import words as step
from scaling.data.curate.text.word_list import read_entries, word_list_of
from scaling.data.curate.text.words import words_of
from scaling.errors import InputError


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("nothing of it here", 0),
        ("Rude word, RUDE!", 2 / 3),
        ("rudeness is none", 0),
        ("a very bad phrase it is", 3 / 6),
        ("a very bad one", 0),
        ("very-bad phrase", 1),
        ("bad phrase very", 0),
        ("very bad phrase phrase rude bad phrase rude", 7 / 8),
        ("\u8fd9\u662f\u574f\u8bdd", 2 / 4),
        ("...", 0),
        ("", 0),
        ("caf\u00e9 Cafe\u0301 cafe", 2 / 3),
    ],
)
def test_shares(text: str, share: float) -> None:
    listed = word_list_of(["rude", "very bad phrase", "phrase rude bad", "\u574f\u8bdd", "CAF\u00c9", "rude", "..."])
    around = ["very bad", text, "phrase rude"]
    assert listed.shares(words_of(around)).tolist()[1] == pytest.approx(share)
    assert listed.shares(words_of([text])).tolist() == pytest.approx([share])


def test_a_phrase_does_not_cross_documents() -> None:
    assert word_list_of(["very bad"]).shares(words_of(["very", "bad", "very bad"])).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("content", "entries"),
    [
        (b"rude\n\n  very bad  \r\n# a comment\n", ("rude", "very bad")),
        (b"\xef\xbb\xbfrude", ("rude",)),
    ],
)
def test_entries_of_a_file(tmp_path: Path, content: bytes, entries: tuple[str, ...]) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    assert read_entries(str(tmp_path / "list.txt")) == entries


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        (b"", "has no words"),
        (b"\n# rude\n...\n", "has no words"),
        (b"\xff\xfe\x00", "is no UTF-8 text"),
    ],
)
def test_a_list_without_words_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "list.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError) as error:
        step.check([None, WordListSpec(list=str(file))])
    assert str(error.value) == f"word list {file}: {message}"


def test_each_source_has_its_list(tmp_path: Path) -> None:
    texts = paragraphs(30)
    (tmp_path / "none.txt").write_text("zyzzyva\n")
    (tmp_path / "all.txt").write_text("THE\nof\nUnited States\n")
    one = write_jsonl(tmp_path / "one.jsonl", texts[:15])
    two = write_jsonl(tmp_path / "two.jsonl", texts[15:])
    lists = [{"words": {"list": str(tmp_path / name)}} for name in ("none.txt", "all.txt")]
    spec = [{"path": str(path), "curate": each} for path, each in zip((one, two), lists, strict=True)]
    funnel = curated(tmp_path / "out", sources=spec, curate={}).funnel
    kept = pd.concat(map(pd.read_parquet, sorted((tmp_path / "out").glob("*/*.parquet"))))
    assert sorted(kept["text"]) == sorted(texts[:15])
    found = next(each for each in funnel["steps"] if each["name"] == "words")
    assert [each["documents"] for each in found["by_source"]] == [0, 15]
