"""No sentence under a figure of a stage is false, whatever the table: each is recomputed from the rows."""

import re
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from posttraining import stage_tables
from posttraining.stage_claims import CHECKS, NUMBER

from analysis.errors import InputError
from analysis.report.stages.figures import STAGE_KINDS
from analysis.report.stages.findings import StageFindings


def reading(kind: str, frame: pd.DataFrame, place: Path) -> str:
    frame.to_parquet(place / "table.parquet")
    return STAGE_KINDS[kind][1](StageFindings(place / "table.parquet")).reading


@pytest.mark.parametrize("kind", CHECKS)
def test_no_sentence_is_false(kind: str, tmp_path: Path) -> None:
    """And were a number of it another, its check would see it."""
    told, unnoticed = 0, []
    for seed in range(stage_tables.SEEDS):
        frame = stage_tables.models(seed) if kind in stage_tables.MODELS else stage_tables.rewards(seed)
        try:
            text = reading(kind, frame, tmp_path)
        except InputError:
            continue
        CHECKS[kind](frame, text)
        told += 1
        if seed % 4 == 0:
            unnoticed += [other for other in altered(text) if not noticed(kind, frame, other)]
    assert told > stage_tables.SEEDS / 3
    assert unnoticed == []


def altered(text: str) -> list[str]:
    """The sentence with each of its numbers another, but for those of labels."""
    made = []
    for found in re.finditer(rf"(?<![\w.-]){NUMBER}(?![\w-]|\.\d)", text):
        if not text[found.end() :].startswith((" pairs", " parameters", " (best", " (trained")):
            other = 1.5 * float(found[1]) + 0.3
            made.append(f"{text[: found.start()]}{other:+.4g}{text[found.end() :]}".replace("n = +", "n = "))
    return made


def noticed(kind: str, frame: pd.DataFrame, text: str) -> bool:
    with suppress(AssertionError, ValueError, KeyError):
        CHECKS[kind](frame, text)
        return False
    return True
