"""Special ids there and back, and ids for which the embedding has no row."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scaling.cli import main
from scaling.hf.folder import export_model, import_model

Make = Callable[..., Path]
Refused = Callable[[Path], list[str]]
NAMES = ("bos_token_id", "eos_token_id", "pad_token_id")


def there_and_back(folder: Path, tmp_path: Path) -> dict[str, Any]:
    """The exported ``config.json`` of an imported folder."""
    import_model(folder, tmp_path / "imported")
    export_model(tmp_path / "imported", tmp_path / "exported")
    config: dict[str, Any] = json.loads((tmp_path / "exported" / "config.json").read_text())
    return config


@pytest.mark.parametrize(
    "ids",
    [
        {"bos_token_id": 1, "eos_token_id": 2},
        {"bos_token_id": 9, "eos_token_id": [8, 10, 11], "pad_token_id": 4},
        {"bos_token_id": None, "eos_token_id": 0, "pad_token_id": None},
        {"bos_token_id": 0, "eos_token_id": [3], "pad_token_id": -1},
    ],
)
@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_special_ids_come_out_as_they_went_in(ids: dict[str, Any], kind: str, made: Make, tmp_path: Path) -> None:
    config = there_and_back(made(model_type=kind, head_dim=4, **ids), tmp_path)
    assert {name: config[name] for name in NAMES if name in config} == ids


def test_a_field_that_is_missing_stays_so(made: Make, tmp_path: Path) -> None:
    folder = made()
    config = json.loads((folder / "config.json").read_text())
    del config["bos_token_id"], config["eos_token_id"]
    (folder / "config.json").write_text(json.dumps(config))
    assert not set(NAMES) & there_and_back(folder, tmp_path).keys()


def test_what_generation_and_the_tokenizer_need_is_kept_as_it_is(made: Make, tmp_path: Path) -> None:
    folder = made()
    files = {
        "generation_config.json": '{"eos_token_id": [2, 5, 6], "pad_token_id": 5,\n "temperature": 0.6}',
        "tokenizer.model": "pieces",
        "special_tokens_map.json": '{"eos_token": "</s>"}',
        "chat_template.jinja": "{{ messages }}",
        "added_tokens.json": '{"<x>": 3}',
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    there_and_back(folder, tmp_path)
    for name, text in files.items():
        assert (tmp_path / "exported" / name).read_text() == text


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"bos_token_id": "1"}, ["config.json: bos_token_id is '1'; it must be an id"]),
        ({"bos_token_id": [1]}, ["bos_token_id is [1]; it must be an id"]),
        ({"eos_token_id": []}, ["eos_token_id is []; it must be an id or a list of ids"]),
        ({"eos_token_id": [2, "3"]}, ["eos_token_id is [2, '3']"]),
        ({"bos_token_id": True, "pad_token_id": 0.5}, ["bos_token_id is True", "pad_token_id is 0.5"]),
    ],
)
def test_what_is_no_id(fields: dict[str, Any], expected: list[str], made: Make, refused: Refused) -> None:
    lines = refused(made(**fields))
    assert len(lines) == len(expected)
    assert all(part in line for part, line in zip(expected, lines, strict=True))


def test_ids_of_generation_are_checked_too(made: Make, refused: Refused) -> None:
    folder = made()
    for text, expected in (
        ('{"eos_token_id": "2"}', "generation_config.json: eos_token_id is '2'"),
        ("[]", "generation_config.json: not a JSON object"),
        ("{", "generation_config.json: not JSON"),
    ):
        (folder / "generation_config.json").write_text(text)
        (line,) = refused(folder)
        assert expected in line


BPE = {f"t{i}": i for i in range(12)}
TOKENIZERS: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "as many as rows": ("tokenizer.json", {"model": {"vocab": BPE}}, None),
    "added tokens": (
        "tokenizer.json",
        {"model": {"vocab": BPE}, "added_tokens": [{"id": i, "content": f"<{i}>"} for i in (11, 12, 15)]},
        "tokenizer.json: 2 of its 14 ids (12 to 15) are beyond the embedding's 12 rows",
    ),
    "the vocabulary": (
        "tokenizer.json",
        {"model": {"vocab": {**BPE, "more": 12}}},
        "tokenizer.json: 1 of its 13 ids (12) are beyond the embedding's 12 rows",
    ),
    "unigram": (
        "tokenizer.json",
        {"model": {"vocab": [[f"t{i}", -1.0] for i in range(14)]}},
        "tokenizer.json: 2 of its 14 ids (12 to 13)",
    ),
    "settings": (
        "tokenizer_config.json",
        {"added_tokens_decoder": {"2": {}, "13": {}}},
        "tokenizer_config.json: 1 of its 2 ids (13)",
    ),
    "added_tokens.json": ("added_tokens.json", {"<a>": 12}, "added_tokens.json: 1 of its 1 ids (12)"),
    "vocab.json": ("vocab.json", {**BPE, "b": 20}, "vocab.json: 1 of its 13 ids (20)"),
}


@pytest.mark.parametrize("case", TOKENIZERS)
def test_a_tokenizer_beyond_the_embedding_is_a_warning(
    case: str, made: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, content, expected = TOKENIZERS[case]
    folder = made()
    (folder / name).write_text(json.dumps(content))
    with pytest.raises(SystemExit) as exit_info:
        main(["import", str(folder), "--out", str(tmp_path / "imported"), "--json"])
    assert exit_info.value.code == 0
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    assert [warning["code"] for warning in warnings] == ["tokenizer-beyond-embedding"] * (expected is not None)
    assert all(expected is not None and expected in warning["message"] for warning in warnings)
    # Exported again it is the same tokenizer.
    export_model(tmp_path / "imported", tmp_path / "exported")
    assert (tmp_path / "exported" / name).read_text() == json.dumps(content)


def test_ranks_beyond_the_embedding_are_a_warning(made: Make, tmp_path: Path) -> None:
    folder = made()
    ranks = (base64.b64encode(bytes([byte])) + b" %d\n" % byte for byte in range(256))
    (folder / "tokenizer.model").write_bytes(b"".join(ranks))
    (warning,) = import_model(folder, tmp_path / "imported").warnings
    assert warning.code == "tokenizer-beyond-embedding"
    assert "tokenizer.model: 244 of its 256 ids (12 to 255)" in warning.message


def test_special_ids_beyond_the_embedding_are_a_warning(made: Make, tmp_path: Path) -> None:
    folder = made(eos_token_id=[2, 12], pad_token_id=13)
    (folder / "generation_config.json").write_text('{"eos_token_id": 14}')
    warnings = import_model(folder, tmp_path / "imported").warnings
    assert [warning.code for warning in warnings] == ["id-beyond-embedding"] * 3
    assert "config.json: eos_token_id 12 is beyond the embedding's 12 rows" in warnings[0].message
    assert "generation_config.json: eos_token_id 14" in warnings[2].message
