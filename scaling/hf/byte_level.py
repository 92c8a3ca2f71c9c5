"""Byte-level BPE as a tokenizer.json: our bytes, and the ranks of a .tiktoken file."""

from collections.abc import Mapping
from typing import Any

from scaling.data.tokenizer import BYTES

END = "<|endoftext|>"


def of_bytes() -> dict[str, Any]:
    """A tokenizer.json in which every byte is a token with its own number; NUL, which no text has, ends a document."""
    vocab = {END if byte == BYTES.end else letter: byte for byte, letter in enumerate(_letters())}
    return _tokenizer({"type": "BPE", "vocab": vocab, "merges": []}, {END: BYTES.end}, _level())


def of_ranks(ranks: Mapping[bytes, int], pattern: str, special: Mapping[str, int]) -> dict[str, Any]:
    """A tokenizer.json that merges as tiktoken does: always the pair whose bytes together have the lowest rank.

    Args:
        ranks: of every token.
        pattern: the regular expression that splits text first.
        special: id of each special token; none has a rank.
    """
    letters = _letters()

    def spelled(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    merges = [
        [spelled(token[:cut]), spelled(token[cut:])]
        for token, _ in sorted(ranks.items(), key=lambda entry: entry[1])
        for cut in range(1, len(token))
        if token[:cut] in ranks and token[cut:] in ranks
    ]
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    first = {"type": "Sequence", "pretokenizers": [split, _level()]}
    vocab = {spelled(token): rank for token, rank in ranks.items()} | dict(special)
    # A piece that is a token as a whole is that token, whatever the merges would make of it.
    return _tokenizer({"type": "BPE", "vocab": vocab, "merges": merges, "ignore_merges": True}, special, first)


def _letters() -> list[str]:
    """How byte-level BPE writes each byte: those that print as themselves, the others as letters from U+0100 on."""
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = iter(range(0x100, 0x200))
    return [chr(byte) if byte in shown else chr(next(hidden)) for byte in range(256)]


def _level() -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}


def _tokenizer(model: dict[str, Any], special: Mapping[str, int], first: dict[str, Any]) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": id, "content": token, **flags} for token, id in sorted(special.items(), key=lambda entry: entry[1])
        ],
        "normalizer": None,
        "pre_tokenizer": first,
        "post_processor": None,
        "decoder": _level(),
        "model": model,
    }
