"""tiktoken's ranks as a tokenizer.json: the same ids on text of all kinds, and the special tokens of their family."""

import base64
import json
import random
from pathlib import Path
from typing import Any

import pytest

from scaling.data.ranks import CL100K, GPT2, O200K, QWEN, special_tokens
from scaling.data.spec import TokenizerSpec
from scaling.data.tokenizer_files import keep_tokenizer, open_tokenizer
from scaling.data.tokenizer_kinds import TokenizerRecord
from scaling.hf.byte_level import _letters, of_ranks

NEEDS = 'needs pip install -e ".[tokenizers]"'
tk = pytest.importorskip("tokenizers", reason=NEEDS)
tiktoken = pytest.importorskip("tiktoken", reason=NEEDS)
# Contractions and their look-alikes, numbers of many scripts, white space, marks that combine, emoji, no characters.
PIECES = [
    "don't", "DON'T", "I'Ll", "'S", "'\u017f", "\u212a's", "\u0130", "\u00df", "HTTPServer", "cD", "12345", "1",
    "\u0663\u0664\u0665", "\u2167", "\u00bd", "\U0001d7ce", " ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u2003", "\u3000",
    "\x85", "\u200b", "\ufeff", "\u2028", "\x1c", "\x0b", "\u00e9", "e\u0301", "\u6771\u4eac", "\U0001f642", "\ufb01",
    "\U0001f468\u200d\U0001f469", "_", "--", "...", "/", "//\n", "\u01c5", "\u02b0", "\u0b95\u0bbe", "\U00016b50",
    "<|x|>",
]  # fmt: skip


def texts(count: int) -> list[str]:
    rng = random.Random(0)
    mixed = ["".join(rng.choice(PIECES) for _ in range(rng.randint(1, 12))) for _ in range(count)]
    return [
        *mixed,
        *(f"Page {i}: don't stop, the quick fox naps on {i * 7}.\n\n  Then it's {i}%.\n" for i in range(60)),
    ]


def trained(pattern: str) -> dict[bytes, int]:
    """Ranks of byte-level BPE under a rule of splitting, as tiktoken's were made."""
    tokenizer, pre = tk.Tokenizer(tk.models.BPE()), tk.pre_tokenizers
    split = pre.Split(tk.Regex(pattern), "isolated")
    tokenizer.pre_tokenizer = pre.Sequence([split, pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    alphabet = sorted(pre.ByteLevel.alphabet())
    trainer = tk.trainers.BpeTrainer(vocab_size=900, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts(2000), trainer)
    bytes_of = {letter: byte for byte, letter in enumerate(_letters())}
    return {bytes(bytes_of[letter] for letter in token): rank for token, rank in tokenizer.get_vocab().items()}


@pytest.mark.parametrize("pattern", [GPT2, CL100K, O200K, QWEN], ids=["gpt2", "cl100k", "o200k", "qwen"])
def test_the_same_ids_under_every_rule_of_splitting(pattern: str) -> None:
    ranks = trained(pattern)
    special = {"<|begin|>": len(ranks) + 3, "<|end|>": len(ranks) + 9}
    ours = tiktoken.Encoding("own", pat_str=pattern, mergeable_ranks=ranks, special_tokens=special)
    theirs = tk.Tokenizer.from_str(json.dumps(of_ranks(ranks, pattern, special)))
    for text in texts(3000):
        ids = theirs.encode(text, add_special_tokens=False).ids
        assert ids == ours.encode_ordinary(text)
        assert theirs.decode(ids) == text
    assert {token: theirs.token_to_id(token) for token in special} == special
    assert theirs.encode("a<|end|>").ids[-1] == len(ranks) + 9


def llama3() -> dict[bytes, int]:
    """As many ranks as Llama 3's: all bytes, all pairs of them, and words of three."""
    pairs = [bytes([one, two]) for one in range(256) for two in range(256)]
    tokens = [*(bytes([byte]) for byte in range(256)), *pairs]
    tokens += [pair + b"e" for pair in pairs[: 128_000 - len(tokens)]]
    return {token: rank for rank, token in enumerate(tokens)}


@pytest.mark.slow
def test_llama_3_as_meta_ships_it(tmp_path: Path) -> None:
    ranks, path = llama3(), tmp_path / "llama3/tokenizer.model"
    path.parent.mkdir()
    path.write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items()))
    record = keep_tokenizer(TokenizerSpec(file=str(path)), tmp_path / "kept", iter(()))
    assert record == TokenizerRecord(
        kind="tiktoken", name="llama3128256", vocab=128256, end=128001, hash=record.hash, file="tokenizer.model",
        pattern=CL100K,
    )  # fmt: skip
    ours = open_tokenizer(record, tmp_path / "kept")
    assert ours is not None
    made: dict[str, Any] = of_ranks(ranks, CL100K, special_tokens(ranks, record.end))
    theirs = tk.Tokenizer.from_str(json.dumps(made))
    for text in texts(500):
        assert theirs.encode(text, add_special_tokens=False).ids == ours.encode(text.encode()).tolist()
    assert theirs.token_to_id("<|begin_of_text|>") == 128000
    assert theirs.token_to_id("<|end_of_text|>") == 128001
