"""Curves of reinforcement learning over its compute or steps: anybody's table, or the folder of a stage."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.errors import InputError
from analysis.runs.filter import check_columns, columns_of, select
from analysis.runs.readers import read_columns
from analysis.runs.recognition.numbers import numbers_in

REWARDS, RUNS = "rewards.parquet", "runs.parquet"
# What rises with training, best known first: the true reward, a share of right answers, the reward trained on.
VALUES = ("gold", "accuracy", "reward", "win_rate", "proxy")
SHARES = ("accuracy", "win_rate")  # between 0 and 1
_NAMES = {
    "run_id": ("run", "name", "run_name"),
    "params": ("n", "n_params", "model_size"),
    "flops": ("c", "compute", "training_flops"),
    "step": ("steps", "iteration", "global_step", "episode", "episodes"),
    "gold": ("gold_reward", "reward_gold"),
    "accuracy": ("acc", "pass_rate", "pass@1"),
    "reward": ("return", "mean_reward", "score", "episode_reward"),
    "win_rate": ("winrate",),
    "proxy": ("proxy_reward", "reward_proxy"),
}
_POSITIVE, _ROUNDING, _LARGEST, _MOST_ERRORS = ("params",), 1e-9, 1e100, 10
_MOST_ROWS = 100  # of each curve, after neighbours are averaged


@dataclass(frozen=True)
class RlCurve:
    """What a run measured while it trained.

    Attributes:
        run_id: of the run.
        params: of the policy; None where the table does not say.
        x: FLOPs or steps, increasing, not negative.
        value: the reward or accuracy there.
    """

    run_id: str
    params: float | None
    x: Float[np.ndarray, " rows"]
    value: Float[np.ndarray, " rows"]

    def before(self, most: float) -> "RlCurve":
        """The part of the curve up to an x."""
        keep = self.x <= most
        return RlCurve(self.run_id, self.params, self.x[keep], self.value[keep])

    def averaged(self) -> "RlCurve":
        """The curve with means of neighbours, at most 100 rows; a start at 0 stays by itself."""
        if len(self.x) <= _MOST_ROWS:
            return self
        parts = np.array_split(np.arange(len(self.x)), _MOST_ROWS)
        if self.x[0] == 0:
            parts = [np.array([0]), *np.array_split(np.arange(1, len(self.x)), _MOST_ROWS - 1)]
        x, value = (np.array([each[part].mean() for part in parts]) for each in (self.x, self.value))
        return RlCurve(self.run_id, self.params, x, value)


@dataclass(frozen=True)
class RlTable:
    """Curves of some runs.

    Attributes:
        curves: by run, in the order of their names.
        x: what they are over: ``flops`` or ``step``.
        value: the column of their values.
        source: for messages.
        sha256: of the rows.
    """

    curves: tuple[RlCurve, ...]
    x: str
    value: str
    source: str
    sha256: str

    @property
    def sizes(self) -> tuple[float, ...]:
        """Different sizes of the policies, increasing.

        Raises:
            InputError: the table does not say them.
        """
        if any(curve.params is None for curve in self.curves):
            raise InputError(
                f"{self.source}: no column 'params': the law is over sizes; choose with `columns` params=..."
            )
        return tuple(sorted({curve.params for curve in self.curves if curve.params is not None}))


def read_rl_curves(
    path: str | Path,
    values: Sequence[str] = VALUES,
    over: Sequence[str] = ("flops", "step"),
    columns: Mapping[str, str] | None = None,
    where: str | None = None,
) -> RlTable:
    """Reads curves of reward or accuracy.

    Args:
        path: a table of ``run_id``, ``flops`` or ``step``, a value and perhaps ``params``, a row a measurement; or the
            folder of a stage, whose ``rewards.parquet`` gets the FLOPs of its runs in proportion to their steps.
        values: columns to take the value from; the first that is there.
        over: columns that the curves may be over; the first that is there.
        columns: our name -> the table's own.
        where: a filter of the rows.

    Raises:
        InputError: one line per error.
    """
    path = Path(path)
    file = path / REWARDS if path.is_dir() else path
    wanted = {*_NAMES, *(n for names in _NAMES.values() for n in names), *(columns or {}).values()}
    read = read_columns(file, wanted | (columns_of(where) if where else set()))
    frame = _renamed(read, str(file), columns)
    runs = file.with_name(RUNS)
    if file.name == REWARDS and runs.is_file() and "run_id" in frame:
        frame = _with_runs(frame, read_columns(runs, {"run_id", "params", "flops", "stage", "pairs", "seed"}))
    if where is not None:
        frame = frame[select(frame, where)]
        if frame.empty:
            raise InputError(f"{file}: no row meets `where` {where!r}")
    if frame.empty:
        raise InputError(f"{file}: has no row")
    value, x = (_first(frame, names, str(file)) for names in (values, over))
    rows = _numeric(frame, [name for name in (x, value, "params") if name in frame], str(file))
    rows = _named(rows.dropna(subset=[x, value]), x, str(file))
    if rows.empty:
        raise InputError(f"{file}: no row has both {x!r} and {value!r}")
    curves = tuple(_curve(str(name), part, x, value, str(file)) for name, part in rows.groupby("run_id", sort=True))
    hashed = [name for name in ("run_id", "params", x, value) if name in rows]
    lines = sorted("|".join(map(repr, row)) for row in rows[hashed].itertuples(index=False, name=None))
    digest = hashlib.sha256("\n".join([*hashed, *lines]).encode()).hexdigest()
    return RlTable(curves, x, value, str(file), digest)


def _renamed(frame: pd.DataFrame, source: str, columns: Mapping[str, str] | None) -> pd.DataFrame:
    check_columns(columns, _NAMES, "rewards", frame, source)
    made = frame.assign(**{name: frame[own] for name, own in (columns or {}).items()})
    lowered = {str(own).lower(): own for own in frame.columns}
    for name, aliases in _NAMES.items():
        found = [lowered[alias] for alias in (name, *aliases) if alias in lowered]
        if name not in made and found:
            made[name] = frame[found[0]]
    return made


def _with_runs(rewards: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Rows with the columns of their runs; the FLOPs of a whole run fall to its rows in proportion to their steps."""
    # A stage's table of runs has the name of its gold reward in a column of that name.
    twice = [name for name in runs if (name in rewards or name in VALUES) and name != "run_id"]
    facts = runs.drop(columns=twice)
    joined = rewards.merge(facts.drop_duplicates("run_id", keep="last"), on="run_id", how="left")
    joined.index = rewards.index
    if "flops" in facts and "step" in joined:
        last = joined.groupby("run_id")["step"].transform("max")
        joined["flops"] = joined["flops"] * joined["step"] / last
    return joined


def _first(frame: pd.DataFrame, names: Sequence[str], source: str) -> str:
    found = next((name for name in names if name in frame and frame[name].notna().any()), None)
    if found is None:
        listed = ", ".join(names)
        raise InputError(f"{source}: none of the columns {listed}; choose with `columns` {names[0]}=...")
    return found


def _numeric(frame: pd.DataFrame, names: Sequence[str], source: str) -> pd.DataFrame:
    """The rows with numbers in these columns; gaps stay gaps."""
    errors: list[str] = []
    for name in names:
        values, wrong = numbers_in(frame[name], plain=name in VALUES and name not in SHARES)
        bad = wrong | (values.abs() > _LARGEST).to_numpy()
        if name in ("flops", "step", "params"):
            bad |= (values < 0).to_numpy() | ((values == 0) & (name in _POSITIVE)).to_numpy()
        errors += [
            f"{source}:{row}: column {name!r}: {value!r} is not a number that can be used"
            for row, value in frame[name][bad].items()
        ]
        if name in SHARES:
            outside = ~bad & ((values < -_ROUNDING) | (values > 1 + _ROUNDING)).to_numpy()
            errors += [
                f"{source}:{row}: column {name!r}: {value:g} is no share between 0 and 1"
                for row, value in values[outside].items()
            ]
        frame = frame.assign(**{name: values})
    if errors:
        more = len(errors) - _MOST_ERRORS
        raise InputError(errors[:_MOST_ERRORS] + ([f"{source}: {more} more errors"] if more > 0 else []))
    return frame


def _named(rows: pd.DataFrame, x: str, source: str) -> pd.DataFrame:
    """The rows with the id of each one's run: its own, or else its size.

    Raises:
        InputError: rows without the id that others have, or runs without ids that cannot be told apart.
    """
    if "run_id" in rows and rows["run_id"].notna().any():
        if absent := [f"{source}:{row}: column 'run_id': is empty" for row in rows.index[rows["run_id"].isna()]]:
            raise InputError(absent[:_MOST_ERRORS])
        return rows
    rows = rows.assign(run_id=rows["params"].map("{:g}".format) if "params" in rows else "run")
    again = rows.index[rows.duplicated(["run_id", x])]
    if len(again):
        raise InputError(
            f"{source}:{again[0]}: column {x!r}: {rows[x][again[0]]:g} is there already, of which run? name the runs "
            "in `columns` run_id"
        )
    return rows


def _curve(run_id: str, rows: pd.DataFrame, x: str, value: str, source: str) -> RlCurve:
    sizes = sorted(set(rows["params"].dropna())) if "params" in rows else []
    rows = rows.drop_duplicates(x, keep="last").sort_values(x)  # a run that was resumed logs some steps again
    if len(sizes) > 1:
        raise InputError(f"{source}: run {run_id!r} has {len(sizes)} values of 'params'")
    return RlCurve(run_id, float(sizes[0]) if sizes else None, rows[x].to_numpy(), rows[value].to_numpy()).averaged()
