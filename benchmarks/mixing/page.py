"""Sections of ``benchmarks/mixtures.md``, each written by its own script from a small table that it keeps."""

from pathlib import Path

import pandas as pd

from benchmarks.comparing.page import filled as filled
from benchmarks.pages.page import placed

PAGE = Path(__file__).parents[1] / "mixtures.md"
KEPT = Path(__file__).parent / "kept"


def write(title: str, text: str) -> None:
    """Puts a section into the page, and prints it."""
    page = PAGE.read_text() if PAGE.exists() else "# Mixtures\n"
    PAGE.write_text(placed(page, title, text))
    print(text)


def keep(name: str, frame: pd.DataFrame) -> None:
    """Keeps results as a CSV file, with six digits."""
    KEPT.mkdir(exist_ok=True)
    frame.to_csv(KEPT / f"{name}.csv", index=False, float_format="%.6g")


def kept(name: str) -> pd.DataFrame:
    """Results that were kept."""
    return pd.read_csv(KEPT / f"{name}.csv")


def share(value: float) -> str:
    """A share in whole percent."""
    return f"{value:.0%}"


def error(value: float) -> str:
    """An error in percent."""
    return f"{value:.2%}"
