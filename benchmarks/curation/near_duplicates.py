"""How many near-duplicates are found, how many documents are dropped in error, and the CPU time: for ``curate.md``.

    python -m benchmarks.curation.near_duplicates [--seed 1] [--copies 200] [--datatrove PYTHON] [--megabytes 10]
    python -m benchmarks.curation.near_duplicates --forms 1000000

Twelve kinds of changed copies are planted among the documents that are installed (``planted.py``); which pairs are
alike is computed there, from other words. With the Python of an environment that has datatrove, its MinHash runs beside
ours on the first megabytes. A minute on one core, and one for each 30 MB of datatrove's. The second command has lines
of twelve words that differ in one: none of them may go, and one stays where it is the last word.
"""

import argparse
import hashlib
import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.curation.planted import alike, grams, planted, similarities
from scaling.data.curate.engine.batch import ID
from scaling.data.curate.engine.filtering import DROPPED
from scaling.data.curate.engine.stage import Sources, Stage
from scaling.data.curate.engine.store import TextWriter
from scaling.data.curate.engine.tasks import do
from scaling.data.curate.engine.view import PartView
from scaling.data.curate.spec import NearDuplicatesSpec
from scaling.data.curate.steps import near_duplicates

_PART = 50_000
_ALIKE, _NOT_ALIKE = 0.7, 0.5


def ids_of(texts: Sequence[str]) -> np.ndarray:
    """Ids (S16) as reading gives them."""
    return np.array([hashlib.sha256(text.encode()).digest()[:16] for text in texts], ID)


def stage_of(texts: Sequence[str], folder: Path, options: NearDuplicatesSpec) -> Stage:
    """The step on texts of one source, with its tasks in this process."""
    views = []
    for begin in range(0, len(texts), _PART):
        own = texts[begin : begin + _PART]
        sizes = np.array([len(text.encode()) for text in own])
        part = folder / f"texts{begin}"
        part.mkdir()
        writer = TextWriter(part)
        writer.add(ids_of(own), np.zeros(len(own), np.int64), own, sizes)
        writer.close()
        views.append(PartView(len(views), 0, ("texts",), len(own), int(sizes.sum()), part))
    sources = Sources(names=("texts",), only=(None,), held_out=0.01)
    return Stage(
        "near_duplicates", (options,), sources, views, folder / "step", lambda _, tasks: [do(task) for task in tasks]
    )


def ours(texts: Sequence[str], options: NearDuplicatesSpec) -> tuple[np.ndarray, np.ndarray, float]:
    """Mask of the dropped documents, the place of each one's twin (-1 where it stays), and CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        stage = stage_of(texts, Path(folder), options)
        begun = time.process_time()
        near_duplicates.run(stage)
        seconds = time.process_time() - begun
        rows = np.concatenate([np.load(view.history[-1] / DROPPED) for view in stage.left])
    places = {id: place for place, id in enumerate(ids_of(texts).tolist())}
    twins = np.full(len(texts), -1)
    twins[[places[id] for id in rows["id"].tolist()]] = [places[id] for id in rows["twin"].tolist()]
    return twins >= 0, twins, seconds


def theirs(texts: Sequence[str], python: str) -> tuple[np.ndarray, float]:
    """Mask of the documents that datatrove drops, and CPU seconds, by another Python."""
    kept, seconds = run_datatrove(texts, python)
    dropped = np.ones(len(texts), bool)
    dropped[kept] = False
    return dropped, seconds


def run_datatrove(texts: Sequence[str], python: str, *options: str) -> tuple[list[int], float]:
    """Places of the documents that datatrove keeps, and CPU seconds, by another Python."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "texts.json"), Path(folder, "made.json")
        given.write_text(json.dumps(list(texts)))
        script = Path(__file__).with_name("datatrove_minhash.py")
        subprocess.run([python, str(script), str(given), str(made), *options], check=True, stderr=subprocess.DEVNULL)
        content = json.loads(made.read_text())
    return content["kept"], content["seconds"]


def table(name: str, dropped: np.ndarray, pairs: tuple[np.ndarray, np.ndarray, np.ndarray], rate: float) -> None:
    """Prints a row: speed, recall by similarity, removals without a kept twin."""
    one, two, similarity = pairs
    both = ~dropped[one] & ~dropped[two]
    high, middle = similarity >= 0.8, (similarity >= _ALIKE) & (similarity < 0.8)
    nearest = np.zeros(len(dropped))
    np.maximum.at(nearest, one, np.where(dropped[two], 0, similarity))
    np.maximum.at(nearest, two, np.where(dropped[one], 0, similarity))
    gone = nearest[dropped]
    print(
        f"| {name} | {rate:.2f} | {1 - both[high].mean():.4f} of {high.sum()} | "
        f"{1 - both[middle].mean():.4f} of {middle.sum()} | {dropped.sum()} | {(gone < _ALIKE).mean():.4f} | "
        f"{(gone < _NOT_ALIKE).mean():.4f} |"
    )


def forms(count: int) -> None:
    """Prints what becomes of so many lines that differ in a word."""
    start = "sorry the requested product"
    middle = [f"{start} with number {place} is not in stock now" for place in range(count)]
    end = [f"{start} is not in stock now its number {place}" for place in range(count)]
    for name, texts in (("a word in the middle", middle), ("the last word", end)):
        dropped, _, seconds = ours(texts, NearDuplicatesSpec())
        size = sum(map(len, texts)) / 1e6
        print(f"| {name} | {count} | {dropped.sum()} | {seconds:.1f} s | {size / seconds:.2f} MB/s |")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--forms", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--copies", type=int, default=200)
    parser.add_argument("--datatrove", metavar="PYTHON")
    parser.add_argument("--megabytes", type=float, default=10)
    given = parser.parse_args()
    if given.forms:
        forms(given.forms)
        return
    texts, copies = planted(given.copies, given.seed)
    size = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{len(texts)} documents, {size:.1f} MB, {len(copies)} planted copies\n")
    rows = grams(texts)
    pairs = alike(rows, _NOT_ALIKE)
    dropped, twins, seconds = ours(texts, NearDuplicatesSpec())
    print("| | MB/s | recall from 0.8 | 0.7 to 0.8 | dropped | no kept twin of 0.7 | of 0.5 |")
    print("| --- " * 7 + "|")
    table("ours", dropped, pairs, size / seconds)
    named = similarities(rows, np.flatnonzero(dropped), twins[dropped])
    print(f"\nThe named twin is less alike than 0.7: {(named < _ALIKE).mean():.4f}, least {named.min():.3f}; ", end="")
    print(f"it stays itself: {(~dropped[twins[dropped]]).mean():.4f}\n")
    of_copies = similarities(rows, np.array([one for _, one, _ in copies]), np.array([two for *_, two in copies]))
    print("| planted copies | mean similarity | share from 0.7 | one of both is dropped |")
    print("| --- " * 4 + "|")
    for kind in dict.fromkeys(kind for kind, *_ in copies):
        own = [place for place, copy in enumerate(copies) if copy[0] == kind]
        gone = np.mean([dropped[copies[place][1]] or dropped[copies[place][2]] for place in own])
        print(f"| {kind} | {np.mean(of_copies[own]):.2f} | {(of_copies[own] >= _ALIKE).mean():.2f} | {gone:.2f} |")
    if given.datatrove:
        some = texts[: int(np.searchsorted(np.cumsum([len(text.encode()) for text in texts]), given.megabytes * 1e6))]
        size = sum(len(text.encode()) for text in some) / 1e6
        pairs = alike(rows[: len(some)].tocsr(), _NOT_ALIKE)
        print(f"\nThe first {len(some)} documents, {size:.1f} MB")
        mine, _, seconds = ours(some, NearDuplicatesSpec())
        table("ours", mine, pairs, size / seconds)
        other, their_seconds = theirs(some, given.datatrove)
        table("datatrove", other, pairs, size / their_seconds)
        print(f"CPU time: {their_seconds:.2f} s by {seconds:.2f} s, {their_seconds / seconds:.1f} times")


if __name__ == "__main__":
    main()
