"""What is read of a folder and of what was named itself: leftovers, pipes, folders above it, an index, a data file."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scaling.cli import main
from scaling.errors import InputError
from tests.data.test_build_errors import TEXTS, lines, made, write

Capture = pytest.CaptureFixture[str]


def refused(*arguments: str | Path, capsys: Capture) -> list[str]:
    with pytest.raises(SystemExit) as ended:
        main(["data", "build", *map(str, arguments)])
    assert ended.value.code == 2
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]


def test_leftovers_of_editors_and_downloads_are_skipped_and_named(tmp_path: Path) -> None:
    old = {"a.jsonl~": lines(["old"]), "b.jsonl.part": lines(["cut"])[:-4], "c.jsonl.tmp": lines(["unfinished"])}
    folder = write(tmp_path / "in", {"a.jsonl": lines(TEXTS), "dataset_infos.json": b'{"default": {}}', **old})
    manifest = made(folder, tmp_path / "out")
    assert manifest.documents == len(TEXTS)
    (warning,) = manifest.warnings
    reasons = {Path(example.split(" ")[0]).name: example.split(" ")[1] for example in warning.examples}
    assert reasons == {**dict.fromkeys(old, "(temporary)"), "dataset_infos.json": "(marker)"}


def test_what_is_named_itself_is_read_whatever_its_name(tmp_path: Path) -> None:
    files = {name: lines(TEXTS) for name in ("a.jsonl.tmp", "_temporary/a.jsonl")}
    folder = write(tmp_path / "_temporary", files)
    for number, path in enumerate([*(folder / name for name in files), folder / "_temporary"]):
        assert made(path, tmp_path / f"out{number}").documents == len(TEXTS)


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", {"a.jsonl": lines(TEXTS)})
    os.mkfifo(folder / "pipe")
    assert made(folder, tmp_path / "out").documents == len(TEXTS)


def test_an_index_that_is_named_says_what_to_name(tmp_path: Path, capsys: Capture) -> None:
    folder = write(tmp_path / "in", {"x.bin": bytes(8), "x.idx": b"MMIDIDX\0\0"})
    found = refused(folder / "x.idx", "--out", tmp_path / "out", capsys=capsys)
    assert found == [f"error: {folder / 'x.idx'}: the index of x.bin; give that file"]


@pytest.mark.parametrize("name", ["mix.yaml", "MIX.YML"])
def test_a_data_file_is_no_source_beside_others(name: str, tmp_path: Path, capsys: Capture) -> None:
    folder = write(tmp_path, {"a.jsonl": lines(TEXTS), name: b"sources: [a.jsonl]\n"})
    found = refused(folder / "a.jsonl", folder / name, "--out", tmp_path / "out", capsys=capsys)
    assert found == [f"error: {folder / name}: takes no other sources beside it: write them in it"]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", {"a.csv": b"text,text\n" + b"".join(b"%d,page %d\n" % (i, i) for i in range(90))})
    with pytest.raises(InputError, match=r"a\.csv: 2 columns are called 'text'; give each its own name"):
        made(folder, tmp_path / "out")


def test_a_long_header_is_cut_in_the_message(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", {"a.csv": f"0,{'long ' * 500}\n1,b\n".encode()})
    with pytest.raises(InputError, match=r"columns are 0, long long .*\.\.\.: say which with text: COLUMN") as error:
        made(folder, tmp_path / "out")
    assert len(error.value.errors[0]) < 300


def test_an_end_within_documents_of_ids_is_a_warning(tmp_path: Path) -> None:
    """As Megatron's index has the documents, whatever closes them."""
    ids = np.arange(1, 1 + 40 * 50).reshape(40, 50).astype("<u2")
    index = [np.uint64(1), np.uint8(8), np.uint64(40), np.uint64(41), np.full(40, 50, "<i4"), np.arange(40) * 100]
    content = b"MMIDIDX\0\0" + b"".join(part.tobytes() for part in [*index, np.arange(41)])
    folder = write(tmp_path / "in", {"x.bin": ids.tobytes(), "x.idx": content})
    for end, warnings in ((0, []), (60, ["end-in-text"])):
        manifest = made(folder, tmp_path / f"out{end}", tokenizer={"ids": 3000, "end": end})
        assert json.loads(manifest.model_dump_json())["tokenizer"]["end"] == end
        assert [warning.code for warning in manifest.warnings] == warnings


def test_a_table_without_rows_is_an_empty_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", {"a.jsonl": lines(TEXTS)})
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), folder / "b.parquet")
    (warning,) = made(folder, tmp_path / "out").warnings
    assert (warning.code, warning.examples) == ("skipped-files", (f"{folder / 'b.parquet'} (empty)",))


def test_a_split_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason='needs pip install -e ".[hf]"')
    rows = datasets.Dataset.from_dict({"text": TEXTS})
    datasets.DatasetDict({"train": rows, "test": rows}).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(InputError, match=r"saved: no split 'dev'; its splits are train, test"):
        made(tmp_path, tmp_path / "out", sources=[{"hf": str(tmp_path / "saved"), "split": "dev"}])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [([""], "corpus path: it is empty"), (["a.jsonl", "--tokenizer", ""], "tokenizer: the name of its file is empty")],
)
def test_what_is_empty_is_not_the_working_directory(
    arguments: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(write(tmp_path, {"a.jsonl": lines(TEXTS), "tokenizer.json": b"{}"}))
    assert refused(*arguments, "--out", tmp_path / "out", capsys=capsys) == [f"error: {line}"]
