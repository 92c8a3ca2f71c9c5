"""Each rule drops what is planted for it and keeps speeches; programs and manuals are kept by default, spam is not."""

import ast
import inspect
import random
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from curation.curating import paragraphs

from scaling.data.curate.rules.flat import STOP_WORDS
from scaling.data.curate.rules.statistics import statistics_of
from scaling.data.curate.rules.thresholds import RULES, broken, limits_of

MENU = ["Home", "About us", "Contact", "Products", "Login", "Cart", "Help", "Terms of use", "Sitemap", "Search", "Tags"]
NOUNS, ADJECTIVES = ["shoes", "watches", "loans", "pills", "phones"], ["cheap", "best", "free", "new", "secure"]


@pytest.fixture(scope="module")
def prose() -> list[str]:
    return [text for text in paragraphs(50, seed=4) if 100 < len(text.split()) < 5000]


def dropped(texts: list[str], *sets: str, english: bool = True) -> list[str | None]:
    """The rule that drops each text."""
    limits = limits_of(sets, {})
    reasons, _ = broken(statistics_of(texts), limits, np.full(len(texts), english))
    return [list(limits)[reason] if reason >= 0 else None for reason in reasons.tolist()]


def again(text: str, count: int, filler: Callable[[int], str]) -> str:
    """A phrase of so many words that comes again and again, in text that does not."""
    words = text.split()
    fill = iter(range(10**6))
    return " ".join(" ".join([*words[:count], *(filler(next(fill)) for _ in range(2))]) for _ in range(40))


def word(number: int) -> str:
    return f"x{number}y"


PLANTED: dict[str, Callable[[str], str]] = {
    "gopher.words": lambda text: " ".join(text.split()[:49]),
    "gopher.word_length": lambda text: "".join(text.split()) + " and the rest",
    "gopher.symbols": lambda text: text.replace(" ", " #", len(text.split()) // 5),
    "gopher.bullets": lambda text: "\n".join(f"\u2022 {part}" for part in text.split()),
    "gopher.ellipses": lambda text: text.replace(". ", "...\n"),
    "gopher.letters": lambda text: f"{text} {'1234 ' * (len(text.split()) // 2)}",
    "gopher.stop_words": lambda text: " ".join(part for part in text.split() if part not in STOP_WORDS[1:]),
    "gopher.duplicate_paragraphs": lambda text: f"{text}\n\n{text}",
    "gopher.duplicate_paragraph_characters": lambda text: f"{text}\n\n{text}",
    "gopher.duplicate_lines": lambda text: f"{text}\n" + "And so on.\n" * 10,
    "gopher.duplicate_line_characters": lambda text: f"{text}\n\n{text.upper()}\n{text}",
    **{f"gopher.top_{count}grams": lambda text, count=count: again(text, count, word) for count in (2, 3, 4)},
    **{f"gopher.duplicate_{count}grams": lambda text, count=count: again(text, count, word) for count in range(5, 11)},
    "fineweb.line_ends": lambda text: text.replace(".", ",").replace("?", ",").replace("!", ","),
    "fineweb.short_lines": lambda text: "\n".join(text.split()),
    "fineweb.duplicated_characters": lambda text: f"{text}\n{text[:100]}\n{text[:100]}",
    "fineweb.newlines": lambda text: "\n".join(text.split()),
    "c4.sentences": lambda text: " ".join(text.replace(".", ",").replace("?", ",").replace("!", ",").split()) + ".",
    "c4.curly_brackets": lambda text: f"{text} {{",
    "c4.lorem_ipsum": lambda text: f"{text} LOREM Ipsum",
}


def test_every_rule_is_planted() -> None:
    assert list(PLANTED) == list(RULES)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_keeps_prose_and_drops_what_is_planted(name: str, prose: list[str]) -> None:
    rule = RULES[name]
    limits = limits_of((), {name: (rule.least, rule.most)})
    english = np.ones(len(prose), bool)
    kept, values = broken(statistics_of(prose), limits, english)
    assert (kept < 0).mean() > (0.6 if name == "c4.sentences" else 0.98)
    assert np.isfinite(values[name]).all()
    reasons, _ = broken(statistics_of([PLANTED[name](text) for text in prose]), limits, english)
    assert (reasons == 0).mean() > 0.9


@pytest.mark.parametrize("name", RULES)
def test_a_rule_says_what_it_is(name: str) -> None:
    rule = RULES[name]
    assert rule.definition.endswith(".")
    assert {"gopher": "2112.11446", "fineweb": "2406.17557", "c4": "1910.10683"}[name.split(".")[0]] in rule.source
    for bound in (rule.least, rule.most):
        assert bound is None or rule.span[0] <= bound <= rule.span[1]
    assert rule.least is not None or rule.most is not None


def test_the_published_limits() -> None:
    grams = {count: (20 - count) / 100 for count in range(5, 11)}
    assert limits_of(["fineweb", "gopher"], {}) == {
        "gopher.words": (50, 100_000),
        "gopher.word_length": (3, 10),
        "gopher.symbols": (None, 0.1),
        "gopher.bullets": (None, 0.9),
        "gopher.ellipses": (None, 0.3),
        "gopher.letters": (0.8, None),
        "gopher.stop_words": (2, None),
        "gopher.duplicate_paragraphs": (None, 0.3),
        "gopher.duplicate_paragraph_characters": (None, 0.2),
        "gopher.duplicate_lines": (None, 0.3),
        "gopher.duplicate_line_characters": (None, 0.2),
        "gopher.top_2grams": (None, 0.2),
        "gopher.top_3grams": (None, 0.18),
        "gopher.top_4grams": (None, 0.16),
        **{f"gopher.duplicate_{count}grams": (None, share) for count, share in grams.items()},
        "fineweb.line_ends": (0.12, None),
        "fineweb.short_lines": (None, 0.67),
        "fineweb.duplicated_characters": (None, 0.01),
        "fineweb.newlines": (None, 0.3),
    }
    assert limits_of(["c4"], {}) == {
        "c4.sentences": (5, None),
        "c4.curly_brackets": (None, 0),
        "c4.lorem_ipsum": (None, 0),
    }


def test_limits_stand_in_place_of_the_published_ones(prose: list[str]) -> None:
    limits = limits_of(["c4"], {"gopher.words": (None, 3), "c4.curly_brackets": (None, None)})
    assert list(limits) == ["gopher.words", "c4.sentences", "c4.curly_brackets", "c4.lorem_ipsum"]
    reasons, _ = broken(statistics_of(["{ {", "one two three four", *prose[:2]]), limits, np.ones(4, bool))
    assert reasons.tolist() == [1, 0, 0, 0]


def test_a_document_is_dropped_for_its_first_rule() -> None:
    assert dropped(["buy now", "12 " * 60, "Home\n" * 60], "gopher", "fineweb") == [
        "gopher.words",
        "gopher.word_length",
        "gopher.stop_words",
    ]


def test_bounds_themselves_are_kept() -> None:
    limits = limits_of((), {"gopher.words": (3, 5)})
    found, _ = broken(statistics_of(["a b", "a b c", "a b c d e", "a b c d e f"]), limits, np.ones(4, bool))
    assert found.tolist() == [0, -1, -1, 0]


def test_stop_words_are_asked_of_english_only(prose: list[str]) -> None:
    foreign = [PLANTED["gopher.stop_words"](prose[0])]
    assert dropped(foreign, "gopher") == ["gopher.stop_words"]
    assert dropped(foreign, "gopher", english=False) == [None]


def modules(package: str) -> list[str]:
    """Sources of a package's modules."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    root = Path(spec.submodule_search_locations[0])
    return [file.read_text("utf-8") for file in sorted(root.glob("*.py"))]


def docstrings(source: str) -> str:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    found = [ast.get_docstring(node) for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    return "\n\n".join(each for each in found if each)


def manual(source: str) -> str:
    """A docstring as a manual page has text: indented and wrapped."""
    lines = inspect.cleandoc(docstrings(source)).splitlines()
    return "\n".join(" " * 7 + line if line.strip() else "" for line in lines)


REFERENCES = ("numpy.lib", "numpy.polynomial", "logging", "email")
KINDS: dict[str, Callable[[], list[str]]] = {
    "programs": lambda: modules("asyncio") + modules("email") + modules("importlib") + modules("json"),
    "references": lambda: [docstrings(text) for name in REFERENCES for text in modules(name)],
    "manuals": lambda: [manual(text) for name in REFERENCES for text in modules(name)],
}


@pytest.mark.parametrize("kind", KINDS)
def test_programs_and_manuals_are_kept_by_default(kind: str) -> None:
    texts = [text for text in KINDS[kind]() if len(text) > 500]
    reasons = dropped(texts, "gopher", "fineweb")
    assert len(texts) > 30
    assert np.mean([reason is not None for reason in reasons]) < 0.35
    sizes = np.array([len(text) for text in texts])
    assert sizes[[reason is not None for reason in reasons]].sum() < 0.35 * sizes.sum()


SPAM: dict[str, Callable[[random.Random], str]] = {
    "menus": lambda chance: "\n".join(chance.choices(MENU, k=90)),
    "indented menus": lambda chance: "\n".join("    " + each for each in chance.choices(MENU, k=90)),
    "bullets": lambda chance: "\n".join(f"  \u2022 {chance.choice(MENU)} {number}" for number in range(90)),
    "keywords": lambda chance: "\n".join(
        " ".join(f"{chance.choice(ADJECTIVES)} {chance.choice(NOUNS)}" for _ in range(20)) for _ in range(9)
    ),
    "templates": lambda chance: " ".join(
        f"Get the best {chance.choice(NOUNS)} of all and have them sent to you with free delivery." for _ in range(30)
    ),
    "phrases": lambda chance: f"to be {chance.choice(ADJECTIVES)} that is the {chance.choice(NOUNS)} of it. " * 30,
    "hashtags": lambda chance: " ".join(f"#{chance.choice(NOUNS)} of the {chance.choice(NOUNS)} to" for _ in range(40)),
    "numbers": lambda chance: "\n".join(" ".join(str(chance.randrange(10**6)) for _ in range(9)) for _ in range(30)),
    "letters": lambda chance: " ".join("".join(chance.choices("abcdefgh", k=30)) for _ in range(90)),
    "links": lambda chance: "\n".join(f"http://{chance.choice(NOUNS)}{n}.example/a?id={n}&to=the" for n in range(90)),
}


@pytest.mark.parametrize("kind", SPAM)
def test_spam_is_dropped(kind: str) -> None:
    assert None not in dropped([SPAM[kind](random.Random(seed)) for seed in range(20)], "gopher", "fineweb")
