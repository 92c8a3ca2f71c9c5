"""The steps of a curation, one after another, each on what those before it have left."""

import importlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scaling.data.curate.engine.reading import READ, read_into
from scaling.data.curate.engine.stage import Sources, Stage, key_of
from scaling.data.curate.engine.tasks import Task, TaskRunner, undone
from scaling.data.curate.engine.view import PartView
from scaling.data.curate.spec import Curation
from scaling.data.sources import Part, reading_of
from scaling.data.spec import BuildSpec
from scaling.errors import InputError

_VERSION = 1
"""Of what the steps do: results of another version are not used."""


@dataclass(frozen=True)
class CurateProgress:
    """Progress of a curation.

    Attributes:
        step: what is done now.
        parts_done: tasks of it that are done.
        parts: its tasks.
        documents: that its tasks have read.
        bytes: of text that they have read.
        seconds: since it began.
    """

    step: str
    parts_done: int
    parts: int
    documents: int
    bytes: int
    seconds: float


class NothingLeft(InputError):
    """No document stays."""


def step_module(step: str) -> Any:
    """The module of a step, which has ``run``, and may have ``check`` and ``inputs``."""
    return importlib.import_module(f"scaling.data.curate.steps.{step}")


class Run:
    """A curation while it runs."""

    def __init__(
        self,
        spec: BuildSpec,
        work: Path,
        runner: TaskRunner,
        report: Callable[[CurateProgress], None],
        sample: float | None,
        skip: bool,
    ) -> None:
        self._spec, self._work, self._runner, self._report = spec, work, runner, report
        self.sample, self._skip = sample, skip
        self.read: list[PartView] = []
        self.sources = Sources(
            tuple(source.label for source in spec.sources),
            tuple(source.only for source in spec.sources),
            spec.held_out,
        )

    def all(self, parts: Sequence[Part], chain: Sequence[str], options: Sequence[Curation]) -> list[Stage]:
        """Reads the parts and does the steps; returns them as they were done."""
        readings = [
            key_of(_VERSION, reading_of(part, self._spec.sources[part.source]), part.source, self.sample, self._skip)
            for part in parts
        ]
        for old in self._work.glob("*/*/.*"):  # what a kill has left
            shutil.rmtree(old, ignore_errors=True)
        self.read = self._reads(parts, readings)
        views: Sequence[PartView] = self.read
        self._check_left(views, "reading")
        key, stages = key_of(readings, asdict(self.sources)), []
        for step in ("duplicates", *chain):
            own = tuple(True if step == "duplicates" else each.option(step) for each in options)
            inputs: Sequence[Path | str] = getattr(step_module(step), "inputs", lambda _: [])(own)
            key = key_of(key, step, [_plain(each) for each in own], [_stat(each) for each in inputs])
            stage = Stage(step, own, self.sources, views, self._work / f"{step}-{key}", self.do)
            step_module(step).run(stage)
            stages.append(stage)
            views = stage.left
            self._check_left(views, step)
        self._forget(
            [*(self._work / "read" / "texts" / name for name in readings), *(stage.folder for stage in stages)]
        )
        return stages

    def _reads(self, parts: Sequence[Part], readings: Sequence[str]) -> list[PartView]:
        folders = [self._work / "read" / "texts" / name for name in readings]
        sizes = [sum(os.path.getsize(path) for path in part.paths if os.path.isfile(path)) for part in parts]
        tasks = [
            Task(folder, read_into, (part, self._spec.sources[part.source], self.sample, self._skip), size)
            for folder, part, size in zip(folders, parts, sizes, strict=True)
        ]
        self.do("reading", undone(tasks))
        views = []
        for number, (part, folder) in enumerate(zip(parts, folders, strict=True)):
            counts = json.loads((folder / READ).read_text())
            views.append(PartView(number, part.source, part.paths, counts["documents"], counts["bytes"], folder))
        return views

    def do(self, step: str, tasks: Sequence[Task]) -> None:
        """Does tasks, and reports the progress of the step."""
        begun, done, documents, size = time.monotonic(), 0, 0, 0
        for task in self._runner(tasks):
            done, documents, size = done + 1, documents + task.documents, size + task.bytes
            self._report(CurateProgress(step, done, len(tasks), documents, size, time.monotonic() - begun))

    def _check_left(self, views: Sequence[PartView], step: str) -> None:
        if sum(view.count for view in views):
            return
        read = sum(view.count for view in self.read)
        if not read:
            raise NothingLeft("the sources have no documents: every text is empty, refused or not of the sample")
        documents = "the one document" if read == 1 else f"{read:,} documents"
        raise NothingLeft(f"nothing is left of {documents}: the last were dropped by {step}")

    def _forget(self, used: Sequence[Path]) -> None:
        """Removes the results that this curation has not used."""
        for folder in (*self._work.glob("*-*"), *self._work.glob("read/texts/*")):
            if folder not in used:
                shutil.rmtree(folder)


def _plain(options: Any) -> Any:
    return options.model_dump(mode="json") if hasattr(options, "model_dump") else options


def _stat(file: Path | str) -> list[Any]:
    """What decides a step beside documents and options: a file, by its size and time, or a name."""
    if isinstance(file, str):
        return [file]
    stat = file.stat()
    return [str(file), stat.st_size, stat.st_mtime_ns]
