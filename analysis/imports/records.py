"""What every reader gives: the runs of a source in the tool's own words."""

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from analysis.errors import InputError
from analysis.formatting import parse_quantity

Points = list[tuple[float, float]]
_MOST_POINTS = 2000
_DEEPEST = 8  # levels of a config that are flattened


class Note(NamedTuple):
    """A remark on a source: a stable code and a message."""

    code: str
    message: str


@dataclass(frozen=True)
class LoggedRun:
    """One run as a tool logged it.

    Attributes:
        name: the tool's name of it; several runs may share one.
        key: what tells it from the others, such as an id or a path.
        state: in the tool's own word; None if the tool does not say.
        settings: single values: of the config, of a summary, of a row.
        series: metric -> its (step, value), by step; of one step, the value logged last is last. Long ones are thinned
            out, but keep their ends and their largest value.
    """

    name: str
    key: str
    state: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    series: Mapping[str, Points] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = {name: _thinned(points) for name, points in self.series.items() if points}
        object.__setattr__(self, "series", kept)


@dataclass(frozen=True)
class Log:
    """The runs of one source.

    Attributes:
        tool: what wrote it, for people.
        apart: how its runs were told apart, such as ``one run a folder``.
        runs: in the order of the source.
        named_by: the tool's word for a run's name.
        state_in: the tool's word for a run's state.
        counts_steps: whether the steps of the series count optimizer steps, so that they may be multiplied by a batch.
        tasks: whether it holds results of tasks, to be joined with runs by their names.
        meanings: our column -> the name it is logged under, where the tool leaves no doubt.
        hints: our column -> what else may be done where it is not recognised.
        notes: remarks.
    """

    tool: str
    apart: str
    runs: Sequence[LoggedRun]
    named_by: str
    state_in: str = "state"
    counts_steps: bool = True
    tasks: bool = False
    meanings: Mapping[str, str] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[Note] = ()


def _thinned(points: Points) -> Points:
    """Points by step, at most some number of them: a run may log a hundred metrics a million times."""
    ordered = sorted(points, key=lambda point: point[0])
    if len(ordered) <= _MOST_POINTS:
        return ordered
    last = len(ordered) - 1
    kept = {last * part // _MOST_POINTS for part in range(_MOST_POINTS + 1)}
    kept.add(max(range(len(ordered)), key=lambda at: ordered[at][1]))
    return [ordered[at] for at in sorted(kept)]


def number_of(value: object) -> float | None:
    """A number, also where it is written as people write it (``20M``, ``491,520``); None for anything else."""
    if isinstance(value, str):
        text = value.strip()
        if text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
            return float(text)
        if len(text) > 60:
            return None
    elif isinstance(value, float):  # numpy's too; a loss may be NaN
        return float(value)
    try:
        return parse_quantity(value)  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError, OverflowError):
        return None


def flat(values: Mapping[str, Any], joint: str = ".", before: str = "", level: int = 0) -> Iterator[tuple[str, Any]]:
    """The single values of a nested mapping, with their path as name; without lists, and to a limited depth."""
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            if level < _DEEPEST:
                yield from flat(value, joint, f"{name}{joint}", level + 1)
        elif isinstance(value, str | int | float | bool):
            yield name, value


def listed_names(names: Iterable[str], most: int = 12) -> str:
    """Names in quotes for an error, at most some number of them."""
    names = list(names)
    listed = ", ".join(repr(name if len(name) <= 60 else f"{name[:57]}...") for name in names[:most])
    return listed + (f" and {len(names) - most} more" if len(names) > most else "")


@contextmanager
def foreign(path: Path | str, what: str) -> Iterator[None]:
    """Turns whatever a parser raises for content that is not its format into one line.

    Raises:
        InputError: ``PATH: not a readable WHAT (reason)``; an ``InputError`` passes as it is.
    """
    try:
        yield
    except InputError:
        raise
    # Parsers of binary formats raise what they please for damaged content: errors of zip, XML, SQL, protobuf, struct.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not a readable {what} ({reason[:200]})") from None


def needed(module: str, source: Path | str, extra: str) -> Any:
    """A module of an extra.

    Raises:
        InputError: naming the extra, where the library is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(f'{source} needs: pip install "scaling-law-toolkit[{extra}]"') from None
