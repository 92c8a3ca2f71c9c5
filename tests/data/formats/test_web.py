"""Web archives: which records become documents, by whom an archive was written, and what a damaged one costs."""

import bz2
import gzip
import importlib.util
import io
import sys
import zlib
from pathlib import Path

import pyarrow as pa
import pytest

from scaling.data.build import build
from scaling.data.formats.streams import Refused
from scaling.data.sources import find_parts, read_part
from scaling.data.spec import BuildSpec, SourceSpec
from scaling.errors import InputError

NEEDS = 'needs pip install -e ".[web]"'
installed = pytest.mark.skipif(importlib.util.find_spec("resiliparse") is None, reason=NEEDS)
HTTP = "application/http; msgtype=response"
TEXTS = [f"Page {i} says äö, {'and so on ' * (i % 7)}{i}." for i in range(12)]


def record(kind: str, content: bytes, type: str = HTTP, length: int | None = None) -> bytes:
    header = f"WARC/1.0\r\nWARC-Type: {kind}\r\nContent-Type: {type}\r\nContent-Length: "
    size = len(content) if length is None else length
    return f"{header}{size}\r\n\r\n".encode() + content + b"\r\n\r\n"


def response(body: bytes, type: str = "text/html; charset=utf-8", status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {type}\r\n{headers}\r\n".encode() + body


def html(text: str) -> str:
    menu = "<nav><ul><li><a href='/'>Home</a></li><li><a href='/about'>About</a></li></ul></nav>"
    return f"<!doctype html><html><head><title>T</title></head><body>{menu}<main><p>{text}</p></main></body></html>"


RECORDS = [record("response", response(html(text).encode())) for text in TEXTS]
PLAIN = b"".join(RECORDS)
BY_RECORD = [gzip.compress(part, mtime=0) for part in RECORDS]


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue().to_pybytes())


def read(path: Path, content: bytes, **options: object) -> list[bytes | Refused]:
    path.write_bytes(content)
    source = SourceSpec.model_validate({"path": str(path), **options})
    return [document for part in find_parts(source, 0).parts for document in read_part(part, source, 0)]  # type: ignore[misc]


def texts(documents: list[bytes | Refused]) -> list[str]:
    return [document.decode() for document in documents if isinstance(document, bytes)]


@installed
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.warc", PLAIN),
        ("a.warc.gz", b"".join(BY_RECORD)),
        ("a.gz", gzip.compress(PLAIN, mtime=0)),
        ("a.warc.zst", b"".join(map(zstd, RECORDS))),
        ("a.warc.bz2", bz2.compress(PLAIN)),
        ("a.txt", PLAIN),
        ("padded", PLAIN + b"\0" * 100),
        ("padded.gz", b"".join(BY_RECORD) + b"\0" * 100),
        ("one line end", b"".join(part.removesuffix(b"\r\n") for part in RECORDS)),
        ("line feeds", PLAIN.replace(b"\r\n\r\n", b"\n\n").replace(b"WARC/1.0\r\n", b"WARC/1.1\n")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_archive_is_known_by_its_content_and_read_to_its_end(tmp_path: Path, name: str, content: bytes) -> None:
    if name == "line feeds":  # which shorten the content of each record
        content = b"".join(
            record("response", response(html(text).encode()).replace(b"\r\n", b"\n")).replace(b"\r\n", b"\n")
            for text in TEXTS
        )
    documents = read(tmp_path / name, content)
    assert texts(documents) == TEXTS
    assert len(documents) == len(TEXTS)


@installed
@pytest.mark.parametrize("packed", [True, False])
def test_an_archive_that_fastwarc_writes(tmp_path: Path, packed: bool) -> None:
    from fastwarc.stream_io import GzipWriter
    from fastwarc.warc import WarcRecord, WarcRecordType

    sink = io.BytesIO()
    for text in TEXTS:
        made = WarcRecord()
        made.init_headers(WarcRecordType.response)
        made.is_http = True
        made.set_bytes_content(response(html(text).encode()))
        writer = GzipWriter(sink) if packed else sink
        made.write(writer)
        if packed:
            writer.finish()
    content = sink.getvalue()
    assert content.startswith(b"\x1f\x8b") == packed
    assert texts(read(tmp_path / "a.warc.gz", content)) == TEXTS


KINDS = {
    "page": (record("response", response(html("kept").encode())), ["kept"]),
    "type in capitals": (record("response", response(html("kept").encode(), "Text/HTML")), ["kept"]),
    "XHTML": (record("response", response(html("kept").encode(), "application/xhtml+xml")), ["kept"]),
    "no type, a page": (
        record("response", response(html("kept").encode()).replace(b"Content-Type", b"X-Type", 1)),
        ["kept"],
    ),
    "no type, no page": (record("response", b"HTTP/1.1 200 OK\r\n\r\nwords"), []),
    "line feeds": (record("response", b"HTTP/1.0 200\nContent-Type: text/html\n\n<p>kept"), ["kept"]),
    "odd header": (record("response", response(b"<p>kept", headers="no colon\r\nX: \xff\r\n")), ["kept"]),
    "no text": (record("response", response(b"<html><script>var a</script></html>")), [""]),
    "NUL": (record("response", response(b"<p>ke\0pt</p>")), ["kept"]),
    "not found": (record("response", response(html("gone").encode(), status="404 Not Found")), []),
    "moved": (record("response", response(html("moved").encode(), status="301 Moved")), []),
    "image": (record("response", response(b"\x89PNG\r\n\x1a\n" + bytes(500), "image/png")), []),
    "plain text sent": (record("response", response(b"User-agent: *", "text/plain")), []),
    "no HTTP": (record("response", b"<html><p>of an old server"), []),
    "lookup of a name": (record("response", b"20240101 127.0.0.1", "text/dns"), []),
    "request": (record("request", b"GET / HTTP/1.1\r\n\r\n", "application/http; msgtype=request"), []),
    "metadata": (record("metadata", b"a: b", "application/warc-fields"), []),
    "revisit": (record("revisit", response(b"")), []),
    "resource": (record("resource", html("kept").encode(), "text/html"), ["kept"]),
    "resource of text": (record("resource", "käpt".encode(), "text/plain"), ["käpt"]),
    "WET": (record("conversion", "Zeile äö\n中文".encode(), "text/plain"), ["Zeile äö\n中文"]),
}


@installed
@pytest.mark.parametrize("kind", KINDS)
def test_what_becomes_a_document(tmp_path: Path, kind: str) -> None:
    content, wanted = KINDS[kind]
    documents = read(tmp_path / "a.warc", RECORDS[0] + content + RECORDS[1])
    assert texts(documents) == [TEXTS[0], *wanted, TEXTS[1]]
    assert len(documents) == len(wanted) + 2


def chunks(content: bytes) -> bytes:
    parts = [content[at : at + 50] for at in range(0, len(content), 50)]
    return b"".join(b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


PAGE = html("kept äö").encode()
SENT = {
    "chunks": (chunks(PAGE), "Transfer-Encoding: chunked"),
    "gzip": (gzip.compress(PAGE, mtime=0), "Content-Encoding: gzip"),
    "deflate": (zlib.compress(PAGE), "content-encoding: deflate"),
    "gzip in chunks": (chunks(gzip.compress(PAGE, mtime=0)), "Content-Encoding: gzip\r\nTransfer-Encoding: chunked"),
    "neither, as it says": (PAGE, "Content-Encoding: gzip\r\nTransfer-Encoding: chunked"),
    "unknown": (PAGE, "Content-Encoding: identity"),
}


@installed
@pytest.mark.parametrize("how", SENT)
def test_a_body_is_joined_and_decompressed(tmp_path: Path, how: str) -> None:
    body, header = SENT[how]
    assert read(tmp_path / "a.warc", record("response", response(body, headers=f"{header}\r\n"))) == [
        "kept äö".encode()
    ]


@installed
def test_brotli(tmp_path: Path) -> None:
    brotli = pytest.importorskip("brotli", reason=NEEDS)
    content = response(brotli.compress(PAGE), headers="Content-Encoding: br\r\n")
    assert texts(read(tmp_path / "a.warc", record("response", content))) == ["kept äö"]


@installed
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (response(gzip.compress(PAGE, mtime=0)[:-20], headers="Content-Encoding: gzip\r\n"), "not gzip as it says"),
        (
            response(chunks(gzip.compress(PAGE, mtime=0))[:-30], headers="Transfer-Encoding: chunked\r\n"),
            "not chunked as it",
        ),
        (response(b"<p>x</p>" * 2**20 + b"y"), "a document of 8 MiB; 8 MiB are the most"),
    ],
    ids=["gzip", "chunks", "long"],
)
def test_a_body_that_is_none_is_refused_with_its_place(tmp_path: Path, content: bytes, why: str) -> None:
    documents = read(tmp_path / "a.warc", RECORDS[0] + record("response", content) + RECORDS[1])
    assert texts(documents) == TEXTS[:2]
    (refused,) = [document for document in documents if isinstance(document, Refused)]
    assert not refused.rest
    assert why in refused.line
    assert f"a.warc: record at byte {len(RECORDS[0])}: " in refused.line


def with_byte(content: bytes, at: int, value: int) -> bytes:
    return content[:at] + bytes([value]) + content[at + 1 :]


MEMBERS = [len(b"".join(BY_RECORD[:number])) for number in range(len(TEXTS) + 1)]
PLACES = [len(b"".join(RECORDS[:number])) for number in range(len(TEXTS) + 1)]
LONG = record("response", response(html(TEXTS[3]).encode()), length=10**6)
SHORT = record("response", response(html(TEXTS[3]).encode()), length=60)
SAYS_NOTHING = b"WARC/1.0\r\nWARC-Type: response\r\n\r\n"


def packed(third: bytes) -> bytes:
    return b"".join([*BY_RECORD[:3], third, *BY_RECORD[4:]])


def laid_out(third: bytes) -> bytes:
    return b"".join([*RECORDS[:3], third, *RECORDS[4:]])


@installed
@pytest.mark.parametrize(
    ("content", "place"),
    [
        (packed(with_byte(BY_RECORD[3], 60, 0xFF)), MEMBERS[3]),
        (packed(with_byte(BY_RECORD[3], 0, 0)), MEMBERS[3]),
        (packed(with_byte(BY_RECORD[3], len(BY_RECORD[3]) - 6, 1)), MEMBERS[3]),
        (packed(BY_RECORD[3][:-40]), MEMBERS[3]),
        (packed(b"rubbish " * 9), MEMBERS[3]),
        (packed(gzip.compress(LONG, mtime=0)), MEMBERS[3]),
        (packed(gzip.compress(SAYS_NOTHING, mtime=0)), MEMBERS[3]),
        (laid_out(LONG), PLACES[3]),
        (laid_out(b"rubbish\r\n" * 9), PLACES[3]),
        (laid_out(SAYS_NOTHING), PLACES[3]),
    ],
    ids=[
        "bits",
        "magic",
        "checksum",
        "cut",
        "rubbish",
        "long",
        "no length",
        "plain long",
        "plain rubbish",
        "plain none",
    ],
)
def test_one_damaged_record_costs_that_record(tmp_path: Path, content: bytes, place: int) -> None:
    documents = read(tmp_path / "a.warc", content)
    assert texts(documents) == TEXTS[:3] + TEXTS[4:]
    (refused,) = [document for document in documents if isinstance(document, Refused)]
    assert not refused.rest
    assert f"a.warc: damaged at byte {place}: " in refused.line


@installed
@pytest.mark.parametrize("content", [packed(gzip.compress(SHORT, mtime=0)), laid_out(SHORT)], ids=["packed", "plain"])
def test_a_record_that_is_longer_than_it_says_costs_its_end(tmp_path: Path, content: bytes) -> None:
    documents = read(tmp_path / "a.warc", content)
    assert texts(documents)[:3] == TEXTS[:3]
    assert texts(documents)[-8:] == TEXTS[4:]
    assert [document.line for document in documents if isinstance(document, Refused)] != []


@installed
@pytest.mark.parametrize("left", [1, 5, 20, 200])
@pytest.mark.parametrize("whole", [b"".join(BY_RECORD), PLAIN], ids=["packed", "plain"])
def test_a_download_that_was_cut_is_told(tmp_path: Path, whole: bytes, left: int) -> None:
    begin = (MEMBERS if whole[0] == 0x1F else PLACES)[-2]
    documents = read(tmp_path / "a.warc.gz", whole[: begin + left])
    assert texts(documents) == TEXTS[:-1]
    (refused,) = [document for document in documents if isinstance(document, Refused)]
    assert refused.rest
    assert f"damaged at byte {begin}: " in refused.line


@installed
def test_an_archive_packed_as_one_is_lost_behind_its_damage(tmp_path: Path) -> None:
    content = gzip.compress(PLAIN, mtime=0)
    documents = read(tmp_path / "a.warc.gz", content[:-30])
    assert texts(documents) == TEXTS[: len(texts(documents))]
    assert isinstance(documents[-1], Refused)
    assert documents[-1].rest


@installed
def test_a_build_stops_at_damage_or_skips_and_counts_it(tmp_path: Path) -> None:
    (tmp_path / "a.warc.gz").write_bytes(packed(b"rubbish " * 9) + gzip.compress(KINDS["no text"][0], mtime=0))
    spec = BuildSpec.model_validate({"name": "web", "sources": [str(tmp_path / "a.warc.gz")], "held_out": "20%"})
    with pytest.raises(InputError, match=rf"a\.warc\.gz: damaged at byte {MEMBERS[3]}: .*`on_error` skip leaves"):
        build(spec, tmp_path / "stopped", 1, lambda _: None)
    made = build(spec, tmp_path / "made", 1, lambda _: None, "skip")
    assert made.documents == len(TEXTS) - 1
    assert made.empty == 1
    assert [(warning.code, warning.count) for warning in made.warnings] == [("skipped-documents", 1)]


def test_without_the_extra_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resiliparse.extract.html2text", None)
    (tmp_path / "a.warc").write_bytes(PLAIN)
    with pytest.raises(InputError) as error:
        find_parts(SourceSpec(path=str(tmp_path)), 0)
    (line,) = error.value.errors
    assert line.endswith('a.warc: pages of HTML and web archives need: pip install "scaling-law-toolkit[web]"')
