"""What the page and the figures of a choice show: the choice, its score, and the runs that it was made from."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from analysis.errors import InputError
from analysis.mixing.choice import Choice, read_choice
from analysis.mixing.choose import surface_at
from analysis.mixing.reading import read_mixtures
from analysis.mixing.request import ChoiceRequest
from analysis.mixing.score import ChoiceScore, read_choice_score
from analysis.mixing.surface import Surface
from analysis.mixing.table import MixtureTable

CHOICE, SCORE = "choice.json", "choice_score.json"
_SAME_SCALE = 0.01
_DRAWS = 100  # resamples behind what is outlined


@dataclass(frozen=True, eq=False)
class MixtureFindings:
    """A choice of a mixture and what came of it; whatever is derived of them is derived once, on first use.

    Attributes:
        place: the folder, or the choice's file.
        choice: as frozen.
        score: of it, or None while there is none.
        table: the runs that it was made from, or None where they are not found.
        missing: why there is no table; empty otherwise.
    """

    place: Path
    choice: Choice
    score: ChoiceScore | None
    table: MixtureTable | None
    missing: str = ""

    @property
    def runs(self) -> MixtureTable:
        """The runs that the choice was made from.

        Raises:
            InputError: they are not found.
        """
        if self.table is None:
            raise InputError(self.missing)
        return self.table

    @cached_property
    def surface(self) -> Surface:
        """The losses of any mixture at the target, fitted anew to the runs that the choice was made from.

        Raises:
            InputError: these are not found.
        """
        choice = self.choice
        uniform = choice.candidates["uniform"]
        request = ChoiceRequest(
            params=choice.params,
            tokens=choice.tokens,
            flops=choice.flops,
            objective={name: weight for name, weight in choice.objective.items() if weight > 0},
            unique={name: uniform.shares[name] * choice.tokens / epochs for name, epochs in uniform.epochs.items()},
            kl=choice.kl,
            level=choice.level,
            seeds=choice.seeds,
            draws=_DRAWS,
            law="auto" if len(choice.weights) > 1 else next(iter(choice.weights)),
        )
        return surface_at(self.runs, request)[1]


def is_mixture(place: Path) -> bool:
    """Whether a place is a folder with a frozen choice of a mixture, or such a file."""
    if place.is_dir():
        return (place / CHOICE).is_file()
    if place.suffix != ".json" or not place.is_file():
        return False
    with place.open("rb") as file:
        return b'"losses_pattern"' in file.read()


def read_mixture_findings(place: Path) -> MixtureFindings:
    """The findings of a sweep's folder, or of a choice's file, with ``choice_score.json`` and the runs' table.

    The table of a file is where the choice says, or beside the file under that name.

    Raises:
        InputError: if a file is not what its name says, or the score is of another choice.
    """
    file = place / CHOICE if place.is_dir() else place
    choice, beside = read_choice(file), file.parent / SCORE
    score = read_choice_score(beside) if beside.is_file() else None
    if score is not None and score.choice_sha256 != hashlib.sha256(choice.to_json().encode()).hexdigest():
        if place.is_dir():
            raise InputError(f"{beside}: is the score of another choice")
        score = None  # a file may stand beside any other
    table = _table(choice, place)
    if isinstance(table, str):
        return MixtureFindings(place, choice, score, None, table)
    return MixtureFindings(place, choice, score, table)


def _table(choice: Choice, place: Path) -> MixtureTable | str:
    """The table that a choice was made from, with the target's runs apart; or why there is none."""
    named = Path(choice.source)
    places = [place] if place.is_dir() else [named, place.parent / named.name]
    found = next((each for each in places if each.exists()), None)
    if found is None:
        return f"the runs that the choice was made from are not at {choice.source}"
    try:
        table = read_mixtures(
            found, mix=choice.mix, losses=choice.losses_pattern, where=choice.where, columns=choice.columns
        )
    except InputError as error:
        return f"the runs that the choice was made from cannot be read: {error.errors[0]}"
    table = _parted(table, choice)
    if table.hash() != choice.table_hash:
        return f"{found} holds other runs than those that the choice was made from"
    return table


def _parted(table: MixtureTable, choice: Choice) -> MixtureTable:
    """A table without roles: rows at the target's size and length, if there are any, are the target's."""
    points = table.fit
    near = (
        np.maximum(np.abs(points.params / choice.params - 1), np.abs(points.tokens / choice.tokens - 1)) < _SAME_SCALE
    )
    if table.targets is not None or table.hash() == choice.table_hash or near.all() or not near.any():
        return table
    return replace(table, fit=points.take(~near), targets=points.take(near))
