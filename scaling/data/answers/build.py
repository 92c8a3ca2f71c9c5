"""Builds a folder of examples or preferences as ids; it appears when it is complete."""

import os
import shutil
from pathlib import Path

from scaling.data.answers.built import AnswersManifest, Kind, read_answers_manifest, write_answers
from scaling.data.answers.examples import text_examples
from scaling.data.answers.preferences import text_pairs
from scaling.data.answers.rows import ExampleSet, PairSet
from scaling.data.answers.spec import AnswersSpec
from scaling.data.answers.templates import Template
from scaling.data.locked import locked
from scaling.data.shards import SPLITS, TOKENIZER
from scaling.data.spec import Count, TokenizerSpec
from scaling.data.tokenizer_files import find_tokenizer, keep_tokenizer, open_tokenizer
from scaling.data.tokenizer_kinds import TokenizerRecord
from scaling.errors import InputError

_LOCK = "lock"


class AnswersBuild(AnswersSpec):
    """A data file of examples or preferences.

    Attributes:
        tokenizer: of the model that is to be trained: ``bytes``, a file, or a folder, whose chat template is used.
        seq_len: tokens that a row has at most; longer ones are left out and counted.
    """

    tokenizer: TokenizerSpec = TokenizerSpec(name="bytes")
    seq_len: Count | None = None

    def spec(self) -> AnswersSpec:
        """What is read."""
        given = self.model_fields_set & AnswersSpec.model_fields.keys()
        return AnswersSpec.model_validate({name: getattr(self, name) for name in given})


def build_answers(build: AnswersBuild, kind: Kind, out: Path) -> AnswersManifest:
    """Builds a folder that the ``path`` of an :class:`AnswersSpec` names.

    It is made in a hidden folder beside ``out``, and nothing is left of it after an error.

    Args:
        build: what is read, and how.
        kind: of the rows.
        out: the folder, which must not be there yet, or hold the same.

    Raises:
        InputError: a line for each row that is wrong; invalid options; another folder at ``out``.
    """
    spec, folder = build.spec(), _tokenizer_folder(build)
    work = out.absolute().with_name(f".{out.absolute().name}.building")
    try:
        work.mkdir(parents=True, exist_ok=True)
        with locked(work / _LOCK, "another process is building it now"):
            try:
                record = keep_tokenizer(build.tokenizer, work / TOKENIZER, iter(()))
                rows, template = _loaded(spec, kind, record, work / TOKENIZER, build.seq_len, folder)
                manifest = _manifest(spec, kind, record, template, build.seq_len, rows)
                if out.exists() and not (out.is_dir() and not any(out.iterdir())):
                    return _already(out, manifest)
                write_answers(work, manifest, rows)
                (work / _LOCK).unlink()
                os.replace(work, out)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror or error}") from None
    return manifest


def _tokenizer_folder(build: AnswersBuild) -> Path | None:
    if build.tokenizer.bpe is not None or build.tokenizer.ids is not None:
        raise InputError("`tokenizer`: answers are for a model that is there: give bytes, or its tokenizer's file")
    return None if build.tokenizer.file is None else find_tokenizer(build.tokenizer.file).parent


def _loaded(
    spec: AnswersSpec, kind: Kind, record: TokenizerRecord, kept: Path, seq_len: int | None, folder: Path | None
) -> tuple[ExampleSet | PairSet, Template]:
    if spec.name is not None:
        raise InputError(f"{spec.name}: needs no build: name it in the sweep file")
    tokenizer = open_tokenizer(record, kept)
    assert tokenizer is not None
    if kind == "examples":
        return text_examples(spec, tokenizer, seq_len, folder)
    return text_pairs(spec, tokenizer, seq_len, folder)


def _manifest(
    spec: AnswersSpec,
    kind: Kind,
    record: TokenizerRecord,
    template: Template,
    seq_len: int | None,
    rows: ExampleSet | PairSet,
) -> AnswersManifest:
    return AnswersManifest(
        kind=kind,
        source=spec.model_dump(mode="json"),
        tokenizer=record,
        template=template.name,
        template_sha256=template.sha256,
        end=rows.end,
        seq_len=seq_len,
        rows={split: len(getattr(rows, split)) for split in SPLITS},
        answer_tokens={split: _answer_tokens(rows, split) for split in SPLITS},
        dropped=rows.dropped,
        sha256=rows.sha256,
    )


def _answer_tokens(rows: ExampleSet | PairSet, split: str) -> int:
    if isinstance(rows, ExampleSet):
        return sum(int(row.counted.sum()) for row in getattr(rows, split))
    return sum(len(row.chosen) + len(row.rejected) for row in getattr(rows, split))


def _already(out: Path, manifest: AnswersManifest) -> AnswersManifest:
    """The manifest of a folder that is there, if it is the same."""
    try:
        found = read_answers_manifest(out)
    except InputError:
        found = None
    if found != manifest:
        raise InputError(f"{out}: is there already, and is not these rows; remove it, or choose another `out`")
    return manifest
