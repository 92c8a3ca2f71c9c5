"""The logs of trainers of rewards and policies as a table of rewards, one row a step.

What TRL and verl log is known by name; the KL divergence is that from the policy a run began at, per answer. Where a
trainer logs its mean per token (TRL's GRPO and RLOO, verl), that times the mean length of the answers stands for it.
verl's ``actor/ppo_kl`` is the step of one update, not the way from the start, and is never taken.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.errors import InputError
from analysis.imports.importing import ImportedRuns
from analysis.imports.readers.trainer import Counter
from analysis.imports.recognition import unique_names
from analysis.imports.records import Log, LoggedRun, Note, listed_names, number_of
from analysis.imports.sources import read_source
from analysis.runs.filter import closest

COLUMNS = (
    *("kl", "proxy", "gold", "accuracy", "loss", "length", "stopped", "logp_chosen", "logp_rejected"),
    *("win_rate", "margin", "params"),
)
_OF_PAIRS = tuple(
    f"{place}{name}" for name in ("accuracy", "rewards/accuracies") for place in ("", "train/", "eval_", "eval/")
)
_PER_TOKEN = "per token"
Values = Callable[[LoggedRun], dict[float, float]]  # of a column by step


@dataclass(frozen=True)
class Name:
    """A name under which a trainer logs a column.

    Attributes:
        name: without the ``train/`` or ``eval_`` that a tracker puts before it.
        held_out: whether that of an evaluation is taken where there is one.
        per_token: whether it is a mean over tokens, to be multiplied by the mean length.
        rest: whether it is what is left to 1.
    """

    name: str
    held_out: bool = False
    per_token: bool = False
    rest: bool = False


# Of each column the first that a log has. TRL: PPO and online DPO log objective/...; GRPO and RLOO reward, kl and
# completions/...; DPO rewards/..., logps/...; RewardTrainer accuracy, margin. verl: the names with actor/, critic/,
# response_length/. Old TRL: env/reward_mean, tokens/responses_len_mean.
NAMES: dict[str, tuple[Name, ...]] = {
    "kl": (
        Name("objective/kl"),
        Name("actor/reward_kl_penalty", per_token=True),
        Name("actor/kl_loss", per_token=True),
        Name("kl", per_token=True),
    ),
    "proxy": (Name("objective/scores"), Name("critic/score/mean"), Name("reward"), Name("env/reward_mean")),
    "gold": (Name("gold"), Name("reward_gold"), Name("gold_reward")),
    "accuracy": (Name("rewards/accuracies", held_out=True), Name("accuracy", held_out=True)),
    "loss": (Name("loss", held_out=True),),
    "length": (Name("completions/mean_length"), Name("response_length/mean"), Name("tokens/responses_len_mean")),
    "stopped": (
        Name("completions/clipped_ratio", rest=True),
        Name("response_length/clip_ratio", rest=True),
        Name("val/contain_eos_token"),
    ),
    "margin": (Name("rewards/margins", held_out=True), Name("margin", held_out=True)),
    "logp_chosen": (Name("logps/chosen", held_out=True),),
    "logp_rejected": (Name("logps/rejected", held_out=True),),
    "win_rate": (Name("win_rate"),),
}
# verl's validation: val-core/SOURCE/VARIABLE/mean@N; MLflow writes _at_ for the sign.
_VALIDATION = re.compile(r"^val(?:-core)?/(?P<source>.+)/(?P<variable>acc|reward|score)/mean(?:@|_at_)\d+$")


def import_rewards(sources: Sequence[str], columns: Mapping[str, str], count: Counter) -> ImportedRuns:
    """Reads the logs of trainers into one table of rewards, with a row for every step that has one of its columns.

    Args:
        sources: files, folders or ``wandb:ENTITY/PROJECT``.
        columns: our column -> the trainer's name, or a number for all rows, where the usual names do not suffice.
        count: counts the parameters of a model by its ``config.json``.

    Raises:
        InputError: one line per error; also where a log has no column of a table of rewards.
    """
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise InputError(
            f"`columns` {name}={columns[name]}: no such name in a table of rewards{closest(name, list(COLUMNS))}"
            for name in unknown
        )
    parts: list[pd.DataFrame] = []
    taken: dict[str, str] = {}
    notes: list[Note] = []
    tools: list[str] = []
    for source in sources:
        log = read_source(source, count)
        if not log.runs or log.tasks:
            raise InputError(f"{source}: {log.tool} without runs of a trainer")
        frame, found, remarks = rewards_of(log, source, columns)
        parts.append(frame)
        taken = {**found, **taken}
        notes += [*log.notes, *remarks]
        tools.append(f"{log.tool}, {log.apart}")
    return ImportedRuns(_joined(parts), tuple(tools), taken, {}, tuple(notes))


def _joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all sources; of two runs of one name, the later source's gets a number."""
    seen: dict[str, int] = {}
    for part in parts:
        renamed = {}
        for run in part["run_id"].unique():
            seen[run] = seen.get(run, 0) + 1
            renamed[run] = run if seen[run] == 1 else f"{run}-{seen[run]}"
        part["run_id"] = part["run_id"].map(renamed)
    return pd.concat(parts, ignore_index=True)


def rewards_of(
    log: Log, source: str, columns: Mapping[str, str] | None = None
) -> tuple[pd.DataFrame, dict[str, str], list[Note]]:
    """The table of rewards of one log, with our columns by the trainer's names, and remarks.

    Runs that log other names, as those of another trainer do, are recognised by themselves.

    Raises:
        InputError: where no column of a table of rewards is logged, or a chosen name is not.
    """
    columns, everything = columns or {}, _Logged(log.runs)
    for column, name in columns.items():
        if name not in everything.names and number_of(name) is None:
            hint = closest(name, list(everything.names))
            raise InputError(f"`columns` {column}={name}: {source} logs no such number{hint}")
    groups: dict[frozenset[str], list[tuple[str, LoggedRun]]] = {}
    for name, run in zip(unique_names(log.runs), log.runs, strict=True):
        groups.setdefault(frozenset(run.series), []).append((name, run))
    parts: list[pd.DataFrame] = []
    taken: dict[str, list[str]] = {}
    notes: list[Note] = []
    bare: list[str] = []
    for group in groups.values():
        found = _of_group(replace(log, runs=[run for _, run in group]), columns, notes)
        if found is None:
            bare += [name for name, _ in group]
            continue
        for column, (own, _) in found.items():
            taken.setdefault(column, []).append(own)
        parts += [_rows(name, run, {column: of for column, (_, of) in found.items()}, columns) for name, run in group]
    if not parts:
        raise InputError(
            f"{source}: no column of a table of rewards is recognised, such as objective/kl or reward; "
            f"what is logged: {listed_names(sorted(everything.names))}; choose with `columns` kl=NAME,proxy=NAME"
        )
    if bare:
        notes.append(Note("incomplete-runs", f"runs that log nothing of a table of rewards: {listed_names(bare, 4)}"))
    if "proxy" in taken and "gold" not in taken:
        line = "no gold reward is logged: whether the proxy is over-optimised cannot be seen"
        notes.append(Note("no-gold", line))
    order = [name for name in COLUMNS if name in taken]
    told = {name: " or ".join(dict.fromkeys(taken[name])) for name in order}
    frame = pd.concat(parts, ignore_index=True)[["run_id", "step", *order]]
    return frame, {"run_id": log.named_by, **told}, list(dict.fromkeys(notes))


def _of_group(log: Log, columns: Mapping[str, str], notes: list[Note]) -> dict[str, tuple[str, Values]] | None:
    """Our columns of runs that log the same names, with the trainer's names; None where they log nothing of them."""
    logged = _Logged(log.runs)
    remarks: list[Note] = []
    found: dict[str, tuple[str, Values]] = {}
    for column in COLUMNS:
        each = _chosen(column, columns, logged)
        # A policy's own loss says nothing; that of pairs is logged with their accuracy.
        if each is None and (column != "loss" or ("accuracy" in found and found["accuracy"][0] in _OF_PAIRS)):
            each = _known(column, logged, log, remarks)
        if each is not None:
            found[column] = each
    if "kl" in found and found["kl"][0].endswith(_PER_TOKEN):
        remarks.append(_per_token(found))
    if not _measured(found, columns):
        return None
    notes += remarks
    return found


def _measured(found: Iterable[str], columns: Mapping[str, str]) -> list[str]:
    """The columns that make a row: not a run's size, nor its loss, nor one that the user gave a number for."""
    constant = [column for column, name in columns.items() if number_of(name) is not None]
    return [column for column in found if column not in ("params", "loss", *constant)]


class _Logged:
    """The names of all runs' series, without what a tracker puts before them.

    Args:
        runs: of a log.
    """

    def __init__(self, runs: Iterable[LoggedRun]) -> None:
        self.names = {name: None for run in runs for name in run.series}
        self.training: dict[str, str] = {}
        self.evaluation: dict[str, str] = {}
        for name in self.names:
            plain = name.removeprefix("train/")
            held_out = next((p for p in ("eval_", "eval/") if name.startswith(p)), None)
            if held_out is None:
                self.training.setdefault(plain, name)
            else:
                self.evaluation.setdefault(name.removeprefix(held_out), name)


def _chosen(column: str, columns: Mapping[str, str], logged: _Logged) -> tuple[str, Values] | None:
    """What the user chose for a column: a name, or a number for all rows."""
    if (name := columns.get(column)) is None:
        return None
    if name in logged.names:
        return name, lambda run: dict(run.series.get(name, []))
    if (number := number_of(name)) is None:  # another trainer's name
        return None
    return name, lambda run: {step: number for points in run.series.values() for step, _ in points}


def _known(column: str, logged: _Logged, log: Log, notes: list[Note]) -> tuple[str, Values] | None:
    """What a trainer's own names say of a column."""
    if column == "params":
        return _size(log)
    if column == "accuracy" and (validated := _validation(logged, notes)) is not None:
        return validated
    for known in NAMES[column]:
        place = logged.evaluation if known.held_out and known.name in logged.evaluation else logged.training
        if (own := place.get(known.name)) is None:
            continue
        if known.held_out and place is logged.training and column == "accuracy":
            notes.append(
                Note("training-loss", f"the accuracy is {own!r}, of the training pairs: no evaluation is logged")
            )
        return (f"{own}, {_PER_TOKEN}" if known.per_token else own), _series(own, known.rest)
    return None


def _series(own: str, rest: bool) -> Values:
    def values(run: LoggedRun) -> dict[float, float]:
        return {step: 1 - value if rest else value for step, value in run.series.get(own, [])}

    return values


def _size(log: Log) -> tuple[str, Values] | None:
    name = log.meanings.get("params", "params")
    sizes = {run.key: number_of(run.settings.get(name)) for run in log.runs}
    if all(size is None for size in sizes.values()):
        return None

    def values(run: LoggedRun) -> dict[float, float]:
        size = sizes[run.key]
        return {} if size is None else {step: size for points in run.series.values() for step, _ in points}

    return name, values


def _validation(logged: _Logged, notes: list[Note]) -> tuple[str, Values] | None:
    """verl's validation: accuracy before reward and score; of several data sets the first, the others are named."""
    found = [(match["variable"], name) for name in logged.names if (match := _VALIDATION.match(name)) is not None]
    if not found:
        return None
    best = min(variable for variable, _ in found)  # acc, reward, score
    names = sorted(name for variable, name in found if variable == best)
    if len(names) > 1:
        line = f"the accuracy is {names[0]!r}; also logged: {listed_names(names[1:], 4)}"
        notes.append(Note("other-losses", line))
    return names[0], _series(names[0], rest=False)


def _per_token(found: dict[str, tuple[str, Values]]) -> Note:
    """Replaces a KL per token by its product with the mean length; without one there is no KL."""
    told, each = found.pop("kl")
    own = told.removesuffix(f", {_PER_TOKEN}")
    if "length" not in found:
        line = f"{own!r} is a mean per token, and no length of answers is logged: there is no column kl"
        return Note("kl-per-token", line)
    name, length = found["length"]

    def product(run: LoggedRun) -> dict[float, float]:
        lengths = length(run)
        return {step: value * lengths[step] for step, value in each(run).items() if step in lengths}

    found["kl"] = f"{own} x {name}", product
    return Note("kl-per-token", f"kl is {own!r}, a mean per token, times {name!r}: a mean of products may be another")


def _rows(name: str, run: LoggedRun, values: Mapping[str, Values], columns: Mapping[str, str]) -> pd.DataFrame:
    """A run's rows: the steps at which it logs a column that is measured along the run."""
    read = {column: of(run) for column, of in values.items()}
    steps = sorted({step for column in _measured(read, columns) for step in read[column]})
    cells = {column: [points.get(step, np.nan) for step in steps] for column, points in read.items()}
    return pd.DataFrame({"run_id": name, "step": np.array(steps, np.float64), **cells})
