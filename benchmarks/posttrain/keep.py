"""Keeps what the pages and the notebook need of a finished chain: tables, frozen forecasts, scores and a few answers.

    python -m benchmarks.posttrain.keep runs/chat-seeds benchmarks/posttrain/chat

Answers are those to the first prompts by the runs of seed 0.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.pages.kept import keep_frozen, keep_tables

STAGES = ("sft", "reward", "best", "ppo", "far", "dpo")
_TABLES, _FROZEN, _SAMPLES = ("runs.parquet", "rewards.parquet"), ("forecast.json", "score.json"), "samples.json"
_PROMPTS, _DIGITS = 4, 4


def keep(chain: Path, place: Path) -> None:
    """Copies the stages of a chain's folder.

    Args:
        chain: where ``scaling run`` left it.
        place: a folder; what it holds of these names is replaced.
    """
    for stage in STAGES:
        here, there = chain / stage, place / stage
        if not here.is_dir():
            continue
        keep_tables(here, there, _TABLES)
        keep_frozen(here, there, _FROZEN)
        if (here / _SAMPLES).is_file():
            rows = _answers(json.loads((here / _SAMPLES).read_text()), pd.read_parquet(here / "runs.parquet"))
            lines = ",\n".join(json.dumps(row) for row in rows)
            (there / _SAMPLES).write_text(f"[\n{lines}\n]\n")


def _answers(rows: list[dict[str, Any]], runs: pd.DataFrame) -> list[dict[str, Any]]:
    chosen = set(runs.loc[runs["seed"] == 0, "run_id"])
    prompts = list(dict.fromkeys(row["prompt"] for row in rows))[:_PROMPTS]
    return [
        {name: round(value, _DIGITS) if isinstance(value, float) else value for name, value in row.items()}
        for row in rows
        if row["run_id"] in chosen and row["prompt"] in prompts
    ]


if __name__ == "__main__":
    keep(Path(sys.argv[1]), Path(sys.argv[2]))
