"""Builds that go on: files without documents, documents that are skipped, parts that are kept after an error."""

import gzip
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scaling.cli import main
from scaling.data import sources
from scaling.data.build import BuildProgress, build
from scaling.data.shards import Manifest
from scaling.data.spec import BuildSpec
from scaling.errors import InputError

TEXTS = [f"page {i}: {' '.join(str(i * j) for j in range(3 + i % 11))}" for i in range(90)]


def lines(texts: list[str]) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def three(folder: Path, second: bytes) -> Path:
    """Three files, of which the second is given."""
    return write(folder, {"0.jsonl": lines(TEXTS[:30]), "1.jsonl": second, "2.jsonl": lines(TEXTS[60:])})


BAD = lines(TEXTS[30:60]) + b'{"text": "half \\ud800"}\n'


def made(
    folder: Path, out: Path, reported: list[BuildProgress] | None = None, on_error: Any = "stop", **spec: Any
) -> Manifest:
    whole = BuildSpec.model_validate({"name": "x", "sources": [str(folder)], "held_out": "20%", **spec})
    return build(whole, out, 1, (reported if reported is not None else []).append, on_error)


def contents(folder: Path) -> dict[str, str]:
    """Hashes of a folder's files but of the record of the files it was built from."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != "spec.sha256"]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_files_without_documents_are_skipped_counted_and_named(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "in",
        {
            "part-0.jsonl": lines(TEXTS), "part-1.jsonl": b"", "part-2.jsonl.gz": gzip.compress(b""), "_SUCCESS": b"",
            "_temporary/0/part-3.jsonl": lines(TEXTS),
            "part-0.jsonl.crc": b"crc", ".part-0.jsonl.crc": b"crc", "_committed_7": b"{}", ".git/config": b"x",
        },
    )  # fmt: skip
    manifest = made(folder, tmp_path / "out")
    assert manifest.documents == 90
    (warning,) = manifest.warnings
    assert (warning.code, warning.count) == ("skipped-files", 8)
    named = {Path(example.split(" ")[0]).name: example.split(" ")[1] for example in warning.examples}
    assert named == {
        "part-1.jsonl": "(empty)", "part-2.jsonl.gz": "(empty)", "_SUCCESS": "(marker)", "_committed_7": "(marker)",
        "part-3.jsonl": "(marker)",
        "part-0.jsonl.crc": "(marker)", ".part-0.jsonl.crc": "(hidden)", ".git": "(hidden)",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"a.jsonl": b""}, r"a\.jsonl: the file is empty"),
        ({"a.jsonl": b"", "_SUCCESS": b""}, "the sources have no files: 2 files without documents"),
        ({"a.jsonl": b"\n \n", "b.csv": b"id,text\n"}, "the sources have no documents: every text is empty"),
        ({"a.jsonl": b'{"body": "x"}\n' * 3}, r"a\.jsonl:1: no key 'text'"),
    ],
)
def test_nothing_to_build_is_one_line_and_leaves_nothing(tmp_path: Path, files: dict[str, bytes], reason: str) -> None:
    with pytest.raises(InputError, match=reason) as error:
        made(write(tmp_path / "in", files), tmp_path / "out")
    assert len(error.value.errors) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["in"]


def test_kinds_beside_each_other_are_reported(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", {"a.jsonl": lines(TEXTS), "README.md": b"what this is"})
    manifest = made(folder, tmp_path / "out")
    assert manifest.documents == 91
    assert [(warning.code, warning.examples) for warning in manifest.warnings] == [
        ("mixed-formats", ("jsonl, as a.jsonl", "text, as README.md"))
    ]


def test_an_error_keeps_what_is_done_and_the_mended_file_gives_the_same_bytes(tmp_path: Path) -> None:
    folder, out = three(tmp_path / "in", BAD), tmp_path / "out"
    with pytest.raises(
        InputError, match=r"1\.jsonl:31: 'text' has half a surrogate pair.*the part that is done is kept"
    ):
        made(folder, out)
    assert not out.exists()
    write(folder, {"1.jsonl": lines(TEXTS[30:60])})
    reported: list[BuildProgress] = []
    assert made(folder, out, reported).documents == 90
    made(folder, tmp_path / "fresh")
    assert (reported[0].parts_done, reported[0].parts) == (1, 3)
    assert contents(out) == contents(tmp_path / "fresh")
    assert not list(tmp_path.glob(".*"))


def test_another_key_after_an_error_is_no_obstacle(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", {"0.jsonl": lines(TEXTS), "1.jsonl": b'{"body": "x"}\n'})
    with pytest.raises(InputError, match="no key 'text'"):
        made(folder, tmp_path / "out")
    (folder / "1.jsonl").unlink()
    assert made(folder, tmp_path / "out", tokenizer={"bpe": 270}).tokenizer.name == "bpe270"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("workers", [1, 2])
def test_documents_are_skipped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    monkeypatch.setattr(sources, "PART_BYTES", 3000)
    folder = write(
        tmp_path / "in",
        {
            "a.jsonl": lines(TEXTS[:30]) + b'{"body": "x"}\n{"text": 3}\nnonsense\n' + lines(TEXTS[30:]),
            "b.jsonl.gz": gzip.compress(lines([f"{text} again" for text in TEXTS]), mtime=0)[:-30],
            "c.txt": b"caf\xe9",
            "d.txt": b"text",
            "e.pdf": b"%PDF-1.4",
        },
    )
    spec = BuildSpec.model_validate({"name": "x", "sources": [str(folder)], "held_out": "20%"})
    manifest = build(spec, tmp_path / "out", workers, lambda _: None, "skip")
    found = {warning.code: warning for warning in manifest.warnings}
    assert found["skipped-documents"].count == 4
    assert "a.jsonl:31: no key 'text'" in found["skipped-documents"].examples[0]
    assert found["skipped-files"].count == 2
    assert [Path(line.split(":")[0]).name for line in found["skipped-files"].examples] == ["b.jsonl.gz", "e.pdf"]
    assert manifest.documents == len(TEXTS) + 1


def test_a_file_that_is_cut_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    long = [f"{text} {random.Random(i).randbytes(3000).hex()}" for i, text in enumerate(TEXTS)]
    folder = write(tmp_path / "in", {"a.jsonl.gz": gzip.compress(lines(long), mtime=0)[:-50_000]})
    with pytest.raises(InputError, match=r"cannot be read: .*skip leaves the rest of the file out"):
        made(folder, tmp_path / "out")
    manifest = made(folder, tmp_path / "out", on_error="skip")
    assert 60 < manifest.documents < 90
    (warning,) = manifest.warnings
    assert (warning.code, warning.count) == ("skipped-documents", 1)
    assert warning.examples[0].endswith("; the rest of the file is left out")


def test_where_all_is_skipped_there_is_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", {"a.jsonl": b'{"body": "x"}\n' * 9})
    with pytest.raises(InputError, match=r"no documents: all 9 were skipped, the first: .*no key 'text'"):
        made(folder, tmp_path / "out", on_error="skip")


def test_skipped_documents_are_errors_again_without_skip(tmp_path: Path) -> None:
    folder = three(tmp_path / "in", BAD)
    with pytest.raises(InputError, match="none of 90 documents are in the held_out split"):
        made(folder, tmp_path / "out", on_error="skip", held_out=1e-9)
    with pytest.raises(InputError, match="half a surrogate pair"):
        made(folder, tmp_path / "out", held_out=1e-9)


def test_the_command_skips_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    three(tmp_path / "in", BAD)
    arguments = ["data", "build", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--held-out", "20%"]

    def call(*more: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as end:
            main([*arguments, "--workers", "1", *more])
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    code, _, shown = call()
    assert code == 2
    assert "1.jsonl:31: 'text' has half a surrogate pair" in shown
    assert "--on-error skip leaves such documents out" in shown
    code, printed, shown = call("--on-error", "skip", "--json")
    assert code == 0
    result = json.loads(printed)
    (warning,) = result["warnings"]
    assert (result["skipped"], warning["code"], warning["count"]) == (1, "skipped-documents", 1)
    assert "1.jsonl:31: " in warning["examples"][0]
    with pytest.raises(SystemExit):
        main(["data", "inspect", str(tmp_path / "out")])
    captured = capsys.readouterr()
    assert "0 empty, 1 skipped" in captured.out
    assert "[skipped-documents]" in captured.err


def test_one_side_of_the_split_alone_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", {"a.jsonl": lines(TEXTS)})
    sides = [{"path": str(folder), "only": "train"}]
    with pytest.raises(InputError, match="all are `only: train`; a build needs held_out documents too"):
        build(BuildSpec.model_validate({"name": "x", "sources": sides}), tmp_path / "out", 1, lambda _: None)
    with pytest.raises(ValueError, match="held_out does not apply"):
        made(folder, tmp_path / "out", sources=sides)


def test_a_table_without_rows_is_an_empty_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", {"a.jsonl": lines(TEXTS)})
    with pq.ParquetWriter(folder / "b.parquet", pa.schema({"text": pa.string()})):
        pass
    (warning,) = made(folder, tmp_path / "out").warnings
    assert (warning.code, Path(warning.examples[0]).name) == ("skipped-files", "b.parquet (empty)")
