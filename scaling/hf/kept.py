"""Files of a Hugging Face folder that are kept as they are."""

import shutil
from pathlib import Path

from scaling.hf.special_ids import GENERATION
from scaling.hf.tokenizer import FILE, SETTINGS

# Of an imported model: its shape and its special ids, as JSON.
MODEL = "model.json"
# Tokenizers, each by itself.
_TOKENIZERS = (FILE, "tokenizer.model", "vocab.json")
_KEPT = (
    *_TOKENIZERS,
    SETTINGS,
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    GENERATION,
)


def copy_kept(place: Path, folder: Path) -> None:
    """Copies the files of the tokenizer, its chat template, and how to generate, those that are there."""
    for name in _KEPT:
        if (place / name).is_file():
            shutil.copyfile(place / name, folder / name)


def without_tokenizer(folder: Path, place: Path) -> str | None:
    """Why a folder has no tokenizer, which ``place`` should have given; None if it has one."""
    return None if any((folder / name).exists() for name in _TOKENIZERS) else f"{place} has no {FILE}"
