"""A corpus as messy as a crawl, made of the domains that need nothing more than the toolkit, and clean held-out text.

    python -m benchmarks.curation.messy DIR [--megabytes 30] [--seed 0]

``DIR/mess.jsonl`` has a document a line: ``text``, ``kind``, ``id``, and of a near-duplicate ``of``, the id of what it
repeats. Of the bytes about two fifths are clean pages of speeches and docstrings; the rest are near-duplicates of them,
other languages, search-engine spam, lists of prices, pages that are nothing but a site's frame, beginnings of pages,
and, where licensedcode-data is installed, notices of licenses. Two of three pages stand in the frame of their site.
``DIR/held_out.jsonl`` has clean pages of other documents, without those that share many 13-grams with the mess. The
same seed, size and packages give the same bytes.
"""

import argparse
import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scaling.data.corpus import CorpusSpec, load_corpus
from scaling.data.named.domains import after_front_matter
from scaling.data.named.packages import package
from scaling.errors import InputError

SHARES = {
    "clean": 0.40,
    "near-duplicate": 0.20,
    "language": 0.14,
    "spam": 0.09,
    "prices": 0.05,
    "frame": 0.04,
    "truncated": 0.04,
    "license": 0.04,
}
"""Of the bytes, by kind."""
DOMAINS = ("speech", "docs")
_PAGE = (1200, 5000)
_FRAMED = 2 / 3
_SITES = 40
_MOST_SHARED = 0.2
_HELD_OUT = 0.08
_WORDS = 13
_PHRASES = {
    name: phrases.split("|")
    for name, phrases in (
        line.split("\t") for line in Path(__file__).with_name("phrases.txt").read_text(encoding="utf-8").splitlines()
    )
}
_FRAME, _GOODS, _PLACES, _CLAIMS = (_PHRASES[name] for name in ("frame", "goods", "places", "claims"))
LANGUAGES = ("de", "es", "fr", "pl", "ru")

Document = dict[str, str]


@dataclass(frozen=True)
class Mess:
    """A messy corpus.

    Attributes:
        documents: in random order, each with its ``text``, ``kind`` and ``id``, some with ``of``.
        held_out: clean pages.
    """

    documents: list[Document]
    held_out: list[str]


def messy(seed: int, megabytes: float = 30.0) -> Mess:
    """Makes a messy corpus of a size; InputError if the domains have too little clean text for it."""
    draw, size = random.Random(seed), megabytes * 1e6
    pages, apart = clean_pages(draw)
    clean = _taken(iter(pages), SHARES["clean"] * size)
    if sum(map(len, clean)) < 0.9 * SHARES["clean"] * size:
        most = sum(map(len, pages)) / SHARES["clean"] / 1e6
        raise InputError(f"the domains have clean text for {most:.0f} megabytes")
    sites = [_Site(draw, number) for number in range(_SITES)]
    documents = [{"kind": "clean", "text": text} for text in clean]
    for number, document in enumerate(documents):
        document["id"] = f"clean-{number}"
    makers: dict[str, Callable[[], Iterator[Document]]] = {
        "near-duplicate": lambda: _copies(draw, documents[: len(clean)]),
        "language": lambda: _repeated(lambda: _foreign(draw, draw.choice(LANGUAGES))),
        "spam": lambda: _repeated(lambda: _spam(draw)),
        "prices": lambda: _repeated(lambda: _prices(draw)),
        "frame": lambda: _repeated(lambda: draw.choice(sites).framed(draw, "")),
        "truncated": lambda: _repeated(lambda: draw.choice(clean)[: draw.randrange(60, 240)] + "... Read more"),
        "license": lambda: _notices(draw),
    }
    made = [document for kind, maker in makers.items() for document in _made(kind, maker(), SHARES[kind] * size)]
    for document in (*documents, *made):
        if document["kind"] in ("clean", "near-duplicate", "language") and draw.random() < _FRAMED:
            document["text"] = draw.choice(sites).framed(draw, document["text"])
    everything = documents + made
    draw.shuffle(everything)
    return Mess(everything, unshared(apart, clean))


def clean_pages(draw: random.Random) -> tuple[list[str], list[str]]:
    """Clean pages in random order, and those of the documents that are held out."""
    pages: list[str] = []
    apart: list[str] = []
    for name in DOMAINS:
        corpus = load_corpus(CorpusSpec.model_validate({"names": [name]}))
        for document in sorted(corpus.train + corpus.held_out, key=lambda document: document.id):
            held = hashlib.sha256(b"held out" + document.text).digest()[0] < _HELD_OUT * 256
            (apart if held else pages).extend(_cut(draw, document.text.decode()))
    draw.shuffle(pages)
    draw.shuffle(apart)
    return pages, apart


def _cut(draw: random.Random, text: str) -> Iterator[str]:
    """Paragraphs together, as many as make a page."""
    waiting: list[str] = []
    size, wanted = 0, draw.randrange(*_PAGE)
    for paragraph in re.split(r"\n\s*\n", text):
        waiting.append(paragraph.rstrip())
        size += len(paragraph)
        if size >= wanted:
            yield "\n\n".join(waiting).strip("\n")
            waiting, size, wanted = [], 0, draw.randrange(*_PAGE)


def _taken(texts: Iterator[str], size: float) -> list[str]:
    found, total = [], 0
    for text in texts:
        if total >= size:
            break
        found.append(text)
        total += len(text)
    return found


def _made(kind: str, documents: Iterator[Document], size: float) -> Iterator[Document]:
    """Documents of a kind, up to a size, with their ids."""
    total = 0
    for number, document in enumerate(documents):
        if total >= size:
            return
        total += len(document["text"])
        yield {"kind": kind, **document, "id": f"{kind}-{number}"}


def _repeated(make: Callable[[], str]) -> Iterator[Document]:
    while True:
        yield {"text": make()}


class _Site:
    """A site with its own menu and footer.

    Args:
        draw: random numbers.
        number: of the site.
    """

    def __init__(self, draw: random.Random, number: int) -> None:
        self._menu = draw.sample(_FRAME, draw.randrange(6, 14))
        self._footer = [*draw.sample(_FRAME, draw.randrange(4, 9)), f"Copyright 20{number % 26:02} Site {number} Ltd"]

    def framed(self, draw: random.Random, text: str) -> str:
        """A text between menu and footer, some with an address to write to."""
        contact = [f"Write to office{draw.randrange(1000)}@site{draw.randrange(_SITES)}.example.com"]
        return "\n".join([*self._menu, "", text, "", *contact[: draw.random() < 0.1], *self._footer])


def _copies(draw: random.Random, originals: list[Document]) -> Iterator[Document]:
    """One to ten copies of a page, of a few often, each with other small edits."""
    texts = [(document["id"], document["text"]) for document in originals]
    while True:
        id, text = draw.choice(texts)
        for _ in range(min(10, 1 + int(draw.paretovariate(1.2)) if draw.random() < 0.5 else 1)):
            yield {"text": _edited(draw, text), "of": id}


def _edited(draw: random.Random, text: str) -> str:
    """A text with up to two words of a hundred changed, and half of the time another edit."""
    parts = re.split(r"(\s+)", text)
    words = [number for number, part in enumerate(parts) if part.strip()]
    for number in draw.sample(words, draw.randrange(len(words) // 50 + 1)):
        parts[number] = parts[draw.choice(words)]
    edited = "".join(parts)
    match draw.randrange(8):
        case 0:
            return edited.upper()
        case 1:
            return " ".join(edited.split())
        case 2:
            return edited[: len(edited) * 9 // 10]
        case 3:
            return f"Posted on day {draw.randrange(365)} by user{draw.randrange(10**5)}\n\n{edited}"
    return edited


def _foreign(draw: random.Random, language: str) -> str:
    """A page in another language, put together of phrases: of little meaning, but real words in a real order."""
    parts = [_PHRASES[f"{language} {part}"] for part in ("subjects", "actions", "ends")]
    paragraphs = (
        " ".join(f"{' '.join(map(draw.choice, parts))}." for _ in range(draw.randrange(1, 9)))
        for _ in range(draw.randrange(3, 12))
    )
    return "\n\n".join(paragraphs)


def _spam(draw: random.Random) -> str:
    """Keywords over and over, in lines or lists."""
    goods, place = draw.choice(_GOODS), draw.choice(_PLACES)
    lines = []
    for _ in range(draw.randrange(6, 60)):
        claims = draw.sample(_CLAIMS, draw.randrange(2, 7))
        if draw.random() < 0.5:
            lines.append(f"{goods} {place} {', '.join(f'{goods} {claim}' for claim in claims)}")
        else:
            lines.append(" | ".join(f"{claim} {draw.choice(_GOODS)} {draw.choice(_PLACES)}" for claim in claims))
    return "\n".join(lines)


def _prices(draw: random.Random) -> str:
    lines = (
        f"* {draw.choice(_GOODS)} {draw.randrange(10**6):06} {draw.randrange(2000)}.{draw.randrange(100):02} EUR "
        f"{draw.randrange(1, 29)}/{draw.randrange(1, 13)}/20{draw.randrange(10, 26)}"
        for _ in range(draw.randrange(20, 150))
    )
    return "\n".join(lines)


def _notices(draw: random.Random) -> Iterator[Document]:
    """Notices of licenses, some in many copies, as under the files of a repository; none if they are not installed."""
    try:
        folder = package("licensedcode", "law", "licensedcode-data") / "data" / "rules"
    except InputError:
        return
    files = sorted(folder.glob("*.RULE"))
    while files:
        text = after_front_matter(draw.choice(files).read_bytes()).decode(errors="replace").replace("\0", "").strip()
        for _ in range(draw.choice([1, 1, 1, 2, 5])):
            if text:
                yield {"text": text}


def unshared(apart: list[str], clean: list[str]) -> list[str]:
    """Pages without those of which many n-grams of words are in the clean text."""

    def grams(text: str) -> list[int]:
        words = re.findall(r"\w+", text.lower())
        return [hash(tuple(words[at : at + _WORDS])) for at in range(max(1, len(words) - _WORDS + 1))]

    known = {gram for text in clean for gram in grams(text)}
    shares = ((text, grams(text)) for text in apart)
    return [text for text, own in shares if sum(gram in known for gram in own) <= _MOST_SHARED * len(own)]


def main() -> None:
    """Writes the two files, and says what is in them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    made = messy(options.seed, options.megabytes)
    options.folder.mkdir(parents=True, exist_ok=True)
    held_out = [{"text": text, "kind": "held out", "id": f"held-out-{n}"} for n, text in enumerate(made.held_out)]
    for name, documents in (("mess.jsonl", made.documents), ("held_out.jsonl", held_out)):
        lines = (json.dumps(document, ensure_ascii=False) + "\n" for document in documents)
        (options.folder / name).write_text("".join(lines), encoding="utf-8")
        for kind in sorted({document["kind"] for document in documents}):
            texts = [document["text"] for document in documents if document["kind"] == kind]
            print(f"{name}: {len(texts):6} {kind}, {sum(len(text.encode()) for text in texts) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
