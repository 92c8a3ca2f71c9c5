"""``scaling data curate``: from a crawl to training text."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from scaling.cli.common import collected, emit_plain, json_option
from scaling.cli.files.progress import shown_on_stderr
from scaling.errors import InputError
from scaling.quantity import format_duration, format_quantity, parse_quantity

if TYPE_CHECKING:
    from scaling.data.curate.running import CurateProgress
    from scaling.data.spec import BuildSpec


_NAME = 48  # characters of a source's name in a table


@dataclass(frozen=True)
class Request:
    """What the command was given."""

    file: str
    out: Path
    until: str | None
    sample: str | None
    on_error: Literal["stop", "skip"]
    executor: str
    slurm: tuple[str, ...]
    workers: int | None


@click.command()
@click.argument("file", metavar="FILE.yaml")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder to make.")
@click.option("--until", metavar="STEP", help="Last step to do.  [default: all]")
@click.option("--sample", metavar="SHARE", help="Share of the documents to take, by their content.  [default: all]")
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="What to do with a document that cannot be read; those that are skipped are counted.",
)
@click.option(
    "--executor",
    type=click.Choice(["local", "ray", "slurm"]),
    default="local",
    show_default=True,
    help="Where the work is done.",
)
@click.option("--slurm", multiple=True, metavar="KEY=VALUE", help="A parameter of the jobs of Slurm; repeatable.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes.  [default: one per core]")
@json_option
@collected(Request)
def command(request: Request, as_json: bool) -> None:
    """Clean a crawl as the Llamas' data was, and record what was dropped and why.

    The steps in the file are done in this order: language, lines, private, rules, words, quality, perplexity,
    near_duplicates, contamination. Texts that are there twice are dropped first. DIR gets Parquet files of the
    documents that stay, dropped.parquet and funnel.json. A step whose options have changed is done again with those
    after it; the results of the others are used again, and so they are after a kill.

    \b
    Examples:
      scaling data curate web.yaml --out data/web-clean
      scaling data report data/web-clean
      scaling data build data/web-clean --tokenizer bpe:8k --out data/web
    \b
    web.yaml:
      sources: [{path: "wiki/*.jsonl.gz", name: wiki}, {path: "cc/*.jsonl.gz", name: web}]
      curate:
        language: {keep: [en]}
        rules: [gopher, fineweb]
        quality: {like: [wiki], keep: 50%}
        near_duplicates: {alike: 0.7}
        private: mask
    """
    result = _curated(request)
    emit_plain(result, as_json, lambda: table(result))


def _curated(request: Request) -> dict[str, Any]:
    from scaling.data.curate.curate import curate
    from scaling.sweep.executors.registry import find_task_runner
    from scaling.sweep.spec.data_file import load_build

    spec = load_build(request.file)
    if not spec.has_steps:
        raise InputError(f"{request.file}: has no steps; add, say, curate: {{rules: [gopher, fineweb], private: mask}}")
    tasks = find_task_runner(request.executor, request.slurm, request.workers)
    out = Path(os.path.expanduser(request.out))
    with shown_on_stderr() as show:
        curated = curate(
            spec,
            out,
            tasks,
            partial(_show_progress, show, out.name),
            until=request.until,
            sample=_share(request.sample),
            on_error=request.on_error,
        )
    return summary(curated.funnel) | {"folder": str(out)}


def _share(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        share = parse_quantity(text)
    except ValueError as error:
        raise InputError(f"`sample`: {error}") from None
    if not 0 < share <= 1:
        raise InputError(f"`sample` {text}: must be a share above 0 and at most 1, such as 1%")
    return None if share == 1 else share


def summary(funnel: dict[str, Any]) -> dict[str, Any]:
    """The JSON object of ``scaling data curate``, without the folder."""
    steps = [
        {
            **{key: step[key] for key in ("name", "documents", "bytes", "changed", "notes")},
            "reasons": {reason["name"]: reason["documents"] for reason in step["reasons"] if reason["documents"]},
        }
        for step in funnel["steps"]
    ]
    keys = ("name", "documents", "bytes", "sources", "warnings")
    return {**{key: funnel[key] for key in keys}, "steps": steps}


def table(result: dict[str, Any]) -> str:
    """The text of ``scaling data curate``."""
    from analysis.curation.numbers import counted
    from analysis.pages.signs import visible
    from analysis.table_text import table_text

    documents, size = result["documents"], result["bytes"]
    stay = f"{counted(documents['read'])} {'stays' if documents['read'] == 1 else 'stay'}"
    lines = [
        f"{visible(result['name'])}: {documents['kept']:,} of {stay} "
        f"({documents['kept'] / documents['read']:.1%}), {format_quantity(size['kept'])} of "
        f"{format_quantity(size['read'])} bytes ({size['kept'] / max(size['read'], 1):.1%})",
        "",
    ]
    rows = [
        [
            step["name"],
            f"{step['documents']:,}",
            f"{step['documents'] / documents['read']:.1%}",
            format_quantity(step["bytes"]),
            _mostly(step),
        ]
        for step in result["steps"]
    ]
    lines.append(table_text("lrrrl", ["dropped by", "documents", "share", "bytes", "mostly"], rows, indent=2))
    rows = [
        [
            _short(visible(source["name"])),
            *(f"{source[side]['documents']:,}" for side in ("read", "kept")),
            _kept(source),
        ]
        for source in result["sources"]
    ]
    lines += ["", table_text("lrrr", ["source", "read", "kept", "share"], rows, indent=2)]
    lines += ["", f"wrote {result['folder']}; see what was dropped: scaling data report {result['folder']}"]
    return "\n".join(lines)


def _mostly(step: dict[str, Any]) -> str:
    """The commonest reasons of a step, or what it changed."""
    reasons = sorted(step["reasons"].items(), key=lambda item: (-item[1], item[0]))
    named = [f"{name} {count:,}" for name, count in reasons if name != step["name"]][:3]
    notes = [f"{name}: {count:,}" for name, count in step["notes"].items() if count][:3]
    return ", ".join(named or notes)


def _short(name: str) -> str:
    """A name of a source as a line of a terminal has room for it: of a long path, the end."""
    one_line = " ".join(name.split())
    return one_line if len(one_line) <= _NAME else f"...{one_line[3 - _NAME :]}"


def _kept(source: dict[str, Any]) -> str:
    read = source["read"]["documents"]
    return f"{source['kept']['documents'] / read:.1%}" if read else ""


def curated(
    spec: "BuildSpec", out: Path, show: Callable[[str, float], None], on_error: Literal["stop", "skip"], workers: int
) -> tuple["BuildSpec", Path]:
    """Does the steps of a build; returns the spec of a build from what they leave, and the folder of that."""
    from scaling.data.building.survey import survey
    from scaling.data.curate.building import check_place, curated_beside, without_steps
    from scaling.data.curate.engine.tasks import local_tasks

    check_place(out)
    survey(spec, on_error == "skip")  # before hours of work
    folder = curated_beside(spec, out, partial(local_tasks, workers), partial(_show_progress, show, out.name), on_error)
    return without_steps(spec, folder), folder


def _show_progress(show: Callable[[str, float], None], name: str, progress: "CurateProgress") -> None:
    """Shows the progress of a curation."""
    share = progress.parts_done / progress.parts
    show(
        _line(name, progress), share if progress.step == "writing" else min(share, 0.99)
    )  # only the end is always shown


def _line(name: str, progress: "CurateProgress") -> str:
    line = f"{name}: {progress.step.replace('_', ' ')}, {progress.parts_done}/{progress.parts}"
    if progress.documents:
        line += f", {format_quantity(progress.documents)} documents"
    if progress.bytes and progress.seconds:
        line += f", {progress.bytes / 1e6 / progress.seconds:.3g} MB/s"
    return f"{line}, {format_duration(round(progress.seconds))}"
