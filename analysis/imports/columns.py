"""Which of a tool's names are the parameters, the tokens and the loss of its runs, and what else it says of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.errors import InputError
from analysis.imports.names import COUNTS, STEPS, LossName, loss_name, own_names, rank, rank_among, scale
from analysis.imports.records import Log, LoggedRun, Note, listed_names, number_of
from analysis.runs.filter import closest
from analysis.runs.recognition.columns import LARGEST_IN_UNITS

_SAME = 1e-6  # relative difference of values that are one figure under two names


@dataclass(frozen=True)
class Taken:
    """Where a column's values come from.

    Attributes:
        name: what the tool calls it, for people.
        of: (run, step of its endpoint or None) -> value, None where the run has none.
    """

    name: str
    of: Callable[[LoggedRun, float | None], float | None]


class Names:
    """The numbers of a log by the names that its tool gives them.

    Args:
        log: the runs.
        source: for messages.
        columns: our column -> the tool's name, where the names do not suffice.
    """

    def __init__(self, log: Log, source: str, columns: Mapping[str, str]) -> None:
        self._log, self._source, self._columns = log, source, columns
        self.notes: list[Note] = []

    @cached_property
    def numbers(self) -> dict[str, None]:
        """Every name that is a number in some run, in the order in which they are first met."""
        found: dict[str, None] = {}
        for run in self._log.runs:
            found.update(dict.fromkeys(run.series))
            for name, value in run.settings.items():
                if name not in found and number_of(value) is not None:
                    found[name] = None
        return found

    def requested(self, column: str) -> Taken | None:
        """What the user, or else the reader, chose for a column: a name, or a number for all runs; None if neither did.

        Raises:
            InputError: for a name that no run has.
        """
        name = self._columns.get(column)
        if name is not None:
            if name in self.numbers:
                return self._scaled(name, column)
            if column != "loss" and (number := number_of(name)) is not None:
                return Taken(name, lambda _run, _step: number)
            hint = closest(name, list(self.numbers))
            raise InputError(f"`columns` {column}={name}: {self._source} logs no such number{hint}")
        name = self._log.meanings.get(column)
        return logged_as(name) if name is not None and name in self.numbers else None

    def _scaled(self, name: str, column: str) -> Taken:
        """The values of a name, as counts where it says that they are millions or billions."""
        unit = scale(name, column)
        values = [value for run in self._log.runs if (value := value_at(run, name, None)) is not None]
        if unit == 1 or max(values) >= LARGEST_IN_UNITS:
            return logged_as(name)
        self.notes.append(Note("columns-read", f"{column} are {name!r} times {unit:.0e}".replace("e+0", "e")))

        def product(run: LoggedRun, step: float | None) -> float | None:
            value = value_at(run, name, step)
            return None if value is None else value * unit

        return Taken(name, product)

    def loss(self) -> tuple[str, str | None]:
        """Name of the loss and its unit, None for nats: of the evaluation, rather than of training.

        Raises:
            InputError: where none is there, or several differ.
        """
        if (asked := self.requested("loss")) is not None:
            found = loss_name(asked.name)
            return asked.name, None if found is None else found.unit
        losses = {name: found for name in self.numbers if (found := loss_name(name)) is not None}
        held_out = [name for name, found in losses.items() if found.held_out and found.unit is None]
        if held_out:
            return self._of_evaluation(held_out, losses), None
        training = [name for name, found in losses.items() if found.unit is None]
        units = [name for name, found in losses.items() if found.unit is not None]
        if not losses:
            raise InputError(self._missing("loss"))
        if training and units:
            raise InputError(self._ambiguous("loss", [*units, *training]))
        chosen = self._one("loss", training or units)
        if not losses[chosen].held_out:
            what = "is" if "train" in chosen.lower() else "may be"
            line = f"the loss is {chosen!r}, which {what} the training loss: no loss of an evaluation is logged"
            self.notes.append(Note("training-loss", line))
        return chosen, losses[chosen].unit

    def _of_evaluation(self, names: Sequence[str], losses: Mapping[str, LossName]) -> str:
        place = min(losses[name].place for name in names)
        chosen = self._one("loss", [name for name in names if losses[name].place == place])
        others = [name for name in names if losses[name].place > place]
        if others:
            self.notes.append(Note("other-losses", f"the loss is {chosen!r}; also logged: {listed_names(others, 4)}"))
        return chosen

    def role(self, column: str) -> Taken | None:
        """Where a column's numbers come from: what is measured along the run rather than what was planned.

        Raises:
            InputError: where several names differ.
        """
        if (asked := self.requested(column)) is not None:
            return asked
        return self._best(column, lambda name: rank(name, column))

    def _best(self, column: str, ranked: Callable[[str], int | None]) -> Taken | None:
        measured = {name for run in self._log.runs for name in run.series}
        places = {name: (name not in measured, place) for name in self.numbers if (place := ranked(name)) is not None}
        places = {name: place for name, place in places.items() if self._positive(name)}
        if not places:
            return None
        best = min(places.values())
        chosen = self._one(column, [name for name, place in places.items() if place == best])
        return self._scaled(chosen, column) if column in COUNTS else logged_as(chosen)

    def tokens(self) -> Taken:
        """Where the training tokens come from: their name, or else the steps times the tokens of one.

        Raises:
            InputError: where neither is there, or several names differ.
        """
        found = self.role("tokens")
        if found is not None:
            return found
        batch = self.role("batch_tokens")
        steps = self._steps()
        if batch is None or steps is None:
            also = "" if steps is None else ", or give the tokens of a step: `columns` batch_tokens=NUMBER"
            raise InputError(self._missing("tokens") + also)

        def product(run: LoggedRun, step: float | None) -> float | None:
            each, count = batch.of(run, step), steps.of(run, step)
            return None if each is None or count is None else each * count

        return Taken(f"{steps.name} x {batch.name}", product)

    def params(self) -> Taken:
        """Where the parameters come from.

        Raises:
            InputError: where no name is theirs, or several differ.
        """
        found = self.role("params")
        if found is not None:
            return found
        without = [name for name in self.numbers if rank(name, "params_nonembedding") is not None]
        also = f"; {without[0]!r} counts without embeddings: `columns` params={without[0]} takes it" if without else ""
        raise InputError(self._missing("params") + also)

    def _steps(self) -> Taken | None:
        if self._log.counts_steps and any(run.series for run in self._log.runs):
            return Taken("step", lambda _run, step: step)
        return self._best("step", lambda name: rank_among(name, STEPS))

    def _one(self, column: str, names: Sequence[str]) -> str:
        """The first of several names of one figure."""
        for other in names[1:]:
            if not self._alike(names[0], other):
                raise InputError(self._ambiguous(column, names))
        return names[0]

    def _alike(self, name: str, other: str) -> bool:
        pairs = [(value_at(run, name, None), value_at(run, other, None)) for run in self._log.runs]
        both = [(a, b) for a, b in pairs if a is not None and b is not None]
        return bool(both) and all(abs(a - b) <= _SAME * abs(a) or a != a != b for a, b in both)

    def _positive(self, name: str) -> bool:
        values = (value_at(run, name, None) for run in self._log.runs)
        return any(value is not None and value > 0 for value in values)

    def _ambiguous(self, column: str, names: Sequence[str]) -> str:
        return (
            f"{self._source}: {listed_names(names)} could all be the {column} and differ; "
            f"choose with `columns` {column}=..."
        )

    def _missing(self, column: str) -> str:
        known = [name for name in self.numbers if not name.startswith("_")]
        usual = ", ".join(own_names(column)[:4])
        logged = f"what is logged: {listed_names(known)}"
        hint = f"; {self._log.hints[column]}" if column in self._log.hints else ""
        number = "" if column == "loss" else " or a number for all runs"
        choose = f"choose with `columns` {column}=NAME{number}{hint}"
        return f"{self._source}: no {column} recognised, such as {usual}; {logged}; {choose}"


def logged_as(name: str) -> Taken:
    """The values that a tool logs under a name."""
    return Taken(name, lambda run, step: value_at(run, name, step))


def value_at(run: LoggedRun, name: str, step: float | None) -> float | None:
    """A run's value at a step, between logged ones in proportion; the last one without a step; None if it has none."""
    points = run.series.get(name)
    if not points:
        return number_of(run.settings.get(name))
    if step is None or step >= points[-1][0]:
        return points[-1][1]
    steps, values = zip(*dict(points).items(), strict=True)
    return float(np.interp(step, steps, values))
