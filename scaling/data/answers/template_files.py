"""Chat templates by name, and those of tokenizers' folders."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling.data.answers.formats.jinja import BUILT_IN, NEEDS
from scaling.data.answers.templates import ChatTemplate, PlainTemplate, Template
from scaling.data.tokenizer import BYTES, Tokenizer
from scaling.errors import InputError

CONFIG, JINJA = "tokenizer_config.json", "chat_template.jinja"
_BEGINNINGS = ("<|begin_of_text|>", "<s>", "<bos>")
_CHOICES = f"{', '.join(sorted(BUILT_IN))}, plain, or a file of Jinja"


def find_template(name: str | None, tokenizer: Tokenizer, beside: Path | None, text: bool) -> Template:
    """The template that rows are written by.

    Args:
        name: of a template of ours, or the path of a file or folder; None for the tokenizer's own, for ``bytes`` where
            every byte is a token, and for ``plain`` where rows are text.
        tokenizer: of the model.
        beside: the folder that the tokenizer is from, if there is one.
        text: whether the rows are prompts and answers of text, rather than messages.

    Raises:
        InputError: there is none, or it is not one.
    """
    if name is None and tokenizer.hash == BYTES.hash:
        name = "bytes"
    if name == "plain" and not text:
        raise InputError("`template`: plain is for prompts and answers of text, and these are messages")
    if name == "plain" or (name is None and text):
        return PlainTemplate(tokenizer, _tokens(tokenizer, beside))
    if name is None:
        source = None if beside is None else read_template(beside)
        if source is None:
            where = tokenizer.name if beside is None else str(beside)
            raise InputError(f"`template`: the tokenizer {where} has none for messages; give {_CHOICES}")
        return ChatTemplate(str(beside), source, tokenizer, _tokens(tokenizer, beside))
    if name in BUILT_IN:
        if missing := [token for token in NEEDS[name] if token not in tokenizer.controls]:
            raise InputError(f"`template`: {name} writes {missing[0]!r}, and the tokenizer {tokenizer.name} has it not")
        return ChatTemplate(name, BUILT_IN[name], tokenizer, _tokens(tokenizer, beside))
    path = Path(name).expanduser()
    source = read_template(path)
    if source is None:
        raise InputError(f"`template`: {name}: no such template or file; give {_CHOICES}")
    return ChatTemplate(name, source, tokenizer, _tokens(tokenizer, path, beside))


def read_template(path: Path) -> str | None:
    """The template of a folder, of a ``tokenizer_config.json``, or that a file is; None if there is none."""
    if path.is_dir():
        return read_template(path / JINJA) if (path / JINJA).exists() else read_template(path / CONFIG)
    if path.suffix == ".json":
        found = _settings(path).get("chat_template")
        if isinstance(found, list):  # several by name
            found = next((each["template"] for each in found if each.get("name") == "default"), None)
        return found if isinstance(found, str) else None
    try:
        return path.read_bytes().decode() if path.is_file() else None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"template {path}: cannot be read: {error}") from None


def _settings(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes()) if path.is_file() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {' '.join(str(error).split())}") from None
    return found if isinstance(found, dict) else {}


def _tokens(tokenizer: Tokenizer, *places: Path | None) -> Mapping[str, str]:
    """``bos_token``, ``eos_token`` and others by name: of the first settings that name them, else by what is known."""
    found: dict[str, str] = {}
    for place in places:
        if place is not None:
            file = place / CONFIG if place.is_dir() else place.with_name(CONFIG)
            for name, value in _settings(file).items():
                text = value.get("content") if isinstance(value, dict) else value
                if name.endswith("_token") and isinstance(text, str):
                    found.setdefault(name, text)
    named = {id: name for name, id in tokenizer.controls.items()}
    if tokenizer.end in named:
        found.setdefault("eos_token", named[tokenizer.end])
    begin = next((name for name in _BEGINNINGS if name in tokenizer.controls), None)
    return found if begin is None else {"bos_token": begin, **found}
