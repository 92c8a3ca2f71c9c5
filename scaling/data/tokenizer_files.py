"""Tokenizers from their files, or trained here; each is stored as one file with the tokens that it made."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from scaling.data.formats.recognise import is_text
from scaling.data.ranks import are_ranks, end_of, family_of, read_ranks
from scaling.data.spec import TokenizerSpec
from scaling.data.tokenizer import BYTES, Tokenizer
from scaling.data.tokenizer_kinds import (
    HuggingFace,
    SentencePiece,
    Tiktoken,
    TokenizerRecord,
    imported,
    open_huggingface,
    open_sentencepiece,
)
from scaling.errors import InputError
from scaling.files import GIT_LFS, write_bytes

_IN_FOLDER = ("tokenizer.json", "tokenizer.model", "*.tiktoken", "*.model")
_SETTINGS = "tokenizer_config.json"
_ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "<end_of_text>")
_GIVE = "in a data file, give tokenizer: {file: ..., end: TOKEN}"


def keep_tokenizer(spec: TokenizerSpec, folder: Path, text: Iterator[bytes]) -> TokenizerRecord:
    """Copies a tokenizer's file into a folder, or trains one on ``text`` where none is given.

    Raises:
        InputError: no such file or none of a tokenizer, no end of documents in it, or a library that is missing.
    """
    if spec.name is not None:
        return TokenizerRecord(kind="bytes", name=BYTES.name, vocab=BYTES.vocab, end=BYTES.end, hash=BYTES.hash)
    if spec.ids is not None:
        end, digest = int(spec.end or 0), hashlib.sha256(f"ids vocab={spec.ids} end={spec.end}".encode()).hexdigest()
        if not 0 <= end < spec.ids:
            raise InputError(f"tokenizer: end {end} is beyond the {spec.ids} ids of the vocabulary")
        return TokenizerRecord(kind="ids", name=f"ids{spec.ids}", vocab=spec.ids, end=end, hash=digest)
    if spec.bpe is not None:
        name, content, stem, beside = "tokenizer.json", _trained(spec.bpe, text), "bpe", None
    else:
        path = find_tokenizer(spec.file or "")
        try:
            content = path.read_bytes()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"tokenizer {path}: cannot be read: {reason}") from None
        name, stem = path.name, path.stem if path.stem != "tokenizer" else path.absolute().parent.name
        beside = _end_beside(path)
    kind, content = _kind(content, name), encodes_all(content)[0]
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / name, content)
    vocab, end, pattern = _ids_of_file(kind, folder / name, content, spec, beside)
    return TokenizerRecord.model_validate(
        {
            "kind": kind,
            "name": f"{stem}{vocab}",
            "vocab": vocab,
            "end": end,
            "hash": _digest(content, kind, vocab, end, pattern),
            "file": name,
            "pattern": pattern,
        }
    )


def find_tokenizer(file: str) -> Path:
    """The file of a tokenizer: itself, or the one in a folder such as Hugging Face's.

    Raises:
        InputError: nothing is there, or the folder has no tokenizer, or several.
    """
    if not file.strip():
        raise InputError("tokenizer: the name of its file is empty")
    path = Path(file).expanduser()
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except (OSError, ValueError) as error:  # of a name that is too long, or has a NUL
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"tokenizer {path}: cannot be read: {reason}") from None
    if not is_there:
        kinds = "bytes, bpe:8k, or the path of a tokenizer.json, .tiktoken or .model, or of a folder with one"
        raise InputError(f"tokenizer {path}: no such file; give {kinds}")
    if not is_folder:
        return path
    for pattern in _IN_FOLDER:
        found = sorted(path.glob(pattern))
        if len(found) > 1:
            raise InputError(f"tokenizer {path}: the folder has {found[0].name} and {found[1].name}; name one")
        if found:
            return found[0]
    raise InputError(f"tokenizer {path}: the folder has no {', no '.join(_IN_FOLDER)}")


def _end_beside(path: Path) -> str | None:
    """The token that closes a text by the settings of transformers beside a tokenizer's file, if they name one."""
    try:
        token = json.loads(path.with_name(_SETTINGS).read_bytes())["eos_token"]
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return None
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else None


def ids_of(spec: TokenizerSpec) -> tuple[int, int]:
    """Number of ids, and the one that closes documents, of a tokenizer that is not trained here.

    Raises:
        InputError: as ``keep_tokenizer``.
    """
    with TemporaryDirectory() as folder:
        record = keep_tokenizer(spec, Path(folder), iter(()))
    return record.vocab, record.end


def _ids_of_file(
    kind: str, path: Path, content: bytes, spec: TokenizerSpec, beside: str | None
) -> tuple[int, int, str | None]:
    """Number of ids, the one that closes documents, and how tiktoken splits text."""
    if kind == "tiktoken":
        ranks = read_ranks(content, path.name)
        return *end_of(ranks, spec.end, path.name), spec.pattern or family_of(ranks).pattern
    if spec.pattern is not None:
        raise InputError(f"tokenizer {path.name}: pattern applies to tiktoken's ranks only")
    found = _of_huggingface(path, spec.end, beside) if kind == "huggingface" else _of_sentencepiece(path, spec.end)
    return *found, None


def _kind(content: bytes, name: str) -> str:
    """What a tokenizer's file is, by its content; by its name where the content is of no kind."""
    if content.startswith(GIT_LFS):
        raise InputError(f"tokenizer {name}: a pointer of Git LFS, not the file: run git lfs pull")
    if content.lstrip()[:1] == b"{":
        return "huggingface"
    if are_ranks(content):
        return "tiktoken"
    if content[:1] == b"\n" and not is_text(content[:1000]):  # the first field of a SentencePiece model: its pieces
        return "sentencepiece"
    for suffix, kind in ((".json", "huggingface"), (".tiktoken", "tiktoken"), (".model", "sentencepiece")):
        if name.endswith(suffix):
            return kind  # whose reader says what is wrong with it
    raise InputError(f"tokenizer {name}: not a file of a known kind: tokenizer.json, .tiktoken or .model")


def encodes_all(content: bytes) -> tuple[bytes, list[str]]:
    """A ``tokenizer.json`` without what cuts, fills or varies the ids of a text, and the names of what it had.

    Any other content is returned as it is.
    """
    try:
        settings = json.loads(content) if content.lstrip()[:1] == b"{" else None
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        return content, []
    model = settings.get("model")
    holders = {"truncation": settings, "padding": settings, "dropout": model if isinstance(model, dict) else {}}
    found = [name for name, holder in holders.items() if holder.get(name)]
    for name in found:
        holders[name][name] = None
    return (json.dumps(settings, ensure_ascii=False).encode() if found else content), found


def open_tokenizer(record: TokenizerRecord, folder: Path) -> Tokenizer | None:
    """Opens the tokenizer of a record; None for ids that came without one.

    Raises:
        InputError: its file is missing, or is not the one that made the tokens.
    """
    if record.kind == "bytes":
        return BYTES
    if record.file is None:
        return None
    path = folder / record.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the tokenizer cannot be read: {error.strerror}") from None
    if _digest(content, record.kind, record.vocab, record.end, record.pattern) != record.hash:
        raise InputError(f"{path}: not the tokenizer that made the tokens beside it: its hash is not the manifest's")
    if record.kind == "huggingface":
        return HuggingFace(record, path)
    return Tiktoken(record, path) if record.kind == "tiktoken" else SentencePiece(record, path)


def _digest(content: bytes, kind: str, vocab: int, end: int, pattern: str | None) -> str:
    rest = f"\n{kind} vocab={vocab} end={end} pattern={pattern}"
    return hashlib.sha256(content + rest.encode()).hexdigest()


def _of_huggingface(path: Path, end: str | int | None, beside: str | None) -> tuple[int, int]:
    """Number of ids of a ``tokenizer.json``, and the id that closes documents; ``beside`` is tried last."""
    known = open_huggingface(path).get_vocab(with_added_tokens=True)
    vocab = max(known.values(), default=-1) + 1
    if vocab >= 2**31:
        raise InputError(f"tokenizer {path.name}: id {vocab - 1} is out of range")
    if isinstance(end, int):
        found = [end] if end in known.values() else []
    else:
        names = (*_ENDS, *filter(None, [beside])) if end is None else (end,)
        found = [known[name] for name in names if name in known]
        if not found and str(end).isdecimal():
            found = [int(str(end))] if int(str(end)) in known.values() else []
    if not found:
        missing = f"has no token {end!r}" if end is not None else f"has none of {', '.join(_ENDS)}; {_GIVE}"
        raise InputError(f"tokenizer {path.name}: {missing}")
    return vocab, found[0]


def _of_sentencepiece(path: Path, end: str | int | None) -> tuple[int, int]:
    model = open_sentencepiece(path)
    vocab = model.get_piece_size()
    found = model.eos_id() if end is None else int(end) if str(end).isdecimal() else model.piece_to_id(str(end))
    if not 0 <= found < vocab or (end is not None and found == model.unk_id()):
        missing = f"has no token {end!r}" if end is not None else f"it has no end of text; {_GIVE}"
        raise InputError(f"tokenizer {path.name}: {missing}")
    return vocab, found


def _trained(vocab: int, text: Iterator[bytes]) -> bytes:
    """Trains byte-level BPE with GPT-2's splitting, which is lossless; returns a tokenizer.json."""
    library = imported("tokenizers")
    tokenizer = library.Tokenizer(library.models.BPE())
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=vocab,
        show_progress=False,
        special_tokens=[_ENDS[0]],
        initial_alphabet=sorted(library.pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator((document.decode() for document in text), trainer)
    if tokenizer.get_vocab_size() < vocab:
        found = tokenizer.get_vocab_size()
        raise InputError(f"tokenizer: bpe: the text has only enough for {found} entries, not {vocab}")
    return str(tokenizer.to_str(pretty=False)).encode()
