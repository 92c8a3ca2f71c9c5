"""Sections of ``benchmarks/comparing.md``, each written by its own script."""

import textwrap
from pathlib import Path

import pandas as pd

from benchmarks.pages.page import placed

PAGE = Path(__file__).parents[1] / "comparing.md"
HEAD = "# Comparisons\n"
COLUMNS = ("run_id", "role", "status", "params", "tokens", "flops", "seed", "loss")


def write(title: str, text: str) -> None:
    """Puts a section into the page, and prints it."""
    page = PAGE.read_text() if PAGE.exists() else HEAD
    PAGE.write_text(placed(page, title, text))
    print(text)


def filled(text: str) -> str:
    """A paragraph in lines."""
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)


def percent(value: float | None) -> str:
    """A share, or a dash for none."""
    return "-" if value is None else f"{value:.0%}"


def runs_of(folder: Path) -> pd.DataFrame:
    """Role, size, length, seed and loss of the runs of a finished sweep, from the cheapest."""
    runs = pd.read_parquet(folder / "runs.parquet", columns=list(COLUMNS))
    return runs.sort_values(["role", "flops", "params", "seed"])
