"""Stages after pre-training: what a table of their runs says of itself, and whether its runs show what size does."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.runs.recognition.loss_units import loss_unit
from analysis.runs.recognition.spelling import without_unit

if TYPE_CHECKING:
    from analysis.runs.arrays import RunArrays

STAGE = "stage"
# Stages whose loss falls with the data of the stage: nats per token of an answer, or per pair.
FINE_TUNING = ("sft", "reward", "dpo")
# Names of columns that count the data of a stage, where a table has no tokens, and the stage that they are of.
COUNTS: Mapping[str, tuple[str, ...]] = {
    "sft": (
        *("examples", "n_examples", "num_examples", "train_examples", "training_examples", "num_train_examples"),
        *("n_train_examples", "finetuning_examples", "demonstrations"),
    ),
    "reward": (
        *("pairs", "n_pairs", "num_pairs", "train_pairs", "training_pairs", "preference_pairs", "num_train_pairs"),
        *("comparisons", "n_comparisons", "num_comparisons", "preferences"),
    ),
}
# Stages whose loss is that of a choice between two answers.
_OF_PAIRS = ("reward", "dpo")
_CERTAIN = 3.0  # standard errors


def stage_counted_by(spelling: str) -> str | None:
    """The stage whose data a column of this spelling counts, such as ``n_pairs``, perhaps with a unit; or None."""
    names = {spelling, without_unit(spelling)[0]}
    return next((stage for stage, spellings in COUNTS.items() if names & set(spellings)), None)


def stages_of(rows: pd.DataFrame) -> list[str]:
    """The different stages of some rows, in lower case and order; empty text is that of a row without one."""
    if STAGE not in rows:
        return []
    texts = rows[STAGE].astype(object).where(rows[STAGE].notna(), "").astype("str").str.strip().str.lower()
    return sorted(texts.unique())


def fine_tuning_stage(rows: pd.DataFrame) -> str | None:
    """The stage of fine-tuning that all of these rows are of, or None."""
    found = stages_of(rows)
    return found[0] if len(found) == 1 and found[0] in FINE_TUNING else None


def unit_of(stage: str | None, columns: Mapping[str, str] | None) -> str:
    """The unit of a table's loss.

    Args:
        stage: after pre-training that its runs are of, or None.
        columns: the user's mapping from the schema's names to the file's.
    """
    return "nats per pair" if stage in _OF_PAIRS else loss_unit(columns)


def mixed_stages(rows: pd.DataFrame) -> list[str]:
    """The stages of rows whose losses are not comparable: more than one, of which one is fine-tuning; else none."""
    found = stages_of(rows)
    return found if len(found) > 1 and set(found) & set(FINE_TUNING) else []


def shows_size(runs: "RunArrays") -> bool:
    """Whether larger models have a lower loss, by more than three standard errors.

    By least squares of the log loss on log N, log D and its square: the scatter around them is the yardstick. Runs of
    one size do not show it, nor runs whose size and data grow together.
    """
    n, d = (values - values.mean() for values in (runs.inputs.n, runs.inputs.d))
    if np.ptp(n) < 1e-6:
        return False
    others = np.stack([np.ones_like(d), d, d**2], axis=1)
    own = n - _fitted(others, n)
    if own @ own < 1e-6 * (n @ n):
        return False
    rest = runs.log_loss - _fitted(others, runs.log_loss)
    slope = (own @ rest) / (own @ own)
    freedom = len(n) - 4
    if freedom < 1:
        return bool(slope < 0)
    scatter = np.sqrt(((rest - slope * own) ** 2).sum() / freedom)
    return bool(slope < -_CERTAIN * scatter / np.sqrt(own @ own))


def _fitted(
    others: Float[np.ndarray, "rows columns"], values: Float[np.ndarray, " rows"]
) -> Float[np.ndarray, " rows"]:
    """Least squares of some values on some columns."""
    fitted: Float[np.ndarray, " rows"] = others @ np.linalg.lstsq(others, values, rcond=None)[0]
    return fitted
