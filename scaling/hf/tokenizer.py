"""The tokenizer that made a run's tokens, as files that transformers' AutoTokenizer reads."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from scaling.data.corpus import CorpusSpec
from scaling.data.ranks import read_ranks, special_tokens
from scaling.data.shards import TOKENIZER, Manifest, is_built, map_ids, read_lengths, read_manifest
from scaling.data.tokenizer import BYTES, Tokenizer
from scaling.data.tokenizer_files import encodes_all, open_tokenizer
from scaling.data.tokenizer_kinds import TokenizerRecord, imported
from scaling.errors import InputError
from scaling.files import write_bytes, write_text
from scaling.hf.byte_level import END, of_bytes, of_ranks
from scaling.hf.sentence_pieces import NotConverted, of_model
from scaling.train.config import DataConfig

FILE, SETTINGS = "tokenizer.json", "tokenizer_config.json"
# What tokenizers disagree on most: spaces, line ends, digits, apostrophes, accents, other scripts.
_HARD = (
    "  Two  spaces, don't DON'T\n\n\ttab\r\n 12345 3.14 "
    "na\u00efve nai\u0308ve \u201cquoted\u201d \u6771\u4eac \U0001f642 \u00a0\ufb01 end  "
)
_SAMPLE = 100_000
# Besides the tokenizers library.
_LIBRARIES = {"tiktoken": ("tiktoken",), "sentencepiece": ("sentencepiece", "google.protobuf")}


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
        write_text(folder / FILE, json.dumps(of_bytes(), ensure_ascii=False))
        _write_settings(folder, END, context)
        return BYTES.end, None
    built = Path(corpus.path or "").expanduser()
    if corpus.path is None or not is_built(built):
        raise InputError(f"{built}: the data with the run's tokenizer are not there")
    manifest = read_manifest(built)
    record, place = manifest.tokenizer, built / TOKENIZER
    if record.hash != data.tokenizer["hash"]:
        raise InputError(f"{built}: its tokenizer {record.name} is not the run's, {data.tokenizer['name']}")
    try:
        if record.kind in ("tiktoken", "sentencepiece"):
            _require("tokenizers", *_LIBRARIES[record.kind])
            tokenizer = open_tokenizer(record, place)
            assert tokenizer is not None
            content = _converted(record, place)
            _compare(content, tokenizer, _texts(built, manifest, tokenizer))
        elif record.kind == "huggingface":
            content = encodes_all((place / str(record.file)).read_bytes())[0]
        else:
            raise NotConverted("only its ids are known")
    except NotConverted as error:
        return record.end, f"the tokenizer {record.name} is not converted: {error}"
    write_bytes(folder / FILE, content)
    _write_settings(folder, _token(json.loads(content), record.end), context)
    return record.end, None


def _require(*libraries: str) -> None:
    """Raises NotConverted where a library is not installed, as a run's parameters can be exported without it."""
    for library in libraries:
        try:
            imported(library)
        except InputError as error:
            raise NotConverted(str(error)) from None


def _converted(record: TokenizerRecord, place: Path) -> bytes:
    path = place / str(record.file)
    if record.kind == "tiktoken":
        ranks = read_ranks(path.read_bytes(), path.name)
        made = of_ranks(ranks, str(record.pattern), special_tokens(ranks, record.end))
    else:
        made = of_model(path.read_bytes())
    return json.dumps(made, ensure_ascii=False).encode()


def _compare(content: bytes, ours: Tokenizer, texts: Iterable[str]) -> None:
    """Raises NotConverted where a tokenizer.json gives other ids than the tokenizer it was converted from."""
    library = imported("tokenizers")
    try:
        theirs = library.Tokenizer.from_str(content.decode())
    except Exception as error:  # the library raises plain Exceptions
        raise NotConverted(f"the tokenizers library refuses it: {error}") from None
    theirs.encode_special_tokens = True
    for text in texts:
        if theirs.encode(text, add_special_tokens=False).ids != ours.encode(text.encode()).tolist():
            raise NotConverted(f"a tokenizer.json would give other ids, as of {text[:40]!r}")


def _texts(built: Path, manifest: Manifest, tokenizer: Tokenizer) -> Iterator[str]:
    """Held-out documents to compare tokenizers on."""
    yield _HARD
    left = _SAMPLE
    for shard in manifest.of("held_out"):
        ids, end = map_ids(built, shard, manifest.dtype), 0
        for length in read_lengths(built, shard):
            begin, end = end, end + int(length)
            yield tokenizer.decode(ids[begin : min(end - 1, begin + left)])
            left -= end - begin
            if left <= 0:
                return


def _write_settings(folder: Path, end: str, context: int) -> None:
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": end,
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
    }
    write_text(folder / SETTINGS, json.dumps(settings, indent=1))


def _token(tokenizer: dict[str, Any], id: int) -> str:
    """The text of a token by its id in a tokenizer.json."""
    added = {entry["id"]: entry["content"] for entry in tokenizer.get("added_tokens") or ()}
    if id in added:
        return str(added[id])
    vocab = tokenizer["model"]["vocab"]
    if isinstance(vocab, dict):
        return next(token for token, number in vocab.items() if number == id)
    return str(vocab[id][0])  # a unigram model's is a list
