"""The page of what was dropped: it parses, escapes all, runs nothing, and shows every number of the funnel."""

import copy
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from curation.funnels import usual, write
from curation.odd_funnels import HOSTILE, MARKS, odd
from inprocess import scaling

from analysis.curation import write_page
from analysis.formatting import format_quantity

ODD = odd()
VOID = {"meta", "br", "img", "input", "link", "hr"}
POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'unsafe-inline'"


class Parsed(HTMLParser):
    """A page's tags, attributes, text and tables; every tag that is opened is closed where it should be."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.comments: list[str] = []
        self.tables: list[list[list[str]]] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.texts.append(data)
        if {"td", "th"} & set(self._open):
            self.tables[-1][-1][-1] += data


def page_of(funnel: dict[str, Any], folder: Path) -> str:
    return write_page(write(funnel, folder))[0].read_text()


@pytest.mark.parametrize("name", ODD)
def test_a_page_parses_runs_nothing_and_loads_nothing(name: str, tmp_path: Path) -> None:
    page = page_of(ODD[name], tmp_path)
    parsed = Parsed(page)
    assert page.startswith("<!doctype html>")
    assert ("content", POLICY) in parsed.attributes
    assert not {"script", "img", "iframe", "object", "embed", "link", "base", "form", "a"} & set(parsed.tags)
    names = {name for name, _ in parsed.attributes}
    assert not {each for each in names if each.startswith("on")} | ({"src", "href"} & names)
    assert "url(" not in page
    assert parsed.comments == []
    assert re.search(r"None\b(?! of the )", parsed.text) is None
    assert "nan" not in parsed.text.split()
    assert re.findall(r"\b1 (?:documents|bytes|rules|pairs)\b", parsed.text) == []
    ids = [value for key, value in parsed.attributes if key == "id"]
    assert len(ids) == len(set(ids)) == len(ODD[name]["steps"])


def test_hostile_texts_make_the_page_of_harmless_ones(tmp_path: Path) -> None:
    """Every string is an attack: no tag, attribute or comment comes of it, and no sign that turns text is left."""
    attack = HOSTILE + MARKS
    harmless = copy.deepcopy(ODD["hostile"])
    page = page_of(ODD["hostile"], tmp_path / "hostile")
    plain = page_of(_replaced(harmless, attack, "harmless "), tmp_path / "harmless")
    hostile, other = Parsed(page), Parsed(plain)
    assert hostile.tags == other.tags
    assert [name for name, _ in hostile.attributes] == [name for name, _ in other.attributes]
    assert not [sign for sign in MARKS if not sign.isprintable() and sign in page]
    assert hostile.text.count("[U+202E]right to left[U+2066]") > 100
    assert hostile.text.count("</script><img src=x onerror=alert(1)><!--") > 100, "as text"
    assert "<img" not in page


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {_replaced(key, old, new): _replaced(each, old, new) for key, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, old, new) for each in value]
    return value.replace(old, new) if isinstance(value, str) else value


def test_the_counts_of_sources_and_steps_are_on_the_page(tmp_path: Path) -> None:
    funnel = usual(3).funnel
    sources, steps, documents, sizes, *_ = Parsed(page_of(funnel, tmp_path)).tables
    rows = [(each["name"], each["read"], each["kept"]) for each in funnel["sources"]]
    total = [{key: funnel[key][name] for key in ("documents", "bytes")} for name in ("read", "kept")]
    for row, (name, read, kept) in zip(sources[1:], [*rows, ("all", *total)], strict=True):
        assert [row[0], *row[1:3], *row[4:6]] == [
            name,
            *(f"{count['documents']:,}" for count in (read, kept)),
            *(format_quantity(count["bytes"]) for count in (read, kept)),
        ]
        assert float(row[3].rstrip("%")) == pytest.approx(100 * kept["documents"] / read["documents"], abs=0.051)
    for row, step in zip(steps[1:], funnel["steps"], strict=True):
        assert row[1:3] == [f"{step['reached']:,}", f"{step['documents']:,}"]
        assert row[4:] == [
            format_quantity(step["bytes"]),
            f"{step['changed']['documents']:,}",
            format_quantity(step["changed"]["bytes"]),
        ]
    for row, large, step in zip(documents[1:], sizes[1:], funnel["steps"], strict=True):
        assert row[1:] == [f"{count['documents']:,}" for count in step["by_source"]]
        assert large[1:] == [format_quantity(count["bytes"]) for count in step["by_source"]]


def test_reasons_thresholds_and_examples_are_on_the_page(tmp_path: Path) -> None:
    funnel = usual(1).funnel
    page = Parsed(page_of(funnel, tmp_path))
    dropping, quiet = (table[1:] for table in page.tables if table[0][0] == "rule")
    rules = funnel["steps"][3]["reasons"]
    shown = {row[0]: row[1:] for row in dropping + quiet}
    for rule in rules:
        row = shown[rule["name"]]
        assert (row[0], row[2], row[4]) == (
            f"{rule['documents']:,}",
            format_quantity(rule["bytes"]),
            f"{rule['near']:,}",
        )
        assert row[5] == rule["source"]
    counts = [int(row[1]) for row in dropping + quiet]
    assert counts == sorted((rule["documents"] for rule in rules), reverse=True)
    assert counts.index(0) == len(dropping)
    for step in funnel["steps"]:
        for reason in step["reasons"]:
            for example in (*reason["dropped"], *(reason["kept"] if reason["histogram"] else ())):
                assert example["id"] in page.text
                assert " ".join(example["text"].split()) in page.text
                assert f"{example['source']}, {example['file']}" in page.text
            bars = [value for key, value in page.attributes if key == "aria-label"]
            assert not reason["histogram"] or any(reason["name"] in (bar or "") for bar in bars)


def test_every_bin_and_threshold_is_drawn(tmp_path: Path) -> None:
    funnel = usual(2).funnel
    page = page_of(funnel, tmp_path)
    for reason in funnel["steps"][3]["reasons"]:
        (svg,) = re.findall(rf'<svg [^>]*aria-label="rules\.{re.escape(reason["name"])}:.*?</svg>', page, re.DOTALL)
        counts = [int(count.replace(",", "")) for count in re.findall(r": ([\d,]+) documents?</title>", svg)]
        assert counts == [count for count in reason["histogram"]["counts"] if count]
        assert svg.count('class="limit"') == sum(limit is not None for limit in reason["limits"])


def test_the_other_blocks_are_on_the_page(tmp_path: Path) -> None:
    funnel = usual().funnel
    page = Parsed(page_of(funnel, tmp_path))
    tables = {tuple(table[0]): table[1:] for table in page.tables}
    assert tables["language", "documents", "share", "bytes"] == [
        ["en", "7", "70%", "70"],
        ["too short to be judged", "3", "30%", ""],
    ]
    assert [table[1:] for table in page.tables if table[0] == ["word", "weight"]] == [
        [["verse", "1.25"], ["of the", "0.5"]],
        [["click here", "-2.12"]],
    ]
    assert tables["file", "documents", "too short", "found in the sources"] == [["evals/a.jsonl", "100", "3", "12"]]
    for part in (
        "2,000 references",
        "1,999 other documents",
        "0.988",
        "17 pairs",
        "score 0.9 to 1",
        "perplexity of 12.2 per word, the middle up to 40.5,",
    ):
        assert part in page.text
    assert [warning["message"] in page.text for warning in funnel["warnings"]] == [True]


def test_differences_of_a_pair_are_marked(tmp_path: Path) -> None:
    page = page_of(usual().funnel, tmp_path)
    marked = re.findall("<mark>(.*?)</mark>", page)
    assert marked[:7] == ["is kept ", "first ", "was dropped ", "other ", "is kept ", "first ", "was dropped "]
    assert "similarity 0.900" in page


def _texts_of(page: str) -> Iterator[str]:
    yield from re.findall('<pre class="text" dir="auto">(.*?)</pre>', page, re.DOTALL)


def test_long_texts_are_cut_and_say_so(tmp_path: Path) -> None:
    texts = list(_texts_of(page_of(ODD["huge texts"], tmp_path)))
    assert {len(text) for text in texts} == {601, 801}, "characters of examples, and of 400 words of a pair"
    assert {text[-1] for text in texts} == {"…"}


def test_the_command_writes_the_page_where_it_is_told(tmp_path: Path) -> None:
    folder = usual().write(tmp_path / "web")
    done = scaling("data", "report", folder)
    assert done.returncode == 0
    assert (folder / "funnel.html").read_text().startswith("<!doctype html>")
    assert str(folder / "funnel.html") in done.stdout
    assert "[one-rule]" in done.stderr
    done = scaling("data", "report", folder, "-o", tmp_path / "new" / "page.html", "--json")
    assert (tmp_path / "new" / "page.html").read_bytes() == (folder / "funnel.html").read_bytes()
    warnings = '[{"code": "one-rule", "message": "rules.gopher.words is the reason for most"}]'
    assert done.stdout == f'{{"file": "{tmp_path / "new" / "page.html"}", "warnings": {warnings}}}\n'
    assert done.stderr == ""
