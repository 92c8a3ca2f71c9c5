"""``scaling data build --as``: rows of prompts and answers to ids that stages after pre-training read."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.cli.common import printable
from scaling.errors import InputError
from scaling.quantity import format_quantity

if TYPE_CHECKING:
    from scaling.data.answers.build import AnswersBuild
    from scaling.data.answers.built import Kind

_YAML = (".yaml", ".yml")
_MOST = 200


@dataclass(frozen=True)
class AnswersOptions:
    """The options of ``scaling data build`` that are about prompts and answers."""

    kind: "Kind | None"
    template: str | None
    seq_len: str | None
    margin: str | None
    safety: str | None

    def check_unused(self) -> None:
        """InputError if one is given without ``--as``."""
        given = [field.name for field in fields(self) if getattr(self, field.name) is not None]
        if given:
            raise InputError(f"`{given[0]}`: applies to prompts and answers: give --as examples or preferences too")


def answers_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of :class:`AnswersOptions` to a command."""
    options = (
        click.option(
            "--as",
            "kind",
            type=click.Choice(["examples", "preferences"]),
            help="Prompts and answers for the stages after pre-training, rather than text to train on.",
        ),
        click.option("--template", metavar="NAME|FILE", help="Chat template.  [default: the tokenizer's]"),
        click.option("--seq-len", metavar="N", help="Longest row, tokens; longer ones are left out and counted."),
        click.option("--margin", metavar="COLUMN", help="Says how much better the chosen answer is."),
        click.option("--safety", metavar="COLUMN", help="Says whether a pair is about safety."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def built_answers(
    options: AnswersOptions, sources: tuple[str, ...], out: Path, given: dict[str, Any]
) -> tuple[dict[str, Any], str]:
    """Builds the folder; returns the result, and its text.

    Args:
        options: of prompts and answers.
        sources: one file, folder or glob, or a data file.
        out: the folder.
        given: ``tokenizer``, ``held_out``, ``on_error``, ``text`` and ``workers`` of the command, None if not given.
    """
    from scaling.data.answers.build import build_answers

    assert options.kind is not None
    for name in ("text", "workers"):
        if given[name] is not None:
            raise InputError(f"`{name}`: does not apply to prompts and answers")
    if len(sources) > 1:
        raise InputError(f"{sources[1]}: a second source: prompts and answers are from one file, folder or glob")
    manifest = build_answers(_build(options, sources[0], given), options.kind, out)
    result = {"out": str(out), **manifest.model_dump(mode="json", exclude={"format"})}
    return result, summary(result)


def _build(options: AnswersOptions, source: str, given: dict[str, Any]) -> "AnswersBuild":
    from pydantic import ValidationError

    from scaling.data.answers.build import AnswersBuild
    from scaling.sweep.spec.data_file import load_answers

    chosen = {
        **{name: getattr(options, name) for name in ("template", "seq_len", "margin", "safety")},
        **{name: given[name] for name in ("tokenizer", "held_out", "on_error")},
    }
    # ``stop`` is the command's default, and that of a data file.
    chosen = {name: value for name, value in chosen.items() if value not in (None, "stop")}
    if source.lower().endswith(_YAML):
        if chosen:
            option = next(iter(chosen)).replace("_", "-")
            raise InputError(f"{source}: takes no --{option} beside it: write it in it")
        return load_answers(source)
    try:
        return AnswersBuild.model_validate({"path": source, **chosen})
    except ValidationError as errors:
        raise InputError(
            f"`{error['loc'][0]}`: {error['msg'].removeprefix('Value error, ')}"
            if error["loc"]
            else error["msg"].removeprefix("Value error, ")
            for error in errors.errors(include_url=False)
        ) from None


def summary(result: dict[str, Any]) -> str:
    """What is in a folder of examples or preferences, as text."""
    rows, tokens = result["rows"], result["answer_tokens"]
    limit = "" if result["seq_len"] is None else f", at most {result['seq_len']} tokens a row"
    lines = [f"{result['kind']}: {result['tokenizer']['name']} tokens, template {result['template']}{limit}"]
    lines += [
        f"  {split.replace('_', ' '):9} {count} rows, {format_quantity(tokens[split])} answer tokens"
        for split, count in rows.items()
    ]
    left_out = ", ".join(f"{count} {reason}" for reason, count in result["dropped"].items())
    return "\n".join([*lines, f"  left out: {left_out or 'nothing'}"])


def inspected(path: Path, count: int, verify: bool) -> tuple[dict[str, Any], str]:
    """The contents of such a folder with the beginnings of some rows, and its text.

    Args:
        path: the folder.
        count: rows to show.
        verify: whether all rows are read and compared with the manifest's hash.
    """
    from scaling.data.answers.built import read_answers_manifest, row_texts, verify_answers
    from scaling.data.shards import TOKENIZER
    from scaling.data.tokenizer_files import open_tokenizer

    manifest = read_answers_manifest(path)
    tokenizer = open_tokenizer(manifest.tokenizer, path / TOKENIZER)
    assert tokenizer is not None
    rows = list(row_texts(path, manifest, tokenizer, count))
    result = {**manifest.model_dump(mode="json", exclude={"format"}), "documents": rows}
    shown = [f"  {name}: {printable(text)[:_MOST]}" for row in rows for name, text in row.items()]
    if verify:
        verify_answers(path, manifest, tokenizer)
        result["verified"] = True
        shown.append("  every row is as it was written")
    return result, "\n".join([summary(result), *shown])
