"""Files of ids: headers that say what they are, and ids read as those of another width or byte order."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaling.data.build import build
from scaling.data.shards import Manifest
from scaling.data.spec import BuildSpec
from scaling.errors import InputError

VOCAB, END = 50304, 50256


def ids(vocab: int = VOCAB, end: int = END, least: int = 1) -> np.ndarray:
    """Sixty documents."""
    random = np.random.default_rng(0)
    return np.concatenate([[*random.integers(least, vocab - min(vocab // 2, 300), 30), end] for _ in range(60)])


def built(tmp_path: Path, name: str, content: bytes, vocab: int = VOCAB, end: int = END, **source: Any) -> Manifest:
    (tmp_path / name).write_bytes(content)
    spec = {
        "name": "x", "sources": [{"path": str(tmp_path / name), **source}],
        "tokenizer": {"ids": vocab, "end": end}, "held_out": "20%",
    }  # fmt: skip
    return build(BuildSpec.model_validate(spec), tmp_path / "out", 1, lambda _: None)


def npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def llmc(dtype: str, magic: int, version: int) -> bytes:
    header = np.zeros(256, "<i4")
    header[:3] = magic, version, len(ids())
    return header.tobytes() + ids().astype(dtype).tobytes()


@pytest.mark.parametrize(
    ("name", "content", "source"),
    [
        ("a.bin", ids().astype("<u2").tobytes(), {}),
        ("a.bin", ids().astype("<u2").tobytes(), {"dtype": "uint16"}),
        ("a.bin", ids().astype("<u4").tobytes(), {"dtype": "uint32"}),
        ("a.bin", ids().astype("<i8").tobytes(), {"dtype": "int64"}),
        ("a.npy", npy(ids().astype("<u2")), {}),
        ("a.npy", npy(ids().astype("<i8")), {}),
        ("a.bin", npy(ids().astype(">u4")), {}),
        ("raw.npy", ids().astype("<u2").tobytes(), {}),
        ("a.bin", llmc("<u2", 20240520, 1), {}),
        ("a.bin", llmc("<u4", 20240801, 7), {}),
    ],
)
def test_ids_are_read_as_what_they_are(tmp_path: Path, name: str, content: bytes, source: dict[str, str]) -> None:
    manifest = built(tmp_path, name, content, **source)
    assert (manifest.documents, manifest.warnings) == (60, ())
    assert manifest.tokens("train") + manifest.tokens("held_out") == len(ids())


@pytest.mark.parametrize(
    ("written", "read", "advice"),
    [
        ("<u4", None, "read as uint16 half of all ids are 0, .*: give dtype: uint32"),
        ("<i8", None, "give dtype: int64"),
        (">u2", None, r"big-endian uint16; write them as little-endian: ids\.astype\('<u2'\)"),
        (">u4", None, "big-endian uint32"),
        (">i8", None, "big-endian int64"),
        ("<u2", "uint32", "as uint16 they are: give dtype: uint16"),
        ("<u4", "int64", "give dtype: uint32"),
        (">u4", "uint32", "big-endian uint32"),
    ],
)
@pytest.mark.parametrize(("vocab", "end"), [(VOCAB, END), (VOCAB, 0)])
def test_another_width_is_refused_with_advice(
    tmp_path: Path, written: str, read: str | None, advice: str, vocab: int, end: int
) -> None:
    content = ids(vocab, end).astype(written).tobytes()
    source = {} if read is None else {"dtype": read}
    with pytest.raises(InputError, match=rf"a\.bin: .*{advice}") as error:
        built(tmp_path, "a.bin", content, vocab, end, **source)
    assert len(error.value.errors) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]


def test_a_large_vocabulary_has_high_halves_that_are_not_zero(tmp_path: Path) -> None:
    content = ids(128256, 128001, 70_000).astype("<u4").tobytes()
    with pytest.raises(InputError, match=r"every second id is 1 at most, .*: give dtype: uint32"):
        built(tmp_path, "a.bin", content, 128256, 128001)
    assert built(tmp_path, "a.bin", content, 128256, 128001, dtype="uint32").documents == 60


@pytest.mark.parametrize(("written", "read", "better"), [("<u4", "uint16", "uint32"), ("<i8", "uint32", "int64")])
def test_a_width_that_was_given_is_kept_with_a_warning(tmp_path: Path, written: str, read: str, better: str) -> None:
    warnings = built(tmp_path, "a.bin", ids().astype(written).tobytes(), dtype=read).warnings
    assert [warning.code for warning in warnings] == ["odd-ids"]
    assert f"give dtype: {better}" in warnings[0].message


def test_small_ids_are_no_wider_ones(tmp_path: Path) -> None:
    assert built(tmp_path, "a.bin", ids(20, 0).astype("<u2").tobytes(), 20, 0).warnings == ()


def test_ids_without_an_end_are_reported(tmp_path: Path) -> None:
    content = np.random.default_rng(0).integers(1, 60, 5000).astype("<u2").tobytes()
    with pytest.raises(InputError, match=r"no id 99 closes a document in .*a\.bin"):
        built(tmp_path, "a.bin", content, 100, 99)


@pytest.mark.parametrize(
    ("name", "content", "source", "reason"),
    [
        ("a.npy", npy(np.ones(40, "f4")), {}, "an array of float32 and shape"),
        ("a.npy", npy(np.ones((4, 10), "u2")), {}, r"shape \(4, 10\); ids are whole numbers in one row"),
        ("a.npy", npy(np.array([{}])), {}, "no NumPy array"),
        ("a.npy", npy(ids().astype("<u2")), {"dtype": "uint16"}, "the option dtype does not apply: the file's header"),
        ("a.bin", llmc("<u2", 20240520, 1)[:-3], {}, "llm.c's header .version 1. says 1860 ids, and 3717 bytes follow"),
        ("a.bin", struct.pack("<i", 20240520) + b"\0" * 60, {}, "llm.c's header .version 0. says 0 ids"),
    ],
)
def test_a_header_that_contradicts_its_file_is_one_line(
    tmp_path: Path, name: str, content: bytes, source: dict[str, str], reason: str
) -> None:
    with pytest.raises(InputError, match=reason) as error:
        built(tmp_path, name, content, **source)
    assert len(error.value.errors) == 1
