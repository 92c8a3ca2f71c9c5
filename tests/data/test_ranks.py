"""tiktoken's ranks: told by their content, with the special tokens and the splitting of the family that they are of."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaling.data.build import build
from scaling.data.ranks import CL100K, GPT2, O200K, QWEN, end_of, family_of, read_ranks, special_tokens
from scaling.data.shards import TOKENIZER, Manifest
from scaling.data.spec import BuildSpec, TokenizerSpec
from scaling.data.tokenizer import Tokenizer
from scaling.data.tokenizer_files import keep_tokenizer, open_tokenizer
from scaling.errors import InputError

NEEDS = 'needs pip install -e ".[tokenizers]"'
pytest.importorskip("tiktoken", reason=NEEDS)
SMALL = {bytes([i]): i for i in range(256)} | {b"th": 256, b"the": 257, b" fox": 258, b" t": 259}


def numbered(count: int, hole: int | None = None) -> dict[bytes, int]:
    """So many ranks, of all bytes and of longer tokens, without one of the numbers."""
    numbers = [number for number in range(count + (hole is not None)) if number != hole]
    tokens = [bytes([i]) for i in range(256)] + [i.to_bytes(3, "big") for i in range(count - 256)]
    return dict(zip(tokens, numbers, strict=True))


def content(ranks: Mapping[bytes, int]) -> bytes:
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items())


def opened(tmp_path: Path, name: str, ranks: Mapping[bytes, int], **spec: Any) -> Tokenizer:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content(ranks))
    record = keep_tokenizer(TokenizerSpec(file=str(path), **spec), tmp_path / "kept", iter(()))
    assert record.kind == "tiktoken"
    tokenizer = open_tokenizer(record, tmp_path / "kept")
    assert tokenizer is not None
    return tokenizer


@pytest.mark.parametrize("name", ["own.tiktoken", "llama3/tokenizer.model", "ranks.txt", "ranks"])
def test_ranks_are_told_by_their_content(tmp_path: Path, name: str) -> None:
    tokenizer = opened(tmp_path, name, SMALL)
    assert (tokenizer.vocab, tokenizer.end) == (261, 260)
    assert tokenizer.encode(b"the fox").tolist() == [257, 258]


@pytest.mark.parametrize(
    ("ranks", "hole", "pattern", "end", "vocab"),
    [
        (50256, None, GPT2, 50256, 50257),
        (50280, 50256, GPT2, 50256, 50281),
        (100256, None, CL100K, 100257, 100277),
        (199998, None, O200K, 199999, 200019),
        (128000, None, CL100K, 128001, 128256),
        (200000, None, O200K, 200001, 202048),
        (151643, None, QWEN, 151643, 151851),
        (5000, None, CL100K, 5000, 5001),
    ],
)
def test_families_are_known_by_the_number_of_their_ranks(
    ranks: int, hole: int | None, pattern: str, end: int, vocab: int
) -> None:
    made = numbered(ranks, hole)
    assert end_of(made, None, "x") == (vocab, end)
    assert family_of(made).pattern == pattern
    assert end in special_tokens(made, end).values()
    assert not set(special_tokens(made, end).values()) & set(made.values())


def test_an_end_is_honoured_by_its_id_or_its_text(tmp_path: Path) -> None:
    for end in (261, "261", 515):
        tokenizer = opened(tmp_path, "own.tiktoken", SMALL, end=end)
        assert (tokenizer.end, tokenizer.vocab) == (int(end), int(end) + 1)
        assert tokenizer.decode(np.array([257, int(end), 300])) == "the<|endoftext|><|300|>"
    llama = numbered(128000)
    assert end_of(llama, "<|begin_of_text|>", "x") == (128256, 128000)
    assert end_of(llama, 128009, "x") == (128256, 128009)
    assert special_tokens(llama, 128009)["<|endoftext|>"] == 128009


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (9999, "end 9999 is no id of it: its ranks end at 259, and special tokens before 516"),
        (516, "end 516 is no id of it"),
        (-1, "end -1 is no id of it"),
        (257, "end 257 is a token of text"),
        ("<|end|>", r"has no token '<\|end\|>'; known are <\|endoftext\|> 260"),
    ],
)
def test_an_end_that_is_none_is_refused(tmp_path: Path, end: int | str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as error:
        opened(tmp_path, "own.tiktoken", SMALL, end=end)
    assert len(error.value.errors) == 1


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (b"dGg= 1\nnonsense\n", "own:2: not a token in base 64"),
        (b"dGg= 1\ndGg= x\n", "own:2: not a token in base 64"),
        (b"", "own: the file is empty"),
        (content(SMALL | {b"xy": 259}), "own: two tokens have one rank"),
        (
            content({token: rank for token, rank in SMALL.items() if token != b"\x80"}),
            "1 bytes have no rank, first 0x80",
        ),
    ],
)
def test_ranks_that_are_none_are_refused(lines: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_ranks(lines, "own")


def test_a_line_for_an_id_that_no_text_has_is_passed_over() -> None:
    assert read_ranks(content(SMALL) + b"= 260\n\n", "own") == SMALL


def test_options_that_do_not_apply_are_refused(tmp_path: Path) -> None:
    for value in ({"name": "bytes", "end": 3}, {"bpe": 300, "end": "x"}, {"bpe": 300, "pattern": "x"}):
        with pytest.raises(ValueError, match=r"(end does not apply to|pattern applies to)"):
            TokenizerSpec.model_validate(value)
    (tmp_path / "t.json").write_text('{"model": {}}')
    with pytest.raises(InputError, match="pattern applies to tiktoken's ranks only"):
        keep_tokenizer(TokenizerSpec(file=str(tmp_path / "t.json"), pattern="x"), tmp_path / "kept", iter(()))


def built(tmp_path: Path, source: str, content: bytes, end: int) -> Manifest:
    (tmp_path / source).write_bytes(content)
    spec = {
        "name": "x", "sources": [str(tmp_path / source)], "held_out": "20%",
        "tokenizer": {"file": str(tmp_path / "own.tiktoken"), "end": end},
    }  # fmt: skip
    return build(BuildSpec.model_validate(spec), tmp_path / "out", 1, lambda _: None)


def test_a_build_takes_the_end_that_its_ids_have(tmp_path: Path) -> None:
    (tmp_path / "own.tiktoken").write_bytes(content(SMALL))
    random = np.random.default_rng(0)
    ids = np.concatenate([[*random.integers(0, 260, 40), 261] for _ in range(60)]).astype("<u2")
    manifest = built(tmp_path, "a.bin", ids.tobytes(), 261)
    assert (manifest.documents, manifest.tokenizer.vocab, manifest.tokenizer.end) == (60, 262, 261)


def test_a_build_of_text_takes_no_end_that_the_tokenizer_has_not(tmp_path: Path) -> None:
    (tmp_path / "own.tiktoken").write_bytes(content(SMALL))
    lines = b"".join(json.dumps({"text": f"the fox {i}"}).encode() + b"\n" for i in range(60))
    with pytest.raises(InputError, match="end 9999 is no id of it"):
        built(tmp_path, "a.jsonl", lines, 9999)
    manifest = built(tmp_path, "a.jsonl", lines, 261)
    assert (manifest.documents, manifest.tokenizer.end, manifest.warnings) == (60, 261, ())
    assert open_tokenizer(manifest.tokenizer, tmp_path / "out" / TOKENIZER) is not None


def test_a_number_is_an_id_and_a_text_is_a_token(tmp_path: Path) -> None:
    library = pytest.importorskip("tokenizers", reason=NEEDS)
    tokenizer = library.Tokenizer(library.models.WordLevel({"<unk>": 0, "7": 1, "a": 2, "<eos>": 3}, unk_token="<unk>"))
    path = tmp_path / "words.json"
    tokenizer.save(str(path))
    found = {
        end: keep_tokenizer(TokenizerSpec(file=str(path), end=end), tmp_path / "kept", iter(())).end
        for end in (3, "7", "3", None)
    }
    assert found == {3: 3, "7": 1, "3": 3, None: 3}
    with pytest.raises(InputError, match="has no token 7"):
        keep_tokenizer(TokenizerSpec(file=str(path), end=7), tmp_path / "kept", iter(()))
