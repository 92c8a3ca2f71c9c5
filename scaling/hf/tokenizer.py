"""The tokenizer that made a run's tokens, as files that transformers' AutoTokenizer reads."""

import json
from pathlib import Path
from typing import Any

from scaling.data.corpus import CorpusSpec
from scaling.data.shards import TOKENIZER, is_built, read_manifest
from scaling.data.tokenizer import BYTES
from scaling.errors import InputError
from scaling.files import write_bytes, write_text
from scaling.train.config import DataConfig

FILE, SETTINGS = "tokenizer.json", "tokenizer_config.json"
_END = "<|endoftext|>"


def write_tokenizer(data: DataConfig, context: int, folder: Path) -> tuple[int | None, str | None]:
    """Writes the tokenizer of a run's text into a folder.

    Args:
        data: of the run.
        context: its tokens at most.
        folder: exists.

    Returns:
        The id that closes a document, and why no tokenizer was written, if none was.

    Raises:
        InputError: the data that it belongs to are gone, or no longer those of the run.
    """
    corpus = CorpusSpec.model_validate(data.corpus)
    if data.tokenizer["hash"] == BYTES.hash:
        write_text(folder / FILE, json.dumps(_of_bytes(), ensure_ascii=False))
        _write_settings(folder, _END, context)
        return BYTES.end, None
    built = Path(corpus.path or "").expanduser()
    if corpus.path is None or not is_built(built):
        raise InputError(f"{built}: the data with the run's tokenizer are not there")
    record = read_manifest(built).tokenizer
    if record.hash != data.tokenizer["hash"]:
        raise InputError(f"{built}: its tokenizer {record.name} is not the run's, {data.tokenizer['name']}")
    if record.kind != "huggingface" or record.file is None:
        return record.end, f"the tokenizer {record.name} is of the kind {record.kind}, which is not converted"
    content = (built / TOKENIZER / record.file).read_bytes()
    write_bytes(folder / FILE, content)
    _write_settings(folder, _token(json.loads(content), record.end), context)
    return record.end, None


def _write_settings(folder: Path, end: str, context: int) -> None:
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": end,
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
    }
    write_text(folder / SETTINGS, json.dumps(settings, indent=1))


def _token(tokenizer: dict[str, Any], id: int) -> str:
    """A token by its id in a tokenizer.json."""
    added = {entry["id"]: entry["content"] for entry in tokenizer.get("added_tokens") or ()}
    if id in added:
        return str(added[id])
    vocab = tokenizer["model"]["vocab"]
    if isinstance(vocab, dict):
        return next(token for token, number in vocab.items() if number == id)
    return str(vocab[id][0])  # a unigram model's is a list


def _of_bytes() -> dict[str, Any]:
    """A tokenizer.json in which every byte is a token with its own number; NUL, which no text has, closes a document.

    It is a byte-level BPE without merges. That writes a byte as a letter: those that print as themselves, the others
    as the letters from U+0100 on, in order.
    """
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = iter(range(0x100, 0x200))
    vocab = {chr(byte) if byte in shown else chr(next(hidden)): byte for byte in range(256)}
    vocab = {_END if byte == BYTES.end else letter: byte for letter, byte in vocab.items()}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": BYTES.end, "content": _END, **flags}],
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    }
