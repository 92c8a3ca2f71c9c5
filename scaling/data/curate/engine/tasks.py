"""Tasks whose results are folders that appear whole, done in any order by any number of processes."""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.data.pool import spawned_pool
from scaling.errors import InputError


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        folder: of its result; where it exists, the task is done.
        function: called with an empty folder to write into and the arguments; found by its module and name.
        arguments: that can be pickled.
        bytes: of text that it reads, for the progress.
        documents: that it reads.
    """

    folder: Path
    function: Callable[..., None]
    arguments: tuple[Any, ...]
    bytes: int = 0
    documents: int = 0


FILES = "files.json"
"""Sizes of the files of a result, by which one that something has damaged since is known."""

TaskRunner = Callable[[Sequence[Task]], Iterator[Task]]
"""Does tasks; yields each when it is done, and raises the first error of one."""


def do(task: Task) -> Task:
    """Does a task unless it is done."""
    if task.folder.exists():
        return task
    work = task.folder.with_name(f".{task.folder.name}.{uuid.uuid4().hex[:12]}")
    work.mkdir(parents=True)
    try:
        task.function(work, *task.arguments)
        (work / FILES).write_text(json.dumps(sizes_in(work)))
        try:
            os.replace(work, task.folder)
        except OSError:
            if not task.folder.exists():  # else another process was faster, with the same result
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return task


def undone(tasks: Sequence[Task]) -> list[Task]:
    """The tasks without a result; those whose files are cut or gone, as after a crash of the machine, are removed."""
    found = []
    for task in tasks:
        if task.folder.exists():
            if is_whole(task.folder):
                continue
            shutil.rmtree(task.folder)
        found.append(task)
    return found


def is_whole(folder: Path) -> bool:
    """Whether the files of a result are as long as they were."""
    try:
        known = json.loads((folder / FILES).read_bytes())
    except (OSError, ValueError):
        return False
    sizes = sizes_in(folder)
    sizes.pop(FILES)
    return bool(sizes == known)


def sizes_in(folder: Path) -> dict[str, int]:
    """Bytes of the files below a folder, by their paths within it."""
    return {
        os.path.relpath(os.path.join(above, name), folder): os.path.getsize(os.path.join(above, name))
        for above, _, names in os.walk(folder)
        for name in names
    }


def errors_of_task(task: Task, directory: str) -> list[str]:
    """Does a task on another machine, where relative paths start from a directory; returns what is wrong with it."""
    with chdir(directory):
        try:
            do(task)
        except InputError as error:
            return list(error.errors)
    return []


@contextmanager
def local_tasks(workers: int) -> Iterator[TaskRunner]:
    """A runner of tasks in processes of this machine, which end with the context."""
    with spawned_pool(workers) as each:
        yield lambda tasks: each(do, tasks)
