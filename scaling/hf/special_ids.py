"""Ids of a Hugging Face folder's tokens: those that begin and end a text, and those that have no embedding."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from scaling.data.ranks import are_ranks, read_ranks
from scaling.data.tokenizer_kinds import open_sentencepiece
from scaling.errors import InputError
from scaling.hf.tensors import read_json

GENERATION = "generation_config.json"
TOKENIZER, MODEL = "tokenizer.json", "tokenizer.model"
BEGIN, END, PADDING = "bos_token_id", "eos_token_id", "pad_token_id"


FolderCode = Literal["no-tokenizer", "id-beyond-embedding", "tokenizer-beyond-embedding", "unread-weights"]


class Warned(NamedTuple):
    """What is odd about a folder that was read all the same.

    Attributes:
        code: what a program reads.
        message: what people read.
    """

    code: FolderCode
    message: str


def special_ids(config: Mapping[str, Any], where: Path) -> dict[str, int | list[int] | None]:
    """The fields of a config on special tokens, those that it has, as it has them.

    A field that is missing stays so: each architecture has a default of its own for it.

    Args:
        config: the content of ``config.json`` or ``generation_config.json``.
        where: the file, for messages.

    Raises:
        InputError: a line for each that is no id; Llama 3.1 and later end a text with any of several.
    """
    found = {name: config[name] for name in (BEGIN, END, PADDING) if name in config}
    violations = [
        f"{where}: {name} is {value!r}; it must be an id{' or a list of ids' if name == END else ''}"
        for name, value in found.items()
        if not (value is None or _is_id(value) or (name == END and _are_ids(value)))
    ]
    if violations:
        raise InputError(violations)
    return found


def beyond_the_embedding(folder: Path, config: Mapping[str, Any], rows: int) -> list[Warned]:
    """Warnings on special ids, and on ids of the tokenizer, for which the embedding has no row.

    Args:
        folder: Hugging Face's.
        config: the content of its ``config.json``.
        rows: of the embedding.

    Raises:
        InputError: one of its files is not JSON, or has a special id that is none.
    """
    configs = {folder / "config.json": config}
    if (folder / GENERATION).is_file():
        configs[folder / GENERATION] = read_json(folder / GENERATION)
    warned = []
    for file, content in configs.items():
        for name, value in special_ids(content, file).items():
            given = value if isinstance(value, list) else [] if value is None else [value]
            if high := [str(i) for i in given if i >= rows]:
                line = f"{name} {', '.join(high)} is beyond the embedding's {rows} rows"
                warned.append(Warned("id-beyond-embedding", f"{file}: {line}"))
    for name, ids in _tokenizers(folder):
        if beyond := sorted({i for i in ids if i >= rows}):
            span = f"{beyond[0]}" if len(beyond) == 1 else f"{beyond[0]} to {beyond[-1]}"
            line = f"{len(beyond)} of its {len(ids)} ids ({span}) are beyond the embedding's {rows} rows"
            warned.append(Warned("tokenizer-beyond-embedding", f"{folder / name}: {line}"))
    return warned


def _tokenizers(folder: Path) -> Iterator[tuple[str, set[int]]]:
    """The tokenizer's files that list ids, each with those that no file before it lists."""
    seen: set[int] = set()
    for name, ids_of in _LISTINGS.items():
        if (folder / name).is_file():
            ids = {i for i in ids_of(read_json(folder / name)) if _is_id(i)}
            yield name, ids - seen
            seen |= ids
    if (folder / MODEL).is_file():
        yield MODEL, set(_of_model(folder / MODEL)) - seen


def _of_tokenizer(content: Mapping[str, Any]) -> Iterator[Any]:
    model, added = content.get("model"), content.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, dict):
        yield from vocabulary.values()
    elif isinstance(vocabulary, list):  # of a unigram model: pieces and scores, in the order of their ids
        yield from range(len(vocabulary))
    if isinstance(added, list):
        yield from (token.get("id") for token in added if isinstance(token, dict))


def _of_settings(content: Mapping[str, Any]) -> Iterator[Any]:
    added = content.get("added_tokens_decoder")
    yield from (int(i) for i in added if i.isdecimal()) if isinstance(added, dict) else ()


def _of_model(path: Path) -> Iterator[int]:
    """The ids of tiktoken's ranks or of a SentencePiece model; none of what cannot be read, which is kept as it is."""
    content = path.read_bytes()
    try:
        if are_ranks(content):
            yield from read_ranks(content, path.name).values()
        else:
            yield from range(open_sentencepiece(path).get_piece_size())
    except InputError:  # the library may be missing too
        return


_LISTINGS = {
    TOKENIZER: _of_tokenizer,
    "tokenizer_config.json": _of_settings,
    "added_tokens.json": lambda content: iter(content.values()),
    "vocab.json": lambda content: iter(content.values()),
}


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_id, value))
