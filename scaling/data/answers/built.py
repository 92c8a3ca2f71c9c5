"""A folder of examples or preferences as ids, which the model's tokenizer and a template have made."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from scaling.data.answers.rows import Example, ExampleSet, Ids, Pair, PairSet, PromptSet
from scaling.data.answers.spec import AnswersSpec
from scaling.data.answers.splits import Gathered
from scaling.data.formats.tables import open_parquet
from scaling.data.shards import SPLITS
from scaling.data.tokenizer import Tokenizer
from scaling.data.tokenizer_kinds import TokenizerRecord
from scaling.errors import InputError
from scaling.files import write_text

MANIFEST = "answers.json"
Kind = Literal["examples", "preferences"]


class AnswersManifest(BaseModel):
    """What is in a folder of examples or preferences.

    Attributes:
        format: of the folder.
        kind: of the rows.
        source: the spec that was read.
        tokenizer: that made the ids.
        template: its name.
        template_sha256: of all that decides the ids besides the tokenizer.
        end: the id that ends an answer.
        seq_len: tokens that a row has at most; None for no limit.
        rows: by side, ``train`` and ``held_out``.
        answer_tokens: that a loss counts, by side.
        dropped: rows that were left out, by reason.
        sha256: of the rows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["scaling-answers-1"] = "scaling-answers-1"
    kind: Kind
    source: dict[str, Any]
    tokenizer: TokenizerRecord
    template: str
    template_sha256: str
    end: int
    seq_len: int | None
    rows: dict[str, int]
    answer_tokens: dict[str, int]
    dropped: dict[str, int]
    sha256: str


def has_answers(folder: Path) -> bool:
    """Whether ``write_answers`` has filled a folder."""
    return (folder / MANIFEST).is_file()


def is_built(spec: AnswersSpec) -> bool:
    """Whether a spec's path is such a folder."""
    return spec.path is not None and has_answers(Path(spec.path).expanduser())


def write_answers(folder: Path, manifest: AnswersManifest, rows: ExampleSet | PairSet) -> None:
    """Writes both sides as Parquet, and the manifest last."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for split in SPLITS:
        columns: dict[str, Any]
        items = getattr(rows, split)
        if manifest.kind == "examples":
            columns = {"ids": [row.ids for row in items], "counted": [row.counted for row in items]}
        else:
            columns = {name: [getattr(row, name) for row in items] for name in ("prompt", "chosen", "rejected")}
            columns["rating"] = pa.array([row.rating for row in items], pa.float64())
            columns["safety"] = [row.safety for row in items]
        pq.write_table(pa.table(columns), folder / f"{split}.parquet", compression="zstd")
    write_text(folder / MANIFEST, manifest.model_dump_json(indent=1))


def read_examples(spec: AnswersSpec, tokenizer: Tokenizer, seq_len: int) -> ExampleSet:
    """The examples of a built folder.

    Raises:
        InputError: other rows, another tokenizer's, none that fit, options that do not apply, or damage.
    """
    manifest, folder = _opened(spec, tokenizer, ("examples",))
    gathered = Gathered[Example](spec.where, seq_len)
    for held_out, row in _rows(folder, ("ids", "counted")):
        example = Example(_ids(row["ids"]), np.array(row["counted"], bool))
        if gathered.fits(len(example.ids), int(np.argmax(example.counted))):
            gathered.add(example, held_out)
    kept = gathered.closed()
    dropped = _dropped(spec, manifest, kept.dropped, kept.sha256)
    return ExampleSet(kept.train, kept.held_out, dropped, kept.sha256, tokenizer, manifest.end)


def read_pairs(spec: AnswersSpec, tokenizer: Tokenizer, seq_len: int) -> PairSet:
    """The pairs of a built folder; as ``read_examples``."""
    manifest, folder = _opened(spec, tokenizer, ("preferences",))
    gathered = Gathered[Pair](spec.where, seq_len)
    for held_out, row in _rows(folder, ("prompt", "chosen", "rejected", "rating", "safety")):
        prompt, chosen, rejected = (_ids(row[name]) for name in ("prompt", "chosen", "rejected"))
        if gathered.fits(len(prompt) + max(len(chosen), len(rejected)), len(prompt)):
            rating = None if np.isnan(row["rating"]) else float(row["rating"])
            gathered.add(Pair(prompt, chosen, rejected, rating, bool(row["safety"])), held_out)
    kept = gathered.closed()
    dropped = _dropped(spec, manifest, kept.dropped, kept.sha256)
    return PairSet(kept.train, kept.held_out, dropped, kept.sha256, tokenizer, manifest.end)


def read_prompts(spec: AnswersSpec, tokenizer: Tokenizer, seq_len: int) -> PromptSet:
    """The prompts of a built folder, each once; of an example, all before its last answer."""
    manifest, folder = _opened(spec, tokenizer, ("examples", "preferences"))
    gathered = Gathered[Ids](spec.where, seq_len)
    prompt_of: Callable[[dict[str, Any]], Ids] = lambda row: _ids(row["prompt"])  # noqa: E731
    columns: tuple[str, ...] = ("prompt",)
    if manifest.kind == "examples":
        columns = ("ids", "counted")
        prompt_of = lambda row: _ids(row["ids"])[: int(np.flatnonzero(~np.array(row["counted"], bool))[-1]) + 1]  # noqa: E731
    for held_out, row in _rows(folder, columns):
        prompt = prompt_of(row)
        if gathered.fits(len(prompt) + 1, len(prompt)):
            gathered.add(prompt, held_out)
    kept = gathered.closed()
    return PromptSet(kept.train, kept.held_out, kept.dropped, kept.sha256, tokenizer, manifest.end)


def read_answers_manifest(folder: Path) -> AnswersManifest:
    """The manifest of a built folder; InputError if it is none."""
    try:
        return AnswersManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(f"{folder / MANIFEST}: not a manifest of answers: {str(error).splitlines()[0]}") from None


def row_texts(folder: Path, manifest: AnswersManifest, tokenizer: Tokenizer, count: int) -> Iterator[dict[str, str]]:
    """The first training rows as text, for people to read: of examples ``prompt`` and ``answer``, of pairs both."""
    names = ("ids", "counted") if manifest.kind == "examples" else ("prompt", "chosen", "rejected")
    for _, row in islice(_rows(folder, names), min(count, manifest.rows["train"])):
        if manifest.kind == "examples":
            ids, counted = _ids(row["ids"]), np.array(row["counted"], bool)
            row = {"prompt": ids[~counted], "answer": ids[counted]}
        yield {name: tokenizer.decode(_ids(ids)) for name, ids in row.items()}


def verify_answers(folder: Path, manifest: AnswersManifest, tokenizer: Tokenizer) -> None:
    """Reads every row; InputError if they are not those that were written."""
    read = read_examples if manifest.kind == "examples" else read_pairs
    read(AnswersSpec(path=str(folder)), tokenizer, 2**31)


def _opened(spec: AnswersSpec, tokenizer: Tokenizer, kinds: tuple[Kind, ...]) -> tuple[AnswersManifest, Path]:
    folder = Path(spec.path or "").expanduser()
    manifest = read_answers_manifest(folder)
    if manifest.kind not in kinds:
        raise InputError(f"{spec.where}: has {manifest.kind}, not {kinds[0]}")
    if manifest.tokenizer.hash != tokenizer.hash:
        made = f"made by the tokenizer {manifest.tokenizer.name}"
        raise InputError(f"{spec.where}: {made}, and the model's is {tokenizer.name}: build it with --tokenizer of it")
    if given := spec.options():
        raise InputError(f"{spec.where}: {given[0]} does not apply to rows that are ids already: build them with it")
    return manifest, folder


def _rows(folder: Path, columns: tuple[str, ...]) -> Iterator[tuple[bool, dict[str, Any]]]:
    import pyarrow as pa

    for split in SPLITS:
        file = folder / f"{split}.parquet"
        try:
            for batch in open_parquet(file).iter_batches(batch_size=1024, columns=list(columns)):
                # As arrays: a list of Python's takes ten times the memory.
                values = {name: batch.column(name).to_numpy(zero_copy_only=False) for name in columns}
                for at in range(len(batch)):
                    yield split == "held_out", {name: value[at] for name, value in values.items()}
        except (OSError, KeyError, pa.ArrowException) as error:
            raise InputError(f"{file}: damaged: {' '.join(str(error).split())}") from None


def _ids(value: Any) -> Ids:
    return np.asarray(value, np.int32)


def _dropped(spec: AnswersSpec, manifest: AnswersManifest, now: dict[str, int], sha256: str) -> dict[str, int]:
    """What was left out when the folder was made and since; InputError if these are not the rows that it was given."""
    if not now and sha256 != manifest.sha256:
        raise InputError(
            f"{spec.where}: its rows are not those that it was made with: their hash is not the manifest's"
        )
    return {name: manifest.dropped.get(name, 0) + now.get(name, 0) for name in sorted({*manifest.dropped, *now})}
