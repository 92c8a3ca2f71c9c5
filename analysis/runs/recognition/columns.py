"""A file's columns by the schema's names: the usual names in any spelling, and what the user says."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from analysis.errors import InputError
from analysis.runs.filter import closest
from analysis.runs.recognition.loss_units import holds_losses, is_held_out, is_perplexity
from analysis.runs.recognition.numbers import numbers_in
from analysis.runs.recognition.run_names import LONG_RUN, RUN_COLUMNS, UNSURE, names_runs
from analysis.runs.recognition.spelling import flops_unit, normalised, without_unit
from analysis.runs.recognition.states import STATE_COLUMNS, are_states, states_of, tell_apart
from analysis.runs.schema import ALIASES, FURTHER, NUMBERS, REQUIRED, TEXTS
from analysis.runs.stages import STAGE, stage_counted_by

_COUNTS = ("params", "params_nonembedding", "params_active", "tokens", "unique_tokens", "batch_tokens", "flops")
ODD_COST = 10.0  # times 6ND: head and attention account for a factor of 3 in tiny models
LARGEST_IN_UNITS = 1e6  # a count in millions or billions is below it; of a Llama's parameters or tokens none is


@dataclass
class _Found:
    """The file's names by the schema's, and what is wrong with the others."""

    chosen: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


def renamed(
    frame: pd.DataFrame, source: str, columns: Mapping[str, str] | None, extra: Collection[str]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A file's frame with the schema's names of its columns, and a sentence on each that was converted.

    Counts become counts where their column's name says millions or billions, and perplexities losses.

    Args:
        frame: as :func:`analysis.runs.readers.read_columns` gives it.
        source: for messages.
        columns: the schema's name -> the file's name, where the usual ones do not suffice.
        extra: names of the file that stay in the frame besides the schema's.

    Raises:
        InputError: one line per name that is missing or not clear.
    """
    known = frame.attrs["known"]
    found = _requested(columns or {}, known, source)
    _usual(frame, found, source)
    for name in REQUIRED:
        if name not in frame.columns and name not in found.chosen and not any(repr(name) in e for e in found.errors):
            alone = name == "params" and stage_counted_by(normalised(found.chosen.get("tokens", ""))) is not None
            or_else = ", or of one model add a column of its size" if alone else ""
            found.errors.append(
                f"{source}: no column {name!r}{_hint(name, known)}; choose with `columns` {name}=...{or_else}"
            )
    if found.errors:
        raise InputError(found.errors)
    values = {name: frame[own] for name, own in found.chosen.items()}
    if "status" in values and (states := states_of(normalised(found.chosen["status"]), values["status"])) is not None:
        values["status"] = states
    left = [own for own in frame.columns if own not in found.chosen.values() or own in extra]
    made = frame[left].assign(**values)
    notes = list(_scaled(made, found.chosen))
    if "flops" in found.chosen:
        notes += _flops(made, found.chosen["flops"], requested="flops" in (columns or {}))
    notes += _staged(made, found.chosen)
    if "loss" in found.chosen and is_perplexity(found.chosen["loss"]):
        made["loss"] = _logarithm(made["loss"])
        notes.append(f"the loss is the natural logarithm of {found.chosen['loss']!r}")
    if "loss" not in (columns or {}) and normalised(found.chosen.get("loss", "loss")) == "loss":
        notes += _perhaps_training(made)
    return made, tuple(notes)


def _requested(columns: Mapping[str, str], known: list[str], source: str) -> _Found:
    """The user's own choices, each of which must be a name of the schema and one of the file."""
    found = _Found()
    stripped = {name.strip(): name for name in known}
    for name, own in columns.items():
        given = f"{name}={own if own.isprintable() else repr(own)}"
        if name not in NUMBERS and name not in TEXTS:
            hint = closest(name, [*NUMBERS, *TEXTS])
            found.errors.append(f"`columns` {given}: no such name in a table of runs{hint}")
        elif own not in known and own.strip() not in stripped:
            found.errors.append(f"`columns` {given}: {source} has no column {own!r}{closest(own, known)}")
        else:
            found.chosen[name] = own if own in known else stripped[own.strip()]
    return found


def _usual(frame: pd.DataFrame, found: _Found, source: str) -> None:
    """Adds the columns that bear a usual name; of a loss, two that differ are not clear."""
    spelled: dict[str, list[str]] = {}
    required = {own for name, own in found.chosen.items() if name in REQUIRED}
    for own in [own for own in map(str, frame.columns) if own not in required]:
        spelled.setdefault(normalised(own), []).append(own)
    for name in (*NUMBERS, *TEXTS):
        if name in found.chosen or (name in frame.columns and name != "loss"):
            continue
        candidates = [own for alias in (name, *ALIASES.get(name, ())) for own in spelled.get(alias, [])]
        if set(map(normalised, candidates)) <= {name}:
            candidates += [own for alias in FURTHER.get(name, ()) for own in spelled.get(alias, [])]
        if not candidates and name in _COUNTS:
            candidates = [own for spelling, owns in spelled.items() for own in owns if _counts(spelling, name)]
        if not candidates and name == "tokens":
            candidates = [own for spelling, owns in spelled.items() for own in owns if stage_counted_by(spelling)]
        if not candidates and name == "flops":
            candidates = [own for spelling, owns in spelled.items() for own in owns if flops_unit(spelling) > 1][:1]
        if len(candidates) > 1 and name in (*REQUIRED, "flops") and not _alike(frame, candidates):
            found.errors.append(
                f"{source}: columns {candidates} could all be {name!r}; choose with `columns` {name}=..."
            )
        elif candidates and name not in frame.columns:
            found.chosen[name] = candidates[0]
    if "status" not in frame.columns and "status" not in found.chosen:
        once = frame.columns[~frame.columns.duplicated(keep=False)]
        states = (
            [own for name in STATE_COLUMNS for own in spelled.get(name, []) if are_states(frame[own])]
            or [own for own in once if tell_apart(frame[own])]
            or [own for own in once if states_of(normalised(own), frame[own]) is not None]
        )
        if states:
            found.chosen["status"] = states[0]
    if "run_id" not in frame.columns and "run_id" not in found.chosen:
        runs = [own for name in RUN_COLUMNS for own in spelled.get(name, []) if _identifies(frame, own, found)]
        if runs:
            found.chosen["run_id"] = runs[0]


def _counts(spelling: str, name: str) -> bool:
    """Whether a spelling is that of a usual name with a unit, such as ``tokens_b``."""
    stem, unit = without_unit(spelling)
    return unit > 1 and len(stem) > 1 and stem in (name, *ALIASES.get(name, ()), *FURTHER.get(name, ()))


def _identifies(frame: pd.DataFrame, own: str, found: _Found) -> bool:
    """Whether a column that runs are often named by is unique, or repeats as points along runs do."""
    if frame[own].isna().any():
        return False
    if frame[own].is_unique:
        return True
    params, tokens = (found.chosen.get(name, name) for name in ("params", "tokens"))
    if params not in frame or tokens not in frame:
        return False
    least = LONG_RUN if normalised(own) in UNSURE else 2
    return names_runs(frame[own], numbers_in(frame[params])[0], numbers_in(frame[tokens])[0], least)


def _alike(frame: pd.DataFrame, names: list[str]) -> bool:
    """Whether columns hold the same numbers, so that it does not matter which is read."""
    first, *others = (numbers_in(frame[name])[0].to_numpy() for name in names)
    return all(np.array_equal(first, other, equal_nan=True) for other in others)


def _hint(name: str, known: list[str]) -> str:
    """The columns that a missing one could be taken from."""
    word = {"params": "param", "tokens": "token"}.get(name)
    near = [own for own in known if (word in own.lower() if word else holds_losses(own))]
    return f" (one of {', '.join(map(repr, near[:6]))}?)" if near else closest(name, known)


def _scaled(frame: pd.DataFrame, chosen: Mapping[str, str]) -> Iterator[str]:
    """Turns counts in millions or billions, as their column's name says, into counts."""
    for name in [name for name in _COUNTS if name in chosen and name != "flops"]:
        unit = without_unit(normalised(chosen[name]))[1]
        values, unread = numbers_in(frame[name])
        if unit > 1 and not unread.any() and values.max() < LARGEST_IN_UNITS:
            frame[name] = values * unit
            yield f"{name} are {chosen[name]!r} times {unit:.0e}".replace("e+0", "e").replace("e+", "e")


def _flops(frame: pd.DataFrame, own: str, requested: bool) -> Iterator[str]:
    """Turns FLOPs in the unit of their column's name into FLOPs, where that makes them those of the runs.

    A unit may also be that of a rate: what is far from 6ND in it is not taken, unless the user requested it.
    """
    spelling = normalised(own)
    unit = flops_unit(spelling) if flops_unit(spelling) > 1 else without_unit(spelling)[1]
    if unit == 1:
        return
    flops, params, tokens = (numbers_in(frame[name])[0] for name in ("flops", "params", "tokens"))
    ratio = float((flops * unit / (6.0 * params * tokens)).median())
    if 1 / ODD_COST < ratio < ODD_COST:
        frame["flops"] = flops * unit
        yield f"flops are {own!r} times {unit:.3g}".replace("e+", "e")
    elif flops_unit(spelling) > 1 and not requested:
        del frame["flops"]


def _staged(frame: pd.DataFrame, chosen: Mapping[str, str]) -> Iterator[str]:
    """Gives the frame its stage: its own column in any spelling, else that of the data that stands for tokens."""
    for own in [own for own in map(str, frame.columns) if own != STAGE and normalised(own) == STAGE][:1]:
        if STAGE not in frame:
            frame[STAGE] = frame[own]
    own = chosen.get("tokens", "")
    if (stage := stage_counted_by(normalised(own))) is not None:
        if STAGE not in frame:
            frame[STAGE] = stage
        yield f"tokens are {own!r}: the data of fine-tuning, whose laws are fitted"


def _perhaps_training(frame: pd.DataFrame) -> Iterator[str]:
    """Whether a column called loss may be the training loss, as others hold held-out ones and differ from it."""
    held_out = [own for own in map(str, frame.columns) if is_held_out(own)]
    if held_out and not any(_alike(frame, ["loss", own]) for own in held_out):
        named = ", ".join(map(repr, held_out[:4]))
        yield f"the loss is 'loss'; if that is the training loss, choose a held-out one, --columns loss=... ({named})"


def _logarithm(values: pd.Series) -> pd.Series:
    """Losses of perplexities; cells that are no numbers stay, for the check of all rows."""
    numbers, unread = numbers_in(values, plain=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        losses = np.log(numbers)
    return losses.astype(object).mask(unread, values) if unread.any() else losses
