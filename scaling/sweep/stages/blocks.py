"""Blocks of a stage's runs: every size, with every value of every setting and every seed."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, model_validator

from scaling.sweep.spec.fields import Budgets, Count, OneOrMore, Seeds, Strict, not_negative
from scaling.sweep.spec.shapes import Size

Coefficients = OneOrMore[Annotated[float, BeforeValidator(not_negative)]]
Counts = OneOrMore[Count]


@dataclass(frozen=True)
class Point:
    """One run of a block: its size, its seed, and the settings that the block gives."""

    size: Size | None
    seed: int
    settings: dict[str, Any]


class Runs(Strict):
    """A block of runs: every size, with every value of every setting and every seed; of a target one value each.

    Attributes:
        sizes: of the model that is trained, among those that it may begin from; by default the start's only one.
        seeds: the seeds themselves; in the file, a number n stands for 0 to n - 1.
    """

    sizes: OneOrMore[Size] | None = None
    seeds: Seeds = (0,)

    @model_validator(mode="before")
    @classmethod
    def _one_size(cls, value: object) -> object:
        """``size`` is one of ``sizes``."""
        if not isinstance(value, dict) or "size" not in value:
            return value
        if "sizes" in value:
            raise ValueError("has both size and sizes; give one")
        return {**{key: item for key, item in value.items() if key != "size"}, "sizes": [value["size"]]}

    @property
    def varied(self) -> dict[str, tuple[Any, ...]]:
        """The settings that the block gives, each with its values."""
        given = {name: getattr(self, name) for name in type(self).model_fields if name not in ("sizes", "seeds")}
        return {name: values for name, values in given.items() if values is not None}

    def points(self) -> Iterator[Point]:
        """The block's runs in order."""
        varied = self.varied
        for size in self.sizes or (None,):
            for values in itertools.product(*varied.values()):
                for seed in self.seeds:
                    yield Point(size, seed, dict(zip(varied, values, strict=True)))


class SftRuns(Runs):
    """Runs of supervised fine-tuning: ``examples``, how many different ones, and passes over them, ``epochs``."""

    examples: Counts
    epochs: Budgets | None = None


class RewardRuns(Runs):
    """Reward models: ``pairs``, how many different ones, and passes over them, ``epochs``."""

    pairs: Counts
    epochs: Budgets | None = None


class PpoRuns(Runs):
    """Runs of PPO: by the reward models of so many ``pairs``, with KL coefficients ``kl``, so many ``iterations``."""

    pairs: Counts | None = None
    kl: Coefficients | None = None
    iterations: Counts | None = None


class DpoRuns(Runs):
    """Runs of DPO: on so many ``pairs``, with such ``beta``, in so many ``epochs``."""

    pairs: Counts
    beta: Budgets | None = None
    epochs: Budgets | None = None


_Runs = TypeVar("_Runs", bound=Runs)


def single(runs: _Runs) -> _Runs:
    """The runs of a target, which differ by their seed alone; ValueError otherwise."""
    many = [name for name, values in {"sizes": runs.sizes or (), **runs.varied}.items() if len(values) > 1]
    if many:
        raise ValueError(f"a target has one value of {many[0]}")
    return runs
