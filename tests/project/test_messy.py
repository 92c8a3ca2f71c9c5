"""The messy corpus that curation is measured on: what it is made of is known, and always the same."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.curation import messy as messy_module
from benchmarks.curation.messy import SHARES, Mess, messy
from scaling.errors import InputError


@pytest.fixture(scope="module")
def mess() -> Mess:
    return messy(seed=3, megabytes=1.5)


def test_every_kind_has_its_share(mess: Mess) -> None:
    sizes: Counter[str] = Counter()
    for document in mess.documents:
        sizes[document["kind"]] += len(document["text"])
    assert set(SHARES) - {"license"} <= set(sizes) <= set(SHARES)
    for kind, size in sizes.items():
        assert size / 1.5e6 == pytest.approx(SHARES[kind], rel=0.35)
    assert len({document["id"] for document in mess.documents}) == len(mess.documents)


def test_a_near_duplicate_names_what_it_repeats(mess: Mess) -> None:
    clean = {document["id"]: document["text"] for document in mess.documents if document["kind"] == "clean"}
    copies = [document for document in mess.documents if document["kind"] == "near-duplicate"]
    assert copies
    for document in copies:
        words = set(document["text"].lower().split())
        assert len(words & set(clean[document["of"]].lower().split())) > 0.5 * len(words)


def test_what_is_held_out_is_in_no_document(mess: Mess) -> None:
    assert len(mess.held_out) > 100
    everything = "\n".join(document["text"] for document in mess.documents)
    assert not any(text in everything for text in mess.held_out)


@pytest.mark.slow
def test_files_are_the_same_again(mess: Mess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["messy", str(tmp_path), "--megabytes", "1.5", "--seed", "3"])
    messy_module.main()
    written = [json.loads(line) for line in (tmp_path / "mess.jsonl").read_text().splitlines()]
    assert written == mess.documents
    assert len((tmp_path / "held_out.jsonl").read_text().splitlines()) == len(mess.held_out)


@pytest.mark.slow
def test_too_large_a_corpus_is_refused() -> None:
    with pytest.raises(InputError, match="the domains have clean text for"):
        messy(seed=0, megabytes=1000)
