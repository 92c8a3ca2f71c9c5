"""The corpora of the benchmark of comparisons: what is damaged, and that held-out text stays out of training."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.comparing.damage import damaged, held_out, pieces, shuffled, write_corpus
from scaling.data.corpus import CorpusSpec
from scaling.sweep.plan.corpus_text import load_text

DOCUMENTS = [f"{word} one two\nthree four, five" for word in "abcdefghijklmnopqrst"]


@pytest.mark.parametrize("kind", ["shuffled", "duplicated", "scrambled"])
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_a_share_is_damaged_and_nothing_else_changes(kind: str, share: float) -> None:
    found = damaged(DOCUMENTS, kind, share)
    changed = {i for i, (now, before) in enumerate(zip(found, DOCUMENTS, strict=True)) if now != before}
    assert len(changed) == share * len(DOCUMENTS)
    assert [len(text) for text in found] == [len(text) for text in DOCUMENTS]
    assert len(set(found)) == len(DOCUMENTS)
    kept = {text[:-1] for i, text in enumerate(DOCUMENTS) if i not in changed}
    for i in changed:
        if kind == "shuffled":
            assert sorted(found[i].split()) == sorted(DOCUMENTS[i].split())
        elif kind == "scrambled":
            assert sorted(found[i]) == sorted(DOCUMENTS[i])
        else:
            assert found[i][:-1] in kept
    more = damaged(DOCUMENTS, kind, 0.5)
    assert all(more[i] != DOCUMENTS[i] for i in changed)


def test_words_are_shuffled_and_what_parts_them_is_not() -> None:
    text = "a  bb\nccc dddd eeeee\n\nffffff g hh"
    found = shuffled(text, np.random.default_rng(1))
    assert found != text
    assert re.findall(r"\s+", found) == re.findall(r"\s+", text)
    assert sorted(found.split()) == sorted(text.split())


def test_corpora_have_one_held_out_text_that_none_is_trained_on(tmp_path: Path) -> None:
    documents, unseen = pieces(), held_out()
    texts = {}
    for kind in ("shuffled", "duplicated"):
        write_corpus(tmp_path / kind, damaged(documents, kind, 0.3), unseen)
        write_corpus(tmp_path / kind, damaged(documents, kind, 0.3), unseen)  # once more is no error
        texts[kind] = load_text(CorpusSpec(path=str(tmp_path / kind / "data")))
    hashes = {text.held_out_text.sha256(64, 65536) for text in texts.values()}
    assert len(hashes) == 1
    assert len({text.fingerprint.sha256 for text in texts.values()}) == 2
    everything = "\n".join(documents)
    parts = [text[i : i + 60] for text in unseen for i in range(5000, len(text) - 60, 5000)]  # not how all begin
    assert len(parts) > 200
    assert not [part for part in parts if part in everything]
