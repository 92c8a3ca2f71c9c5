"""Named corpora, or a user's own text files, to documents; some held out, never to be trained on."""

import glob
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StrictBool,
    model_serializer,
    model_validator,
)

from scaling.data.formats.recognise import no_prose
from scaling.data.formats.streams import text_violation
from scaling.data.named.domains import DOMAINS, DomainName, NamedCorpus, domain, python, sotu
from scaling.data.named.packages import files_below
from scaling.errors import InputError

HELD_OUT = 0.05
"""Fraction of a corpus's bytes that is held out, as near as whole documents allow; of few, up to twice that."""
_ENOUGH_DOCUMENTS = 24  # fewer say little about the others
_MOST_VIOLATIONS = 10


def _distinct(names: tuple[DomainName, ...]) -> tuple[DomainName, ...]:
    if not names:
        raise ValueError("the list is empty")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"'{name}' is given twice")
    return tuple(sorted(names, key=DOMAINS.index))  # as one corpus, however it is written


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class CorpusSpec(BaseModel):
    """Which text: exactly one of ``name``, ``names`` and ``path``.

    Attributes:
        name: ``sotu`` (English: State of the Union addresses), ``python`` (code: the standard library), or one of
            ``names``.
        names: one or more domains, read from packages that are installed, which are neither imported nor run:
            ``speech`` (the same addresses), ``code`` (the standard library without its docstrings and tests), ``docs``
            (docstrings of jax, matplotlib, numpy, pandas and scipy), and with ``pip install
            "scaling-law-toolkit[corpora]"`` ``law`` (the licenses that ScanCode knows) and ``scripture`` (the King
            James Bible by chapter).
        path: a file, a folder (every file below it) or a glob such as ``texts/**/*.txt``, from the working
            directory; each file is one document of UTF-8 text. Or a folder that ``scaling data build`` has made.
        tests: for ``python``, include its tests.
        site_packages: for ``python``, include the installed packages.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["sotu", "python", "speech", "code", "docs", "law", "scripture"] | None = None
    names: Annotated[tuple[DomainName, ...], BeforeValidator(_as_list), AfterValidator(_distinct)] | None = None
    path: str | None = None
    tests: StrictBool = False
    site_packages: StrictBool = False

    @model_validator(mode="before")
    @classmethod
    def _one_domain(cls, value: Any) -> Any:
        """One domain by ``name`` is a list of one."""
        if isinstance(value, dict) and "names" not in value and value.get("name") in DOMAINS:
            return {**{key: item for key, item in value.items() if key != "name"}, "names": [value["name"]]}
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "CorpusSpec":
        given = [key for key in ("name", "names", "path") if getattr(self, key) is not None]
        if not given:
            raise ValueError("needs a name (sotu or python), names of domains, or a path")
        if len(given) > 1:
            raise ValueError(f"has {' and '.join(f'a {key}' if key != 'names' else key for key in given)}; choose one")
        if self.name != "python" and (self.tests or self.site_packages):
            raise ValueError("tests and site_packages belong to the corpus python only")
        return self

    @model_serializer(mode="wrap")
    def _as_ever(self, content: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Without ``names`` where there are none, as the ids of runs on other corpora come from this."""
        return {key: value for key, value in content(self).items() if key != "names" or value is not None}


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
    name, parts = _parts(spec)
    documents, violations, skipped = [], [], 0
    for prefix, corpus in parts:
        for id, file in sorted(corpus.files()):
            try:
                content = file.read_bytes()
            except OSError as error:
                violations.append(f"corpus file {file}: {error.strerror}")
                continue
            for suffix, text in corpus.documents(content):
                violation = text_violation(text)
                if violation is None and spec.path is not None:
                    violation = no_prose(text)
                if text and violation is None:
                    documents.append(Document(f"{prefix}{id}{suffix}", text))
                elif text and spec.path is not None:
                    violations.append(f"corpus file {file}: {violation}")
                else:
                    skipped += 1
    documents.sort(key=lambda document: document.id)
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


def _parts(spec: CorpusSpec) -> tuple[str, list[tuple[str, NamedCorpus]]]:
    """The name of a corpus, and what it is made of, each with what its ids begin with."""
    if spec.path is not None:
        name, files = own_files(spec.path)
        return name, [("", NamedCorpus(lambda: files, lambda content: [("", content)]))]
    if spec.names is not None:
        return "+".join(spec.names), [(f"{name}/", domain(name)) for name in spec.names]
    if spec.name == "sotu":
        return "sotu", [("", sotu())]
    name = "python" + "+tests" * spec.tests + "+site-packages" * spec.site_packages
    return name, [("", python(spec.tests, spec.site_packages))]


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
            return where.resolve().name, list(files_below(where, "", set()))
        found = [where] if where.is_file() else _glob(str(where))
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, an unknown user's ~, a NUL
        raise InputError(f"corpus path {path!r}: {error}") from None
    if not found:
        raise InputError(f"corpus path {path}: no such file or folder, and no file matches it")
    root = Path(os.path.commonpath([file.resolve().parent for file in found]))
    return root.name, [(file.resolve().relative_to(root).as_posix(), file) for file in found]


def _glob(pattern: str) -> list[Path]:
    return [file for file in map(Path, glob.iglob(pattern, recursive=True)) if file.is_file()]
