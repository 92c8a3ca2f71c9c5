"""What the sources of a build have, before anything is read to its end: parts, files left out, options that clash."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scaling.data.building.notes import BuildWarning
from scaling.data.formats.id_width import other_width
from scaling.data.sources import Found, Part, find_parts
from scaling.data.spec import BuildSpec
from scaling.data.tokenizer_files import encodes_all, find_tokenizer, ids_of
from scaling.errors import InputError

_MOST = 10
_IDS = ("tokens", "megatron")


@dataclass(frozen=True)
class Survey:
    """What a build will read.

    Attributes:
        parts: of all sources, in order.
        warnings: of their files and of the tokenizer's.
    """

    parts: list[Part]
    warnings: list[BuildWarning]


def survey(spec: BuildSpec, skip: bool) -> Survey:
    """Finds the parts of the sources, and checks that the options and the tokenizer apply to them.

    Args:
        spec: of the build.
        skip: leaves out files that cannot be read.

    Raises:
        InputError: nothing to read; files of a kind that is not read; options that do not apply.
    """
    parts, warnings = _found(spec, skip)
    if len(spec.sources) == sum(source.only is not None for source in spec.sources):
        sides = {source.only for source in spec.sources}
        if len(sides) == 1:
            missing = "held_out" if sides == {"train"} else "train"
            raise InputError(f"sources: all are `only: {sides.pop()}`; a build needs {missing} documents too")
    _check_formats(spec, parts)
    return Survey(parts, [*warnings, *_of_ids(spec, parts), *_of_tokenizer(spec)])


def find_text_parts(spec: BuildSpec, skip: bool) -> tuple[list[Part], list[BuildWarning]]:
    """Finds the parts of the sources of a curation, all of them text, and what to tell of their files.

    Args:
        spec: of the sources.
        skip: leaves out files that cannot be read.

    Raises:
        InputError: nothing to read; files of a kind that is not read, or of token ids.
    """
    parts, warnings = _found(spec, skip)
    ids = [path for part in parts if part.format in _IDS for path in part.paths]
    if ids:
        raise InputError(f"{path}: token ids, which have no text to curate" for path in ids[:_MOST])
    return parts, warnings


def _found(spec: BuildSpec, skip: bool) -> tuple[list[Part], list[BuildWarning]]:
    """The parts of all sources in order, and warnings of their files."""
    found: list[Found] = []
    errors: list[str] = []
    for number, source in enumerate(spec.sources):
        try:
            found.append(find_parts(source, number))
        except InputError as error:
            errors += error.errors
    refused = [line for source in found for line in source.refused]
    if refused and not skip:
        rest = [f"and {len(refused) - _MOST} more files"] if len(refused) > _MOST else []
        errors += [*refused[:_MOST], *rest]
    if errors:
        raise InputError(errors)
    parts = [part for source in found for part in source.parts]
    if not parts:
        raise InputError(_nothing(found, refused))
    return parts, list(_of_files(found, refused))


def _nothing(found: list[Found], refused: list[str]) -> str:
    skipped = [entry for source in found for entry in source.skipped]
    if refused:
        return refused[0]
    if len(skipped) == 1 and skipped[0][1] == "empty":
        return f"{skipped[0][0]}: the file is empty"
    names = f": {len(skipped)} files without documents, as {skipped[0][0]} ({skipped[0][1]})" if skipped else ""
    return f"the sources have no files{names}"


def _check_formats(spec: BuildSpec, parts: list[Part]) -> None:
    for part in parts:
        ids = part.format in _IDS
        if ids and (spec.tokenizer.name is not None or spec.tokenizer.bpe is not None):
            raise InputError(
                f"{part.paths[0]}: token ids of another tokenizer; give its file as tokenizer, or {{ids: N, end: ID}}"
            )
        if not ids and spec.tokenizer.ids is not None:
            raise InputError(
                f"{part.paths[0]}: {part.format}, and text needs a tokenizer, which {{ids: N}} is not; of ids, give "
                "format: tokens"
            )


def _of_files(found: list[Found], refused: list[str]) -> Iterator[BuildWarning]:
    skipped = [f"{path} ({why})" for source in found for path, why in source.skipped]
    for lines, what in ((skipped, "files have no documents and are skipped"), (refused, "files are skipped")):
        if lines:
            message = f"{len(lines)} {what}: {', '.join(lines[:3])}{', ...' if len(lines) > 3 else ''}"
            yield BuildWarning(code="skipped-files", message=message, count=len(lines), examples=tuple(lines[:_MOST]))
    for source in found:
        named = {part.format: f"{part.format}, as {Path(part.paths[0]).name}" for part in reversed(source.parts)}
        if len(named) > 1:
            examples = tuple(sorted(named.values()))
            message = f"a source has files of {len(named)} formats: {'; '.join(examples)}"
            yield BuildWarning(code="mixed-formats", message=message, count=len(named), examples=examples)


def _of_ids(spec: BuildSpec, parts: list[Part]) -> Iterator[BuildWarning]:
    """Warnings of ids that seem to be of another width than the one given.

    Raises:
        InputError: none was given, or some ids are not of the vocabulary.
    """
    files = [
        (Path(path), spec.sources[part.source]) for part in parts if part.format == "tokens" for path in part.paths
    ]
    if not files:
        return
    vocab, end = ids_of(spec.tokenizer)
    for path, source in files:
        seen = other_width(path, source.dtype, vocab, end)
        if seen is None:
            continue
        if seen.sure or "dtype" not in source.model_fields_set:
            raise InputError(f"{path}: {seen.why}")
        yield BuildWarning(code="odd-ids", message=f"{path}: {seen.why}", count=1, examples=(str(path),))


def _of_tokenizer(spec: BuildSpec) -> Iterator[BuildWarning]:
    """A warning of what a tokenizer's file would have done to the ids, and does not do here."""
    if spec.tokenizer.file is not None:
        path = find_tokenizer(spec.tokenizer.file)
        names = encodes_all(path.read_bytes())[1]
        if names:
            message = f"tokenizer {path.name}: switched off, so that all text is encoded: {', '.join(names)}"
            yield BuildWarning(code="tokenizer-state", message=message, count=len(names), examples=tuple(names))
