"""The text of pages of HTML: how they are decoded, and their main content by resiliparse."""

import codecs
import re

from scaling.errors import InputError

MOST_PAGE = 2**23
"""Bytes of a page at most; Common Crawl keeps 1 to 5 MiB of one. Its tree takes about ten times as much memory."""
_DEEPEST = 2_000
"""Nested blocks; browsers stop at 512. Finding the main content takes time that grows with their square."""
_BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_BEGINS = re.compile(rb"(?:\s|<\?xml\b[^>]*>|<!--.*?-->)*+<(?:!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(
    rb"<(?:head|body|title|meta|link|script|style|div|p|br|hr|table|span|a|ul|ol|li|h[1-6]|article|section|pre|img|font)"
    rb"(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_BLOCK = re.compile(r"<(/?)(?:div|section|main|article)\b", re.IGNORECASE)
# A tag with thousands of attributes, which take time that grows with their square too; a path of SVG looks the same.
_CROWDED = re.compile(r"(<[a-zA-Z][^\s<>]*+)\s++(?:[^\s<>]++\s++){2000}+[^<>]*+")


def begins_as_html(head: bytes) -> bool:
    """Whether a file begins as a page of HTML."""
    return _BEGINS.match(_narrow(head)) is not None


def has_tags(head: bytes) -> bool:
    """Whether there is a tag of HTML."""
    return _TAG.search(_narrow(head)) is not None


def _narrow(head: bytes) -> bytes:
    for bom in _BOMS:
        head = head.removeprefix(bom)
    return head.replace(b"\0", b"")  # of characters two bytes wide


def require_web(where: object) -> None:
    """Checks that the libraries for web pages and archives are installed.

    Raises:
        InputError: they are not; names ``where`` they are needed.
    """
    try:
        import fastwarc.stream_io  # noqa: F401
        import resiliparse.extract.html2text  # noqa: F401
    except ImportError:
        raise InputError(
            f'{where}: pages of HTML and web archives need: pip install "scaling-law-toolkit[web]"'
        ) from None


def decoded(content: bytes, charset: str | None) -> str:
    """Text of bytes from the web, with U+FFFD for what is none.

    Bytes that are UTF-8 are read as such whatever is declared, as hardly any other text can be; else the encoding is
    the one of a byte order mark, of the server, of the page's own declaration, or the likeliest.

    Args:
        content: of a page or a file.
        charset: that the server gave, if any.
    """
    from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

    for bom, encoding in _BOMS.items():
        if content.startswith(bom):
            return content[len(bom) :].decode(encoding, errors="replace")
    try:
        if b"\0" not in content:
            return content.decode()
    except UnicodeDecodeError:
        pass
    declared = map_encoding_to_html5(charset, fallback_utf8=False) if charset else None
    known = declared or detect_encoding(content, from_html_meta=True) or "utf-8"
    return content.decode(known, errors="replace")


def text_of(page: bytes, charset: str | None) -> bytes:
    """The main content of a page of HTML as UTF-8, without menus, headers and footers; empty if it has none.

    Args:
        page: as it was sent.
        charset: that the server gave, if any.

    Raises:
        ValueError: it is too long.
    """
    from resiliparse.extract.html2text import extract_plain_text

    if len(page) > MOST_PAGE:
        raise ValueError(f"a page longer than {MOST_PAGE >> 20} MiB")
    html = decoded(page, charset)
    if len(html) > 2_000:
        html = _CROWDED.sub(r"\1", html)
    text = extract_plain_text(html, main_content=_depth(html) <= _DEEPEST, alt_texts=False)
    return clean(text)


def clean(text: str) -> bytes:
    """A text from the web as UTF-8, without the NUL characters that some pages have."""
    return text.replace("\0", "").encode(errors="replace")


def _depth(html: str) -> int:
    """How deeply blocks are nested; the number of tags where these are few."""
    if (tags := html.count("<")) <= _DEEPEST:
        return tags
    deepest = depth = 0
    for tag in _BLOCK.finditer(html):
        depth = max(0, depth - 1) if tag[1] else depth + 1
        deepest = max(deepest, depth)
    return deepest
