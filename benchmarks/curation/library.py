"""Trusted text beside a messy corpus: clean pages that ``messy.py`` has left over, as references of a classifier.

    python -m benchmarks.curation.messy DIR --megabytes 20
    python -m benchmarks.curation.library DIR --megabytes 20

``DIR/library.jsonl`` has 1,000 pages, of which no one shares many 13-grams with the held-out ones.
"""

import argparse
import json
import random
from pathlib import Path

from benchmarks.curation.messy import clean_pages, messy, unshared

PAGES = 1000


def library(seed: int, megabytes: float) -> list[str]:
    """Clean pages that are in neither part of the messy corpus of this seed and size."""
    pages, _ = clean_pages(random.Random(seed))  # the corpus begins with them, in this order
    corpus = messy(seed, megabytes)
    taken = sum(document["kind"] == "clean" for document in corpus.documents)
    return unshared(pages[taken:], corpus.held_out)[:PAGES]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    texts = library(options.seed, options.megabytes)
    lines = (json.dumps({"text": text, "kind": "library"}, ensure_ascii=False) + "\n" for text in texts)
    (options.folder / "library.jsonl").write_text("".join(lines), encoding="utf-8")
    print(f"library.jsonl: {len(texts):6} library, {sum(len(text.encode()) for text in texts) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
