"""``scaling data``: text or tokens to shards that sweeps train on, and what is in them."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from scaling.cli.common import collected, emit_plain, json_option
from scaling.cli.files import curate
from scaling.cli.files.answers import AnswersOptions, answers_options, built_answers, inspected
from scaling.cli.files.curated import inspect_curated, report_curated
from scaling.cli.files.progress import shown_on_stderr
from scaling.errors import InputError
from scaling.quantity import format_duration, format_quantity

if TYPE_CHECKING:
    from scaling.data.build import BuildProgress
    from scaling.data.spec import BuildSpec

_YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Build:
    """What ``scaling data build`` was given."""

    sources: tuple[str, ...]
    out: Path
    tokenizer: str | None
    text: str | None
    held_out: str | None
    on_error: Literal["stop", "skip"]
    workers: int | None


@click.group()
def command() -> None:
    """Make data that sweeps train on, and look at it.

    \b
    Examples:
      scaling data build web/pages.jsonl.gz --tokenizer bpe:8k --out data/web
      scaling data inspect data/web
    """


command.add_command(curate.command, "curate")
command.add_command(report_curated, "report")


@command.command()
@click.argument("sources", nargs=-1, required=True, metavar="SPEC.yaml | PATH...")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder to make.")
@click.option("--tokenizer", metavar="bytes|bpe:8k|FILE|DIR", help="How text becomes tokens.  [default: bytes]")
@click.option("--text", metavar="KEY", help="Key or column of the text.  [default: text]")
@click.option("--held-out", metavar="SHARE", help="Share of documents never trained on.  [default: 5%]")
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="What to do with a document that cannot be read; those that are skipped are counted and shown.",
)
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes.  [default: one per core]")
@answers_options
@json_option
@collected(Build)
def build(request: Build, as_json: bool, **answers: Any) -> None:
    """Make shards of tokens and a manifest from text, JSON, CSV, Parquet, Arrow or tokens, told by their content.

    A document is held out or not by the hash of its content alone. After an error or a kill, the same command goes on;
    DIR is there only when all of it is. A sweep trains on it with `corpus: {path: DIR}`. With --as, rows of messages,
    prompts and completions, or chosen and rejected answers become ids: `data: {path: DIR}` of a stage.

    \b
    Examples:
      scaling data build web/pages.jsonl.gz --tokenizer bpe:8k --out data/web
      scaling data build mix.yaml --out data/mix
      scaling data build hh.jsonl.gz --as preferences --tokenizer models/llama --out data/hh
    \b
    mix.yaml:
      tokenizer: {file: llama/tokenizer.json}
      sources:
        - {path: web/pages.parquet, text: content, weight: 80%}
        - {hf: code-dataset, split: train, weight: 20%, epochs: 2}
    """
    options = AnswersOptions(**answers)
    if options.kind is not None:
        result, text = built_answers(options, request.sources, _out(request), asdict(request))
        emit_plain(result, as_json, text)
        return
    options.check_unused()
    result = _built(request)
    emit_plain(result, as_json, lambda: _table(result))


def _out(request: Build) -> Path:
    return Path(os.path.expanduser(request.out))


def _built(request: Build) -> dict[str, Any]:
    from scaling.data.build import build as build_data
    from scaling.data.curate.building import keep_counts, warnings_of_steps
    from scaling.data.inspect import summary

    out, workers = _out(request), request.workers or len(os.sched_getaffinity(0))
    spec, curated = _spec(request)
    warnings: list[dict[str, str]] = []
    with shown_on_stderr() as show:

        def report(progress: "BuildProgress") -> None:
            show(_line(out.name, progress), progress.parts_done / progress.parts)

        if spec.has_steps:
            spec, curated = curate.curated(spec, out, show, request.on_error, workers)
            warnings = warnings_of_steps(curated)
        manifest = build_data(spec, out, workers, report, request.on_error)
    if curated is not None:
        keep_counts(curated, out)
    result = summary(manifest)
    return result | {"out": str(out), "warnings": [*warnings, *result["warnings"]]}


def _spec(request: Build) -> tuple["BuildSpec", Path | None]:
    """Of a data file, or of paths and options; and the curated folder among the paths, if there is one."""
    from pydantic import ValidationError

    from scaling.data.curate.curated import is_curated
    from scaling.data.spec import BuildSpec
    from scaling.sweep.spec.data_file import load_build

    sources, options = request.sources, {name: getattr(request, name) for name in ("tokenizer", "text", "held_out")}
    files = [source for source in sources if source.lower().endswith(_YAML)]
    if files:
        given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
        if given or len(sources) > 1:
            raise InputError(
                f"{files[0]}: takes no {' or '.join(given) or 'other sources'} beside it: write them in it"
            )
        return load_build(files[0]), None
    chosen: dict[str, Any] = {"tokenizer": "bytes" if options["tokenizer"] is None else options["tokenizer"]}
    curated = [path for path in sources if is_curated(path)]
    if (held_out := _held_out(options["held_out"], curated)) is not None:
        chosen["held_out"] = held_out
    found = _sources(sources, options["text"])
    try:
        spec = BuildSpec.model_validate({"name": request.out.absolute().name, "sources": found, **chosen})
        return spec, Path(curated[0]) if len(curated) == len(sources) == 1 else None
    except ValidationError as errors:
        raise InputError(
            f"--{str(error['loc'][0]).replace('_', '-')}: {error['msg'].removeprefix('Value error, ')}"
            if error["loc"]
            else error["msg"].removeprefix("Value error, ")
            for error in errors.errors(include_url=False)
        ) from None


def _held_out(given: str | None, curated: Sequence[str]) -> str | float | None:
    """The share that is held out: the one that is given, or that curated folders were made for; None for neither."""
    from scaling.data.curate.curated import held_out_of

    shares = {path: held_out_of(path) for path in curated}
    if given is not None or not shares:
        return given
    if len(set(shares.values())) > 1:
        each = ", ".join(f"{path} {share:.3g}" for path, share in shares.items())
        raise InputError(f"`held_out`: curated folders were made for different shares, {each}: give one")
    return next(iter(shares.values()))


def _sources(paths: Sequence[str], text: str | None) -> list[dict[str, Any]]:
    """Sources in the order of their paths, as the first of the same texts stays; those of curated folders as theirs."""
    from scaling.data.curate.curated import is_curated, sources_of

    key = {} if text is None else {"text": text}
    if key and all(map(is_curated, paths)):
        raise InputError("`text`: does not apply to curated data")
    return [
        content
        for path in paths
        for content in (
            [source.model_dump(exclude_unset=True) for source in sources_of(path)]
            if is_curated(path)
            else [{"path": path, **key}]
        )
    ]


def _line(name: str, progress: "BuildProgress") -> str:
    line = f"{name}: {progress.parts_done}/{progress.parts} parts, {format_quantity(progress.tokens)} tokens"
    if progress.tokens and progress.seconds:
        line += f", {format_quantity(progress.tokens / progress.seconds)} tokens/s"
    line += f", {format_duration(round(progress.seconds))}"
    return line + ("; joining the parts" if progress.parts_done == progress.parts else "")


@command.command()
@click.argument("folder", metavar="DIR|SPEC.yaml")
@click.option("--verify", is_flag=True, help="Read every shard and compare its hash with the manifest's.")
@click.option("--documents", type=click.IntRange(0), default=2, show_default=True, help="To show of each source.")
@click.option("--dropped", metavar="NAME", help="Show documents that a step or rule of a curation dropped.")
@click.option("--show", type=click.IntRange(1), default=20, show_default=True, help="Dropped documents to show.")
@json_option
def inspect(folder: str, verify: bool, documents: int, dropped: str | None, show: int, as_json: bool) -> None:
    """Show what is in built data: splits, sources, bytes per token, leaks, how documents begin.

    Of a data file, the files that it names, before anything is built; of a curated folder, what was dropped.

    \b
    Examples:
      scaling data inspect data/web --verify
      scaling data inspect data/web-clean --dropped rules.bullets --show 5
      scaling data inspect mix.yaml
    """
    if folder.lower().endswith(_YAML):
        result = _unbuilt(folder)
        emit_plain(result, as_json, lambda: _files(result))
        return
    from scaling.data.answers.built import has_answers
    from scaling.data.curate.curated import is_curated
    from scaling.data.inspect import samples, summary
    from scaling.data.shards import read_manifest
    from scaling.data.shards import verify as verify_shards

    path = Path(os.path.expanduser(folder))
    if dropped is None and has_answers(path):
        result, text = inspected(path, documents, verify)
        emit_plain(result, as_json, text)
        return
    if dropped is not None or is_curated(path):
        inspect_curated(path, dropped, show, as_json)
        return
    manifest = read_manifest(path)
    if verify and (damages := verify_shards(path, manifest)):
        raise InputError(damages)
    result = summary(manifest) | {"documents": list(samples(path, manifest, documents))}
    if verify:
        result["verified"] = True
    emit_plain(result, as_json, lambda: "\n".join([_table(result), *_documents(result)]))


def _unbuilt(path: str) -> dict[str, Any]:
    from scaling.data.building.survey import survey
    from scaling.sweep.spec.data_file import load_build

    spec = load_build(path)
    found = survey(spec, skip=False)
    sources = []
    for number, source in enumerate(spec.sources):
        parts = [part for part in found.parts if part.source == number]
        files = sorted({file for part in parts for file in part.paths})
        formats = sorted({part.format for part in parts})
        size = sum(os.path.getsize(file) for file in files if os.path.isfile(file))
        sources.append(
            {"name": source.label, "formats": formats, "files": len(files), "bytes": size, "parts": len(parts)}
        )
    warnings = [warning.model_dump(mode="json") for warning in found.warnings]
    return {"name": spec.name, "held_out": spec.held_out, "sources": sources, "warnings": warnings}


def _files(result: dict[str, Any]) -> str:
    rows = [
        f"  {source['name']}: {source['files']} files of {', '.join(source['formats'])}, "
        f"{format_quantity(source['bytes'])} bytes, {source['parts']} parts"
        for source in result["sources"]
    ]
    return "\n".join([f"{result['name']}: not built yet; {result['held_out']:.3g} held out", *rows])


def _table(result: dict[str, Any]) -> str:
    train, held_out = result["train"], result["held_out"]
    ids = f"vocabulary {result['vocab']}, {result['dtype']}, documents end with {result['end']}"
    lines = [f"{result['name']}: {result['tokenizer']} tokens, {ids}"]
    lines += [f"  {name:9} {_counted(counts)}" for name, counts in (("train", train), ("held out", held_out))]
    near = result["leaks"] / held_out["documents"]
    lines.append(
        f"  left out: {result['duplicates']} duplicates, {result['empty']} empty, {result['skipped']} skipped; "
        f"near-duplicates of training text: {result['leaks']} of {held_out['documents']} held out ({near:.1%})"
    )
    lines += [
        f"  {source['name']}: {source['share']:.1%} of a pass, its text {source['epochs']:.3g} times; "
        f"{_counted(source['train'])}"
        for source in result["sources"]
    ]
    if held_out["bytes"] is None:
        lines.append("  the bytes of its text are not known: losses are in nats per token only, without bits per byte")
    return "\n".join(lines)


def _counted(counts: dict[str, Any]) -> str:
    text = f"{counts['documents']} documents, {format_quantity(counts['tokens'])} tokens"
    if counts["bytes_per_token"] is None:
        return text
    return f"{text}, {format_quantity(counts['bytes'])} bytes ({counts['bytes_per_token']:.3g} per token)"


def _documents(result: dict[str, Any]) -> list[str]:
    lines = [
        f"  {document['source']}, {document['tokens']} tokens: {' '.join(document['begins'].split())[:90]}"
        for document in result["documents"]
    ]
    return [*lines, *(["  every shard is as it was written"] if "verified" in result else [])]
