"""Tokenizers as people point at them: a folder, a file under another name, a word, a pointer in the file's place."""

import json
import re
from pathlib import Path

import pytest

from scaling.cli import main
from scaling.data.shards import read_manifest
from scaling.data.spec import TokenizerSpec
from scaling.data.tokenizer_files import keep_tokenizer
from scaling.errors import InputError
from tests.data.test_tokenizers import model as model
from tests.data.test_tokenizers import sentences, tiktoken_file

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a ``tokenizer.json``, as of Hugging Face."""
    pytest.importorskip("tokenizers", reason='needs pip install -e ".[tokenizers]"')
    keep_tokenizer(TokenizerSpec(bpe=300), tmp_path / "mine", sentences())
    return tmp_path / "mine"


def kept(file: Path | str, out: Path) -> tuple[str, str, int]:
    record = keep_tokenizer(TokenizerSpec(file=str(file)), out, sentences())
    return record.kind, record.name, record.end


def build(folder: Path, capsys: Capture, *options: str) -> tuple[int, str]:
    (folder / "d.jsonl").write_text("\n".join(json.dumps({"text": text.decode()}) for text in sentences()))
    with pytest.raises(SystemExit) as ended:
        main(["data", "build", str(folder / "d.jsonl"), "--out", str(folder / "o"), "--workers", "1", *options])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert isinstance(ended.value.code, int)
    assert (ended.value.code == 0) == (not lines) == (folder / "o").exists()
    return ended.value.code, "\n".join(lines)


def test_a_folder_is_its_tokenizer(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    assert kept(folder, tmp_path / "a") == kept(folder / "tokenizer.json", tmp_path / "b")
    # Others beside it are of the same model, whose tokenizer.json says all.
    tiktoken_file(folder / "tokenizer.model")
    assert kept(folder, tmp_path / "c")[:2] == ("huggingface", "mine300")
    assert build(tmp_path, capsys, "--tokenizer", str(folder)) == (0, "")
    assert read_manifest(tmp_path / "o").tokenizer.name == "mine300"
    (folder / "tokenizer.json").unlink()
    assert kept(folder, tmp_path / "d") == ("tiktoken", "mine260", 259)


def test_a_folder_without_one_tokenizer_says_what_is_wanted(tmp_path: Path, capsys: Capture) -> None:
    empty, two = tmp_path / "empty", tmp_path / "two"
    empty.mkdir()
    two.mkdir()
    code, line = build(tmp_path, capsys, "--tokenizer", str(empty))
    assert (code, line) == (
        2,
        f"error: tokenizer {empty}: the folder has no tokenizer.json, no tokenizer.model, no *.tiktoken, no *.model",
    )
    for name in ("a.tiktoken", "b.tiktoken"):
        tiktoken_file(two / name)
    with pytest.raises(InputError, match=r"two: the folder has a\.tiktoken and b\.tiktoken; name one"):
        kept(two, tmp_path / "kept")


def test_a_name_that_is_no_file_says_what_is_wanted(tmp_path: Path, capsys: Capture) -> None:
    code, line = build(tmp_path, capsys, "--tokenizer", "gpt2")
    assert code == 2
    assert line.startswith("error: tokenizer gpt2: no such file; give bytes, bpe:8k, or the path of")


@pytest.mark.parametrize("name", ["ranks", "ranks.json", "ranks.model", "ranks.tiktoken"])
def test_ranks_are_known_under_any_name(name: str, tmp_path: Path) -> None:
    pytest.importorskip("tiktoken", reason='needs pip install -e ".[tokenizers]"')
    tiktoken_file(tmp_path / name)
    assert kept(tmp_path / name, tmp_path / "kept") == ("tiktoken", "ranks260", 259)


@pytest.mark.parametrize("name", ["pieces", "pieces.json", "pieces.tiktoken"])
def test_a_sentencepiece_model_is_known_under_any_name(name: str, model: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(model.read_bytes())
    assert kept(tmp_path / name, tmp_path / "kept")[0] == "sentencepiece"


def test_damage_is_told_of_the_file_and_not_of_its_copy(model: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.model").write_bytes(model.read_bytes()[:500])
    with pytest.raises(InputError, match=r"tokenizer cut\.model: not a SentencePiece model") as error:
        kept(tmp_path / "cut.model", tmp_path / "kept")
    assert "kept" not in str(error.value)


@pytest.mark.parametrize("settings", ['{"eos_token": "<end>"}', '{"eos_token": {"content": "<end>"}}'])
def test_the_end_is_also_found_in_the_settings_beside_it(settings: str, folder: Path, tmp_path: Path) -> None:
    file = folder / "tokenizer.json"
    file.write_text(file.read_text().replace("<|endoftext|>", "<end>"))
    with pytest.raises(InputError, match=re.escape("give tokenizer: {file: ..., end: TOKEN}")):
        kept(file, tmp_path / "kept")
    (folder / "tokenizer_config.json").write_text(settings)
    assert kept(file, tmp_path / "kept") == ("huggingface", "mine300", 0)


def test_a_vocabulary_to_train_is_a_word_in_a_data_file_too() -> None:
    assert TokenizerSpec.model_validate("bpe:8k") == TokenizerSpec(bpe=8000)


def test_a_pointer_of_git_lfs_is_no_tokenizer_and_no_text(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n"
    (folder / "tokenizer.json").write_text(pointer)
    code, line = build(tmp_path, capsys, "--tokenizer", str(folder))
    assert (code, line) == (2, "error: tokenizer tokenizer.json: a pointer of Git LFS, not the file: run git lfs pull")
    for name in ("d.txt", "d.parquet", "d.jsonl", "d.bin"):
        (tmp_path / name).write_text(pointer)
        with pytest.raises(SystemExit) as ended:
            main(["data", "build", str(tmp_path / name), "--out", str(tmp_path / "o")])
        assert ended.value.code == 2
        assert capsys.readouterr().err == (
            f"error: {tmp_path / name}: a pointer of Git LFS, not the file; run git lfs pull\n"
        )
