"""Near-duplicates across the split: signatures of any batch, and comparisons in any blocks."""

from pathlib import Path

import numpy as np
import pytest

from scaling.data.build import BuildProgress, build
from scaling.data.building import leaks
from scaling.data.building.leaks import (
    HASHES,
    SignatureWriter,
    near_duplicates,
    read_signatures,
    text_signature,
    text_signatures,
    token_signature,
)
from scaling.data.building.part import DONE
from scaling.data.curate.text.words import words_of
from scaling.data.spec import BuildSpec


def texts(count: int, seed: int = 0, words: int = 150) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(f"w{word}" for word in random.integers(5000, size=words)) for _ in range(count)]


def changed(text: str, share: float, seed: int) -> str:
    """With words of which each is replaced by that chance."""
    random = np.random.default_rng(seed)
    return " ".join(f"x{random.integers(9999)}" if random.random() < share else word for word in text.split())


def signatures(documents: list[str]) -> np.ndarray:
    return text_signatures(words_of(documents))


def test_a_signature_is_of_the_text_alone() -> None:
    documents = [*texts(20), "", "!", "one", "Ünïcode — text", "x" * 100_000]
    together = signatures(documents)
    for own, text in zip(together, documents, strict=True):
        np.testing.assert_array_equal(own, text_signature(text.encode()))
    assert (text_signature(b"one\0two") == text_signature(b"one TWO")).all()
    assert text_signature(b"caf\xe9 au lait").shape == (HASHES,)
    ids = np.arange(1, 50)
    assert (token_signature(ids) == token_signature(ids.astype(np.uint16))).all()
    assert (token_signature(ids) == token_signature(ids[::-1].copy())).mean() < 0.1


def test_only_the_beginning_of_a_long_document_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "_LONGEST", 1000)
    text = "é word " * 300
    assert (text_signature(text.encode()) == text_signature((text + "more and more").encode())).all()
    ids = np.arange(3000)
    assert (token_signature(ids) == token_signature(ids[:1000])).all()


def test_what_is_written_in_batches_is_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "_UNITS_AT_ONCE", 3000)
    monkeypatch.setattr(leaks, "_DOCUMENTS_AT_ONCE", 7)
    documents = [*texts(40), "", "?", "short"]
    ids = [np.random.default_rng(seed).integers(99, size=seed * 40).astype(np.uint16) for seed in range(30)]
    for given, single in (([text.encode() for text in documents], text_signature), (ids, token_signature)):
        with (tmp_path / "signatures").open("wb") as file:
            writer = SignatureWriter(file)
            for document in given:
                writer.add(document)
            writer.finish()
        kept = np.arange(len(given)) % 3 != 1
        read = np.concatenate(list(read_signatures(tmp_path / "signatures", kept)))
        wanted = [single(document) for document, own in zip(given, kept, strict=True) if own]  # type: ignore[operator]
        np.testing.assert_array_equal(read, np.stack(wanted))
    (tmp_path / "empty").touch()
    assert list(read_signatures(tmp_path / "empty", np.zeros(0, bool))) == []


@pytest.mark.parametrize("at_once", [1, 10**6])
def test_near_duplicates_are_found_in_any_blocks(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(leaks, "_PAIRS_AT_ONCE", at_once)
    train = texts(300)
    near = [changed(text, 0.01, seed) for seed, text in enumerate(train[:60])]
    far = [changed(text, 0.2, seed) for seed, text in enumerate(train[60:120])]
    held_out = signatures([*near, *far, *texts(60, seed=1), "", "!!", "..."])
    wanted = [True] * 60 + [False] * 123
    blocks = signatures([*train, "", "?"])
    assert near_duplicates(held_out, blocks).tolist() == wanted
    assert near_duplicates(held_out, np.array_split(blocks, 13)).tolist() == wanted
    assert near_duplicates(held_out, iter([blocks[:0], blocks[200:], blocks[:200]])).tolist() == wanted
    monkeypatch.setattr(leaks, "_DOCUMENTS_AT_ONCE", 50)
    assert near_duplicates(held_out, blocks).tolist() == wanted
    assert near_duplicates(held_out, blocks[:0]).tolist() == [False] * 183
    assert near_duplicates(held_out[:0], blocks).tolist() == []


def test_crowded_bands_are_compared_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "_MOST_COMPARED", 5)
    random = np.random.default_rng(0)
    crowd = random.integers(1, 2**31, size=(100, HASHES), dtype=np.uint32)
    held_out = random.integers(1, 2**31, size=(1, HASHES), dtype=np.uint32)
    crowd[:, :5] = held_out[:, :5]
    crowd[4] = held_out
    assert near_duplicates(held_out, crowd).tolist() == [True]
    crowd[:, :125] = held_out[:, :125] + np.uint32(1)
    crowd[:, ::5] = held_out[:, ::5]
    crowd[:, :5] = held_out[:, :5]
    assert near_duplicates(held_out, crowd).tolist() == [False]


def test_parts_of_an_earlier_layout_are_made_again(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n\n".join(texts(30)))
    spec = BuildSpec.model_validate({"name": "x", "sources": [{"path": str(tmp_path / "a.txt"), "piece": 2000}]})

    def stop(progress: BuildProgress) -> None:
        if progress.parts_done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(spec, tmp_path / "out", 1, stop)
    work = tmp_path / ".out.building"
    (table,) = work.glob(DONE)
    assert table.name.endswith(".2.documents.npy")
    table.rename(table.with_name(table.name.replace(".2.documents", ".documents")))
    reported: list[int] = []
    build(spec, tmp_path / "out", 1, lambda progress: reported.append(progress.parts_done))
    assert reported == [0, 1]
