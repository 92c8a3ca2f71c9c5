"""Lines are compared as CCNet compares them; those seen too often are cut, and nothing else is touched."""

import random
import re
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from curation.curating import curated, paragraphs, write_jsonl

from scaling.data.curate.spec import LinesSpec
from scaling.data.curate.steps import lines as step
from scaling.data.curate.text import lines as room
from scaling.data.curate.text.lines import lines_of, without

ODD = [
    "a",
    "\n",
    "\n\n",
    "a\n",
    "\r\n",
    "---\n===\n",
    "_",
    "\u4e2d\u6587\n\ud55c\uad6d\uc5b4\n\ud558\uad6d\uc5b4",
    "caf\u00e9\ncafe\u0301\ncafe\n\u0301",
    "\U0001f600\n\U000e0100\nx",
    "\u0130stanbul\nistanbul",
    "\u0967\u0968 \u0939\u093f\u0928\u094d\u0926\u0940",
]


def slow(line: str) -> str:
    """What a line is compared as."""
    plain = "".join(sign for sign in unicodedata.normalize("NFD", line.lower()) if not "\u0300" <= sign <= "\u036f")
    kept = (
        sign for sign in unicodedata.normalize("NFC", plain) if sign.isalnum() or unicodedata.category(sign)[0] == "M"
    )
    return re.sub(r"\d", "0", "".join(kept))


def assert_compared(texts: list[str]) -> None:
    """Two lines have the same hash if and only if they are compared as the same."""
    found = lines_of(texts)
    assert np.diff(found.bounds).tolist() == [len(text.split("\n")) for text in texts]
    expected = [slow(line) for text in texts for line in text.split("\n")]
    assert found.counted.tolist() == [bool(line) for line in expected]
    hashes: dict[str, int] = {}
    for line, value in zip(expected, found.hashes.tolist(), strict=True):
        assert hashes.setdefault(line, value) == value
    assert len(set(hashes.values())) == len(hashes)


def test_lines_of_speeches() -> None:
    texts = paragraphs(60)
    assert_compared([*texts, *(text.upper() for text in texts), *(text.replace(" ", "  - ") for text in texts)])


def test_odd_lines() -> None:
    assert_compared([text for text in ODD if "\U000e0100" not in text])
    assert lines_of([]).bounds.tolist() == [0]


def test_a_text_does_not_depend_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*ODD, *paragraphs(20), "x" * 300, "\n" * 120 + "y" * 90]
    alone = [lines_of([text]) for text in texts]
    for span in (room.SPAN, 100, 2):
        monkeypatch.setattr(room, "SPAN", span)
        together = lines_of(texts)
        assert len(together.hashes) == together.bounds[-1] == len(together.counted)
        for place, own in enumerate(alone):
            begin, end = together.bounds[place : place + 2]
            if span != 2:  # of longer lines, the beginning is compared
                whole = [len(line) < span for line in texts[place].split("\n")]
                assert (together.hashes[begin:end][whole] == own.hashes[whole]).all()
            assert end - begin == own.bounds[1]


def test_what_stays_is_as_it_was() -> None:
    chance = random.Random(1)
    for text in [*ODD, *paragraphs(10)]:
        rows = text.split("\n")
        cut = np.array([chance.random() < 0.5 for _ in rows])
        assert without(text, cut) == "\n".join(row for row, gone in zip(rows, cut, strict=True) if not gone)
        assert without(text, np.zeros(len(rows), bool)) == text


@pytest.mark.parametrize(
    ("documents", "most"), [(1, 6), (30_000_000, 6), (30_000_001, 6), (45_000_000, 9), (300_000_000, 60)]
)
def test_more_documents_may_have_a_line(documents: int, most: int) -> None:
    assert step.allowed(LinesSpec(), documents) == most


MENU = "Home | About us | Contact"


def sources(tmp_path: Path, **kinds: list[str]) -> list[str]:
    return [str(write_jsonl(tmp_path / f"{name}.jsonl", texts)) for name, texts in kinds.items()]


def curation(tmp_path: Path, spec: list[Any], name: str = "out", **options: Any) -> tuple[list[str], dict[str, Any]]:
    """Texts that stay, and the step's part of the funnel."""
    funnel = curated(tmp_path / name, sources=spec, curate={"lines": options}).funnel
    kept = pd.concat(map(pd.read_parquet, sorted((tmp_path / name).glob("*/*.parquet"))))
    return sorted(kept["text"]), next(each for each in funnel["steps"] if each["name"] == "lines")


def test_lines_seen_more_often_are_cut_wherever_they_stand(tmp_path: Path) -> None:
    clean = [text.replace("\n\n", "\n") for text in paragraphs(30)]
    often = [
        f"HOME - about us: {MENU[16:]}!\n{text}\nCopyright 20{number:02}\n---" for number, text in enumerate(clean[:7])
    ]
    seldom = [f"{text}\nSeen six times\n---" for text in clean[7:13]]
    kept, found = curation(tmp_path, sources(tmp_path, one=often[:4], two=[*often[4:], *seldom, *clean[13:]]))
    assert kept == sorted([*(f"{text}\n---" for text in clean[:7]), *seldom, *clean[13:]])
    cut = sum(len(text.encode()) for text in often) - sum(len(f"{text}\n---".encode()) for text in clean[:7])
    assert found["notes"] == {"lines cut": 14, "bytes cut": cut}
    assert found["documents"] == 0


def test_a_document_of_which_nothing_stays_is_dropped(tmp_path: Path) -> None:
    clean = paragraphs(12)
    menus = [f"{MENU}\n{'-' * number}\n" for number in range(8)]
    kept, found = curation(tmp_path, sources(tmp_path, web=[*clean, *menus, "* * *"]))
    assert kept == sorted([*clean, "* * *"])
    assert found["documents"] == 8
    assert [reason["name"] for reason in found["reasons"]] == ["lines"]


def test_a_source_without_the_step_is_neither_counted_nor_cut(tmp_path: Path) -> None:
    texts = [f"{MENU}\n{text}" for text in paragraphs(12)]
    web, code = sources(tmp_path, web=texts[:6], code=texts[6:])
    kept, _ = curation(tmp_path, [{"path": web}, {"path": code, "curate": {"lines": "off"}}])
    assert kept == sorted(texts)
    kept, _ = curation(tmp_path, [{"path": web}, {"path": code, "curate": {"lines": "off"}}], name="less", seen=5)
    assert kept == sorted([text.removeprefix(f"{MENU}\n") for text in texts[:6]] + texts[6:])


def test_sources_may_differ_in_how_often_they_may_see_a_line(tmp_path: Path) -> None:
    texts = [f"{MENU}\n{text}" for text in paragraphs(12)]
    one, two = sources(tmp_path, one=texts[:6], two=texts[6:])
    kept, _ = curation(tmp_path, [{"path": one, "curate": {"lines": {"seen": 12}}}, {"path": two}])
    assert kept == sorted(texts[:6] + [text.removeprefix(f"{MENU}\n") for text in texts[6:]])


def test_ranges_and_merges_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{MENU}\n{text}\nTags: {number % 3}" for number, text in enumerate(paragraphs(40))]
    files = sources(tmp_path, one=texts[:9], two=texts[9:])
    expected = curation(tmp_path, files)
    monkeypatch.setattr(step, "_AT_ONCE", 7)
    assert curation(tmp_path, files, name="again") == expected
    assert expected[1]["notes"]["lines cut"] == 80
