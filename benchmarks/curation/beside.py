"""Language, rules and near-duplicates together, beside datatrove's rules and MinHash: CPU time for ``curate.md``.

    python -m benchmarks.curation.beside --datatrove PYTHON [--megabytes 10] [--seed 1]

Ours reads a file, judges the language, and writes Parquet; datatrove has the texts in memory, and judges none.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.curation.near_duplicates import run_datatrove
from benchmarks.curation.planted import planted
from scaling.data.curate.curate import curate
from scaling.data.curate.engine.tasks import TaskRunner, do
from scaling.data.curate.text.language import judge
from scaling.data.spec import BuildSpec

_STEPS = {"language": {"keep": ["en"]}, "rules": ["gopher", "fineweb"], "near_duplicates": {}}


@contextmanager
def here() -> Iterator[TaskRunner]:
    """A runner of tasks in this process."""
    yield lambda tasks: map(do, tasks)


def ours(texts: list[str]) -> tuple[int, float]:
    """Documents that stay, and CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "texts.jsonl")
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        spec = BuildSpec.model_validate({"name": "beside", "sources": [str(file)], "curate": _STEPS})
        judge(["This loads the model of languages."], ("en",), 1000, 1)
        begun = time.process_time()
        funnel = curate(spec, Path(folder, "out"), here, lambda _: None).funnel
        return funnel["documents"]["kept"], time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--datatrove", metavar="PYTHON", required=True)
    parser.add_argument("--megabytes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    texts, size = [], 0.0
    for text in planted(200, given.seed)[0]:
        size += len(text.encode()) / 1e6
        if size > given.megabytes:
            break
        texts.append(text)
    kept, seconds = ours(texts)
    their_kept, their_seconds = run_datatrove(texts, given.datatrove, "rules")
    print(f"{len(texts)} documents, {min(size, given.megabytes):.1f} MB")
    print(f"ours: {kept} stay, {seconds:.1f} s, {given.megabytes / seconds:.2f} MB/s")
    print(f"datatrove: {len(their_kept)} stay, {their_seconds:.1f} s, {given.megabytes / their_seconds:.2f} MB/s")
    print(f"{their_seconds / seconds:.1f} times the CPU time")


if __name__ == "__main__":
    main()
