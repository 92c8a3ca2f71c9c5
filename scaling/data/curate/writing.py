"""A curation's folder: the documents that stay, those that went, and the counts."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scaling.data.curate.curated import CURATED, CuratedRecord, CuratedSource, own_entries
from scaling.data.curate.engine.funnel import FUNNEL, funnel_of, skipped_of
from scaling.data.curate.engine.output import DROPPED_TABLE, slices_of, write_documents, write_dropped
from scaling.data.curate.engine.stage import Stage
from scaling.data.curate.engine.tasks import Task
from scaling.data.curate.engine.warnings import warnings_of
from scaling.data.curate.running import Run
from scaling.data.curate.text.private import mask
from scaling.data.spec import BuildSpec
from scaling.files import write_text


def write_curated(
    run: Run, spec: BuildSpec, out: Path, work: Path, stages: Sequence[Stage], warnings: Sequence[dict[str, str]]
) -> dict[str, Any]:
    """Writes the folder, in place of an earlier one; returns the content of its ``funnel.json``.

    Args:
        run: that has done the steps.
        spec: of the sources.
        out: the folder.
        work: of the steps' results.
        stages: as they were done.
        warnings: of the files, which come before those of the steps.
    """
    funnel = funnel_of(spec.name, run.sample, run.sources.names, run.read, stages)
    if any(stage.step == "private" for stage in stages):  # texts from before that step too
        _mask(funnel)
    found = [{"code": code, "message": message} for stage in stages for code, message in stage.warnings]
    found += [each.model_dump() for each in warnings_of(funnel)]
    funnel["warnings"] = [*warnings, *skipped_of(run.read), *found]
    made, written = work / "made", work / "written"
    for old in (made, written):
        shutil.rmtree(old, ignore_errors=True)
    left = stages[-1].left
    scores = list(dict.fromkeys(name for view in left for name in view.scores()))
    tasks = []
    for number, source in enumerate(spec.sources):
        folder = _folder(number, source.label)
        (made / folder).mkdir(parents=True)
        (written / folder).mkdir(parents=True)
        for file, slices in enumerate(slices_of([view for view in left if view.source == number])):
            tasks.append(Task(written / folder / f"{file:05}", write_documents, (slices, source.label, scores)))
    run.do("writing", tasks)
    for task in tasks:
        target = made / task.folder.parent.name / f"{task.folder.name}.parquet"
        os.replace(task.folder / "documents.parquet", target)
    shutil.rmtree(written)
    steps = [
        (stage.step, stage.left, [[reason["name"] for reason in tally["reasons"]] for tally in stage.tallies()])
        for stage in stages
    ]
    write_dropped(made / DROPPED_TABLE, steps, run.sources.names)
    write_text(made / FUNNEL, json.dumps(funnel, indent=1, allow_nan=False))
    write_text(made / CURATED, _record(spec).model_dump_json(indent=1))
    _swap(made, out, work / "old")
    return funnel


def _mask(content: Any) -> None:
    """Masks private data in all texts within the content of a page."""
    for each in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
        _mask(each)
    if isinstance(content, dict) and isinstance(content.get("text"), str):
        (content["text"],) = mask([content["text"]]).texts


def _record(spec: BuildSpec) -> CuratedRecord:
    sources = tuple(
        CuratedSource(
            name=source.label,
            folder=_folder(number, source.label),
            weight=source.weight,
            epochs=source.epochs,
            only=source.only,
        )
        for number, source in enumerate(spec.sources)
    )
    return CuratedRecord(name=spec.name, held_out=spec.held_out, sources=sources)


def _folder(number: int, name: str) -> str:
    """Name of the folder of a source."""
    plain = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_") else "-" for sign in name)
    return f"{number:02}-{plain[:40].strip('-')}".rstrip("-")


def _swap(made: Path, out: Path, old: Path) -> None:
    """Puts a folder in the place of another, of which what no curation wrote stays; also after a kill within."""
    if old.exists():
        _take_over(old, out if out.exists() else made)
    if out.exists():
        os.replace(out, old)
    os.replace(made, out)
    if old.exists():
        _take_over(old, out)


def _take_over(old: Path, new: Path) -> None:
    """Moves what a curation has not written from a folder to another, and removes the first."""
    own = own_entries(old)
    for entry in sorted(old.iterdir()):
        if entry.name not in own and not (new / entry.name).exists():
            os.replace(entry, new / entry.name)
    shutil.rmtree(old, ignore_errors=True)
