"""Reading reward curves from anybody's tables: usual names of columns, and checks with row and column."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.rewards.curves import ALIKE, FACTS, RewardTable
from analysis.rewards.samples import curves_of_samples
from analysis.runs.filter import check_columns, closest, columns_of, select
from analysis.runs.readers import read_columns
from analysis.runs.recognition.numbers import numbers_in
from analysis.runs.recognition.spelling import normalised

# Usual names, as ``normalised`` spells them; the first that a table has is taken.
ALIASES = {
    "run_id": ("run", "run_name"),
    "step": ("steps", "iteration", "global_step", "train_global_step", "episode", "training_global_step"),
    "n": ("best_of", "best_of_n", "bon_n", "n_samples", "num_samples"),
    "kl": ("objective_kl", "kl_divergence", "kl_mean", "mean_kl", "kl_from_start", "kl_to_ref", "kl_ref"),
    "kl_bound": ("analytic_kl", "kl_analytic"),
    "proxy": (
        *("proxy_reward", "reward_proxy", "proxy_score", "objective_scores", "rewards_mean", "reward_mean"),
        *("mean_reward", "env_reward_mean", "critic_score_mean", "critic_rewards_mean", "reward"),
    ),
    "gold": ("gold_reward", "reward_gold", "gold_score", "gold_mean", "true_reward"),
    "gold_stderr": ("reward_gold_stderr", "gold_se", "gold_sem", "gold_std_error"),
    "win_rate": ("winrate", "gold_win_rate"),
    "length": ("mean_length", "response_length_mean", "completions_mean_length", "response_length"),
    "stopped": ("finished", "share_stopped"),
    "distinct": ("share_distinct",),
    "pairs": ("n_pairs", "num_pairs", "preference_pairs", "comparisons", "reward_pairs"),
    "reward_params": ("rm_params", "proxy_params", "reward_model_params", "rm_size"),
    "loss": ("reward_loss", "rm_loss", "proxy_loss", "eval_loss"),
    "accuracy": ("reward_accuracy", "rm_accuracy", "proxy_accuracy", "eval_accuracy"),
    "policy_params": ("policy_size",),
    "seed": (),
    "role": (),
    "prompt": ("prompt_id",),
}
_TEXTS = ("run_id", "role", "prompt")
_SHARES = ("win_rate", "stopped", "distinct", "accuracy")
_POSITIVE = ("pairs", "reward_params", "length", "policy_params")
_REQUIRED = (("kl", "n"), ("gold", "proxy"))
_ROUNDING = 1e-9  # by so much may a share computed as a weighted mean lie outside 0 and 1
_SLACK = 0.05  # nats: by so much may an estimate of a small divergence fall below 0
_MOST_ERRORS = 20
_LARGEST = 1e100  # of any number: squares of larger ones are infinite
_RUN = ("pairs", "reward_params", "policy_params", "seed", "role")  # what tells runs apart, where no name does


def read_rewards(
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    where: str | None = None,
    target: float | None = None,
) -> RewardTable:
    """Reads reward curves: a stage's folder, or a CSV, JSON, Parquet or Excel file.

    Columns of a run, such as ``pairs`` and ``role``, may also be in ``runs.parquet`` beside ``rewards.parquet``. A
    table of samples, with ``prompt``, ``proxy`` and ``gold`` of each answer, becomes the exact curve of best-of-n.

    Args:
        path: the file, or the folder that holds ``rewards.parquet``.
        columns: the schema's name -> the file's name, where the usual ones do not suffice.
        where: a filter for the rows.
        target: pairs whose rows are taken too, whatever the filter says.

    Raises:
        InputError: one line per error, with row and column.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "rewards.parquet"
        if not path.is_file():
            raise InputError(f"{path.parent}: a folder without rewards.parquet; give a stage's folder, or a file")
    wanted = {*ALIASES, *(name for names in ALIASES.values() for name in names), *(columns or {}).values()}
    frame = read_columns(path, wanted | (columns_of(where) if where else set()))
    runs = path.with_name("runs.parquet")
    beside = (
        read_columns(runs, {"run_id", *_RUN, *FACTS}) if path.name == "rewards.parquet" and runs.is_file() else None
    )
    return rewards_of(frame, str(path), columns, where, beside, target)


def rewards_of(
    frame: pd.DataFrame,
    source: str = "table",
    columns: Mapping[str, str] | None = None,
    where: str | None = None,
    runs: pd.DataFrame | None = None,
    target: float | None = None,
) -> RewardTable:
    """Checks a frame of reward curves: ``kl`` or ``n``, and ``gold`` or ``proxy``, of each row.

    Args:
        frame: the rows; its index is each row's place in its source.
        source: for messages.
        columns: the schema's name -> the frame's name.
        where: a filter for the rows.
        runs: a table of runs by ``run_id``, whose columns the frame takes where it lacks them.
        target: pairs whose rows are taken too, whatever the filter says.

    Raises:
        InputError: one line per error, with row and column.
    """
    frame = _renamed(frame, source, columns)
    frame = _joined(frame, runs)
    samples = "prompt" in frame and not {"n", "kl"} & set(frame) and {"proxy", "gold"} <= set(frame)
    known = list(map(str, frame.columns))
    if not samples and (errors := list(_missing(known, source))):
        raise InputError(errors)
    if where is not None:
        frame = frame[select(frame, where) | _of_pairs(frame, target)]
        if frame.empty:
            raise InputError(f"{source}: no row meets `where` {where!r}")
    frame = _checked(frame, source)
    frame = _named(frame, source)
    if samples:
        frame, by_prompt = curves_of_samples(frame, source)
        return RewardTable(_filled(frame), source, "gold", (), by_prompt, where, columns)
    return replace(_table(_filled(frame), source), where=where, columns=columns)


def _of_pairs(frame: pd.DataFrame, pairs: float | None) -> Bool[np.ndarray, " rows"]:
    """Mask of the rows of some number of pairs."""
    if pairs is None or "pairs" not in frame:
        return np.zeros(len(frame), bool)
    return np.isclose(numbers_in(frame["pairs"])[0].to_numpy(), pairs, rtol=ALIKE)


def _table(frame: pd.DataFrame, source: str) -> RewardTable:
    """The table of checked rows: which reward is forecast, and the rows that have it."""
    notes: tuple[Diagnostic, ...] = ()
    if frame["gold"].isna().all() and "win_rate" in frame and frame["win_rate"].notna().any():
        frame = frame.assign(gold=frame["win_rate"] - 0.5)
        notes = (Diagnostic("columns-read", "the gold reward is the win rate less one half, as 2406.02900 has it"),)
    reward = "gold" if frame["gold"].notna().any() else "proxy"
    usable = frame[reward].notna() & (frame["n"].notna() | frame["kl"].notna())
    if not usable.any():
        raise InputError(f"{source}: no row has both n or kl and a reward")
    table = RewardTable(frame[usable], source, reward, notes)
    errors = [*_repeated(table.frame, source), *_differing(table.frame, source)]
    if errors:
        raise InputError(errors[:_MOST_ERRORS])
    return table


def _renamed(frame: pd.DataFrame, source: str, columns: Mapping[str, str] | None) -> pd.DataFrame:
    """The frame with the schema's names beside its own."""
    known = list(map(str, frame.columns))
    check_columns(columns, ALIASES, "rewards", frame, source)
    spelled: dict[str, str] = {}
    for own in known:
        spelled.setdefault(normalised(own), own)
    found: dict[str, str] = dict(columns or {})
    for name, aliases in ALIASES.items():
        present = [spelled[alias] for alias in (name, *aliases) if alias in spelled]
        if present and name not in found:
            found[name] = present[0]
    return frame.assign(**{name: frame[own] for name, own in found.items()})


def _joined(frame: pd.DataFrame, runs: pd.DataFrame | None) -> pd.DataFrame:
    """The frame with what is known of its runs.

    The ``loss`` and ``accuracy`` of a policy's run are its own, and not those of its reward model, which are
    ``reward_loss`` and ``reward_accuracy`` there.
    """
    if runs is None or "run_id" not in frame or "run_id" not in runs:
        return frame
    if "stage" in runs:
        runs = runs.drop(columns=[name for name in ("loss", "accuracy") if name in runs])
        runs = runs.rename(columns={"reward_loss": "loss", "reward_accuracy": "accuracy"})
    names = dict.fromkeys((*_RUN, *FACTS))
    facts = [name for name in names if name in runs and (name not in frame or frame[name].isna().all())]
    once = runs.drop_duplicates("run_id", keep="last").set_index("run_id")[facts]
    kept = frame.drop(columns=[name for name in facts if name in frame])
    return kept.join(once, on="run_id")


def _missing(known: list[str], source: str) -> Iterator[str]:
    for either in _REQUIRED:
        if not set(either) & set(known) and not ("gold" in either and "win_rate" in known):
            first = either[0]
            names = " or ".join(map(repr, either))
            yield f"{source}: no column {names}{closest(first, known)}; choose with `columns` {first}=..."


def _checked(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """The frame with numbers in float64, each in its range.

    Raises:
        InputError: one line per error, with row and column.
    """
    errors: list[str] = []
    frame = frame.copy(deep=False)
    for name in [name for name in ALIASES if name in frame and name not in _TEXTS]:
        cells = frame[name]
        values, wrong = numbers_in(cells, plain=name in ("kl", "proxy", "gold", "gold_stderr", "loss"))
        errors += [f"{source}:{row}: column {name!r}: {cell!r} is not a number" for row, cell in cells[wrong].items()]
        unsound = np.zeros(len(values), bool) | wrong
        for reason, mask in _faults(name, values.to_numpy()):
            errors += [
                f"{source}:{row}: column {name!r}: {cell:g} {reason}" for row, cell in values[mask & ~unsound].items()
            ]
            unsound |= mask
        low, high = (0.0, np.inf) if name == "kl" else (0.0, 1.0) if name in _SHARES else (-np.inf, np.inf)
        frame[name] = values.clip(low, high)
    if errors:
        hidden = len(errors) - _MOST_ERRORS
        raise InputError(errors[:_MOST_ERRORS] + ([f"{source}: {hidden} more errors"] if hidden > 0 else []))
    return frame


def _faults(name: str, values: Float[np.ndarray, " rows"]) -> Iterator[tuple[str, Bool[np.ndarray, " rows"]]]:
    """What may be wrong with the numbers of a column, and where it is; a missing one is no fault."""
    yield "is not finite", np.isinf(values)
    yield "is larger than any reward", np.abs(values) > _LARGEST
    if name == "n":
        yield (
            "is no number of samples: a whole one, 1 or more",
            (values < 1) | (values != np.trunc(values)) & ~np.isnan(values),
        )
    if name == "kl":
        yield "is negative, which no KL divergence is", values < -_SLACK
    if name in _SHARES:
        yield "is no share between 0 and 1", (values < -_ROUNDING) | (values > 1 + _ROUNDING)
    if name in _POSITIVE:
        yield "is not positive", values <= 0
    if name in ("gold_stderr", "step"):
        yield "is negative", values < 0


def _named(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """The frame with the id of each row's run: its own, or one made of what tells the runs apart.

    Raises:
        InputError: one line per row without the id that others have, or without its prompt.
    """
    absent = [
        f"{source}:{row}: column {name!r}: is empty"
        for name in ("run_id", "prompt")
        if name in frame and frame[name].notna().any()
        for row in frame.index[frame[name].isna()]
    ]
    if absent:
        raise InputError(absent[:_MOST_ERRORS])
    if "run_id" in frame and frame["run_id"].notna().any():
        return frame.assign(run_id=frame["run_id"].astype("str"))
    parts = [name for name in _RUN if name in frame]
    if not parts:
        return frame.assign(run_id="run")
    names = [
        " ".join(
            f"{name} {cell:g}" if isinstance(cell, float) else str(cell)
            for name, cell in zip(parts, row, strict=True)
            if not pd.isna(cell)
        )
        for row in frame[parts].itertuples(index=False)
    ]
    return frame.assign(run_id=names)


def _filled(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with every column that a curve has, NaN where the table lacks it."""
    absent = [name for name in ("n", "kl", "step", "proxy", "gold", "gold_stderr", *FACTS) if name not in frame]
    return frame.assign(**dict.fromkeys(absent, np.nan))


def _repeated(frame: pd.DataFrame, source: str) -> Iterator[str]:
    """A line on each run that has an n twice, or a policy's step, at the first such row."""
    for name, rows in (("n", frame[frame["n"].notna()]), ("step", frame[frame["n"].isna() & frame["step"].notna()])):
        again = rows[rows.duplicated(["run_id", name])]
        for row, (run, value) in again.drop_duplicates("run_id")[["run_id", name]].iterrows():
            yield (
                f"{source}:{row}: column {name!r}: run {run!r} has {name} = {value:g} more than once; name the runs in "
                "`columns` run_id"
            )


def _differing(frame: pd.DataFrame, source: str) -> Iterator[str]:
    """A line on each run whose reward model has more than one size or number of pairs."""
    for name in ("pairs", "reward_params"):
        different = frame.groupby("run_id", sort=True)[name].nunique()
        for run in different.index[different > 1]:
            values = frame.loc[frame["run_id"] == run, name]
            row = values.index[values.ne(values.iloc[0]).to_numpy()][0]
            yield f"{source}:{row}: column {name!r}: run {run!r} has several: is run_id another column?"
