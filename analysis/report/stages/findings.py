"""What the figures and the page of a stage show: its runs, rewards, answers, forecast and score."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import InputError
from analysis.files import readable
from analysis.forecasting.forecast import Forecast, read_forecast
from analysis.forecasting.score import Score, read_score
from analysis.report.words import few
from analysis.rewards.curves import RewardTable
from analysis.rewards.forecasting import RewardForecast, read_reward_forecast
from analysis.rewards.reading import read_rewards
from analysis.rewards.rl_curves import RlTable, read_rl_curves
from analysis.runs.filter import check_columns, columns_of, select
from analysis.runs.readers import read_columns
from analysis.runs.recognition.numbers import numbers_in

RUNS, REWARDS, SAMPLES, FORECAST, SCORE = (
    *("runs.parquet", "rewards.parquet", "samples.json", "forecast.json", "score.json"),
)
REFUSED = "refused.json"
# Columns of a table of reward models or of fine-tuned ones, with usual names.
_MODELS = {
    "params": ("n_params", "model_size", "rm_params", "n"),
    "pairs": ("n_pairs", "num_pairs", "comparisons"),
    "examples": ("n_examples", "num_examples"),
    "accuracy": ("acc", "eval_accuracy"),
    "loss": ("eval_loss", "val_loss"),
    "start_loss": (),
    "label_accuracy": (),
}
# In a table of policies the reward model that each has followed; its own loss is another thing.
_OF_PROXY = {"params": "reward_params", "accuracy": "reward_accuracy", "loss": "reward_loss"}
_SHARES, _ROUNDING, _MOST_ERRORS = ("accuracy", "label_accuracy"), 1e-9, 20
_OF_TRAINING = ("reward", "proxy", "accuracy", "gold")  # what a policy is trained on, first


@dataclass(frozen=True, eq=False)
class StageFindings:
    """The tables of a stage, each read when it is first asked for.

    Attributes:
        place: a stage's folder, or a table's file.
        where: a filter of the rows.
        columns: our column -> the table's own.
        forecast: frozen before the target's first step, or None.
        score: of the forecast: of losses, or the object of ``score.json`` about rewards; None while there is none.
        reason: why there is no forecast of the target; empty otherwise.
    """

    place: Path
    where: str | None = None
    columns: Mapping[str, str] | None = None
    forecast: Forecast | RewardForecast | None = None
    score: Score | Mapping[str, Any] | None = None
    reason: str = ""

    @cached_property
    def rewards(self) -> RewardTable:
        """The curves of rewards.

        Raises:
            InputError: there are none, or the table is not one of rewards.
        """
        return read_rewards(self.place, self.columns, self.where)

    @cached_property
    def training(self) -> RlTable:
        """The reward along training, over FLOPs or steps.

        Raises:
            InputError: there is none.
        """
        return read_rl_curves(self.place, _OF_TRAINING, columns=self.columns, where=self.where)

    @cached_property
    def models(self) -> pd.DataFrame:
        """The runs of reward models or of fine-tuned models: a row a run.

        Raises:
            InputError: the table cannot be read, or has a cell that is no number.
        """
        file = self.place / RUNS if self.place.is_dir() else self.place
        wanted = {
            *_MODELS,
            *_OF_PROXY.values(),
            *(name for names in _MODELS.values() for name in names),
            *(self.columns or {}).values(),
        }
        frame = read_columns(file, wanted | (columns_of(self.where) if self.where else set()))
        frame = _renamed(frame, str(file), self.columns or {})
        if self.where is not None:
            frame = frame[select(frame, self.where)]
        if frame.empty:
            raise InputError(f"{file}: no row" + (f" meets `where` {self.where!r}" if self.where else "s"))
        return frame

    @cached_property
    def runs(self) -> pd.DataFrame:
        """Every run of a stage's folder."""
        with readable(self.place / RUNS, "table of runs"):
            return pd.read_parquet(self.place / RUNS)

    @cached_property
    def samples(self) -> list[dict[str, Any]]:
        """Answers of some runs: ``run_id``, ``prompt``, ``answer``, and numbers by name; empty without any.

        Raises:
            InputError: the file holds something else.
        """
        file = self.place / SAMPLES
        if not file.is_file():
            return []
        with readable(file, "list of answers"):
            rows = json.loads(file.read_bytes())
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise ValueError("no list of objects")
        return [row for row in rows if isinstance(row.get("prompt"), str) and isinstance(row.get("answer"), str)]


def is_stage(folder: Path) -> bool:
    """Whether a folder's table is that of a stage after pre-training."""
    file = folder / RUNS
    if not file.is_file():
        return False
    with readable(file, "table of runs"):
        return "stage" in pd.read_parquet(file).columns


def read_stage(place: Path) -> StageFindings:
    """The findings of a stage's folder, with its forecast and score.

    Raises:
        InputError: if a file is not what its name says.
    """
    refused, frozen = place / REFUSED, place / FORECAST
    reason = ""
    if refused.is_file():
        with readable(refused, "reason"):
            reason = few([str(line) for line in json.loads(refused.read_bytes())["errors"]])
    if not frozen.is_file():
        return StageFindings(place, reason=reason)
    with readable(frozen, "forecast"):
        of_rewards = "axis" in json.loads(frozen.read_bytes())
    forecast = read_reward_forecast(frozen) if of_rewards else read_forecast(frozen)
    score: Score | dict[str, Any] | None = None
    if (place / SCORE).is_file():
        with readable(place / SCORE, "score"):
            score = dict(json.loads((place / SCORE).read_bytes())) if of_rewards else read_score(place / SCORE)
    return StageFindings(place, forecast=forecast, score=score, reason=reason)


def _renamed(frame: pd.DataFrame, source: str, columns: Mapping[str, str]) -> pd.DataFrame:
    """The rows with our names of the columns, as numbers."""
    known = list(map(str, frame.columns))
    check_columns(columns, _MODELS, "models", frame, source)
    errors: list[str] = []
    spelled = {own.lower(): own for own in reversed(known)}
    made = frame.copy()
    for name, aliases in _MODELS.items():
        usual = (_OF_PROXY.get(name, name), name, *aliases)
        own = columns.get(name) or next((spelled[each] for each in usual if each in spelled), None)
        if own is None:
            continue
        values, wrong = numbers_in(frame[own], plain="loss" in name)
        errors += [
            f"{source}:{row}: column {name!r}: {cell!r} is not a number" for row, cell in frame[own][wrong].items()
        ]
        if name in _SHARES:
            outside = (values < -_ROUNDING) | (values > 1 + _ROUNDING)
            errors += [
                f"{source}:{row}: column {name!r}: {cell:g} is no share between 0 and 1"
                for row, cell in values[outside].items()
            ]
        made[name] = values
    if errors:
        raise InputError(errors[:_MOST_ERRORS])
    return made
