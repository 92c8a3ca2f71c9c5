"""Pages of HTML: which files are some, how they are decoded, and what of them is text."""

import gzip
import importlib.util
import sys
from pathlib import Path

import pytest

from scaling.data.corpus import CorpusSpec, load_corpus
from scaling.data.formats.pages import decoded, text_of
from scaling.data.formats.recognise import recognise
from scaling.data.sources import find_parts, read_part
from scaling.data.spec import SourceSpec
from scaling.errors import InputError

NEEDS = 'needs pip install -e ".[web]"'
installed = pytest.mark.skipif(importlib.util.find_spec("resiliparse") is None, reason=NEEDS)
MENU = "<nav><ul><li><a href='/'>Home</a></li><li><a href='/news'>News of today</a></li></ul></nav>"
PROSE = "A sentence of the story that this page tells, as long as such sentences are. "
PAGE = (
    f"<html><head><title>Title</title><style>p {{}}</style></head><body>{MENU}<article><h1>Head</h1>"
    f"<p>{PROSE * 5}</p><pre>code\n  indented</pre></article><footer>All rights reserved</footer></body></html>"
)


def documents(path: Path, **options: object) -> list[str]:
    source = SourceSpec.model_validate({"path": str(path), **options})
    return [
        document.decode()
        for part in find_parts(source, 0).parts
        for document in read_part(part, source, 0)
        if isinstance(document, bytes)
    ]


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("a.html", "<p>one</p>", "html"),
        ("a.HTM", "Words and <br> a line", "html"),
        ("a.html.gz", gzip.compress(b"<html><p>one", mtime=0), "html"),
        ("a", "<!DOCTYPE html>\n<title>x</title>", "html"),
        ("a.txt", "\ufeff \n<HTML lang='en'><p>one", "html"),
        ("a.txt", "<?xml version='1.0'?>\n<!-- a page -->\n<!DOCTYPE html PUBLIC 'x'><html>", "html"),
        ("a.html", "<p>gr\xfcn</p>".encode("latin-1"), "html"),
        ("a.html", "<html><p>wide</p>".encode("utf-16"), "html"),
        ("a.html", "no tags, x < y and y > z", "text"),
        ("a.html", '{"text": "<p>one</p>"}\n{"text": "two"}', "jsonl"),
        ("a.md", "# Head\n\n<p align=center>text</p>\n", "text"),
        ("a.md", "Write <html> first, then <p>.\n", "text"),
        ("a.txt", "<p>text</p>", "text"),
        ("a.txt", "<htmlish> begins it", "text"),
        ("a.txt", "WARC/1.0 is how an archive begins", "text"),
        ("a.xml", "<?xml version='1.0'?><feed><p>x</p></feed>", "text"),
        ("a.jsonl", '{"text": "<!doctype html><p>one"}\n', "jsonl"),
        ("a", "WARC/1.1\r\nWARC-Type: warcinfo\r\n", "warc"),
    ],
)
def test_what_is_a_page(tmp_path: Path, name: str, content: str | bytes, format: str) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert recognise(tmp_path / name, "text") == format


@installed
def test_the_main_content_stays(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.html").write_text(PAGE.replace("Head", f"Head {number}"))
    found = documents(tmp_path)
    assert len(found) == 3
    for number, text in enumerate(found):
        assert text.startswith(f"Head {number}")
        assert PROSE * 4 in text
        assert "code\n  indented" in text
        assert not any(word in text for word in ("Home", "News", "rights", "Title", "{}"))
    (part,) = find_parts(SourceSpec(path=str(tmp_path)), 0).parts
    assert len(part.paths) == 3


@installed
def test_the_format_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(PAGE)
    (tmp_path / "b.txt").write_text("<p>one")
    assert documents(tmp_path / "a.html", format="text") == [PAGE]
    assert documents(tmp_path / "b.txt", format="html") == ["one"]
    with pytest.raises(InputError, match="the option piece does not apply: it is a page of HTML"):
        documents(tmp_path / "a.html", piece="2k")


@installed
@pytest.mark.parametrize(
    ("text", "encoding", "declared", "meta"),
    [
        ("Über größere Städte", "utf-8", None, ""),
        ("Über größere Städte", "utf-8", "iso-8859-1", ""),
        ("Über größere Städte", "iso-8859-1", "iso-8859-1", ""),
        ("„Über“ größere € Städte", "cp1252", "ISO-8859-1", ""),
        ("Пример русского текста", "cp1251", "windows-1251", ""),
        ("Пример русского текста", "cp1251", None, "<meta charset=windows-1251>"),
        ("Пример русского текста", "koi8-r", "bogus", "<meta http-equiv=Content-Type content='a; charset=koi8-r'>"),
        ("これは日本語のページです", "shift_jis", "x-sjis", ""),
        ("这是一个中文网页需要识别编码", "gb18030", "gb2312", ""),
        ("wide äö 中文", "utf-16", None, ""),
        ("wide äö 中文", "utf-8-sig", "latin-1", ""),
        ("Пример русского текста, который длиннее", "cp1251", None, ""),
    ],
)
def test_pages_are_decoded(text: str, encoding: str, declared: str | None, meta: str) -> None:
    page = f"<html><head>{meta}</head><body><p>{text}</p></body></html>".encode(encoding)
    assert text_of(page, declared).decode() == text


@installed
def test_what_cannot_be_decoded_is_replaced() -> None:
    assert decoded(b"caf\xe9 \xff\xfe", "utf-8").startswith("caf")
    assert text_of(b"<p>a\x81\x8d</p>", "windows-1252").decode() == "a\ufffd\ufffd"


@installed
@pytest.mark.parametrize(
    ("page", "begins"),
    [
        ("<div><p>w" * 20_000, "w"),
        ("<div " + " ".join(f"a{number}=1" for number in range(50_000)) + ">x</div>", "x"),
        ("<div " + " \t\n" * 50_000 + "a=1>x</div>", "x"),
        ("<" * 300_000, "<"),
        ("<svg><path d='" + "1.5 2.5 " * 20_000 + "'></path></svg><p>text</p>", "text"),
    ],
    ids=["depth", "attributes", "spaces", "brackets", "drawing"],
)
def test_a_page_made_to_take_long_does_not(page: str, begins: str) -> None:
    assert text_of(page.encode(), None).decode().startswith(begins)  # in minutes without what is done against it


def test_a_page_in_a_sweep_stays_the_text_that_it_was(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(PAGE)
    (tmp_path / "b.html").write_text("<!doctype html><p>two")
    corpus = load_corpus(CorpusSpec(path=str(tmp_path)))
    assert {document.text.decode() for document in corpus.train + corpus.held_out} == {PAGE, "<!doctype html><p>two"}
    (tmp_path / "c.warc").write_bytes(b"WARC/1.0\r\nWARC-Type: warcinfo\r\n")
    with pytest.raises(InputError, match=r"c\.warc: a web archive \(WARC\), no plain text: scaling data build reads"):
        load_corpus(CorpusSpec(path=str(tmp_path)))


def test_without_the_extra_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resiliparse.extract.html2text", None)
    (tmp_path / "a.html").write_text(PAGE)
    with pytest.raises(InputError, match=r'a\.html: pages .* need: pip install "scaling-law-toolkit\[web\]"$'):
        documents(tmp_path)
    assert documents(tmp_path, format="text") == [PAGE]
