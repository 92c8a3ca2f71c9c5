"""Sections of a page, each written by its own script; ``write`` is for those of ``benchmarks/posttrain.md``."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

PAGE = Path(__file__).parents[1] / "posttrain.md"


def placed(page: str, title: str, text: str) -> str:
    """A page with its section whose heading begins so, such as ``## Laws``, replaced, or added at its end."""
    before, found, rest = page.partition(title)
    _, more, after = rest.partition("\n## ")
    tail = f"\n## {after}" if more else ""
    return f"{before if found else page.rstrip() + chr(10) * 2}{text}{tail}"


def write(title: str, text: str) -> None:
    """Puts a section into the page, and prints it."""
    page = PAGE.read_text() if PAGE.exists() else "# After pre-training\n"
    PAGE.write_text(placed(page, title, text))
    print(text)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines of a Markdown table."""
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cells)} |"


def published_tables() -> Path:
    """The folder of published tables, by the environment; ends the program where it names none."""
    folder = os.environ.get("SCALING_PUBLISHED")
    if folder is None:
        sys.exit("SCALING_PUBLISHED names no folder of published tables")
    return Path(folder)
