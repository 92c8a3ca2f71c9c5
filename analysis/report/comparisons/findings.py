"""What the page and the figures of a comparison show: the comparison, its score, and the contenders' own pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from analysis.comparing.comparison import Comparison, read_comparison
from analysis.comparing.score import ComparisonScore, read_comparison_score
from analysis.errors import InputError

COMPARISON, SCORE, REPORT = "comparison.json", "comparison_score.json", "report.html"


@dataclass(frozen=True)
class ComparisonFindings:
    """A comparison and what came of it.

    Attributes:
        place: the folder, or the comparison's file.
        comparison: as frozen.
        score: of it, or None while there is none.
        pages: of contenders that have one: its path from the page, by name.
    """

    place: Path
    comparison: Comparison
    score: ComparisonScore | None
    pages: Mapping[str, str]


def is_comparison(place: Path) -> bool:
    """Whether a place is a folder with a frozen comparison, or such a file."""
    if place.is_dir():
        return (place / COMPARISON).is_file()
    if place.suffix != ".json" or not place.is_file():
        return False
    with place.open("rb") as file:
        return b'"may_be_best"' in file.read()


def read_comparison_findings(place: Path) -> ComparisonFindings:
    """The findings of a folder with contenders, or of a comparison's file, whose score is ``comparison_score.json``.

    Raises:
        InputError: if a file is not what its name says, or the score is of another comparison.
    """
    file = place / COMPARISON if place.is_dir() else place
    made, beside = read_comparison(file), file.parent / SCORE
    score = read_comparison_score(beside) if beside.is_file() else None
    if score is not None and score.comparison_sha256 != made.sha256:
        if place.is_dir():
            raise InputError(f"{beside}: is the score of another comparison")
        score = None  # a file may stand beside any other
    pages = {name: f"{name}/{REPORT}" for name in made.contenders if (file.parent / name / REPORT).is_file()}
    return ComparisonFindings(place, made, score, pages)
