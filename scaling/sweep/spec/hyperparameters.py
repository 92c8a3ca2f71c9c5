"""The hyperparameters of a sweep file: the recipe, the schedule, and a grid to tune over."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    model_serializer,
    model_validator,
)

from scaling.sweep.spec.fields import (
    Count,
    Fraction,
    NotNegative,
    OneOrMore,
    Positive,
    Strict,
    as_text,
    not_negative,
    positive,
    show,
)


class RecipeChoice(Strict):
    """A recipe by name, and the values that a sweep file sets instead.

    Attributes:
        name: ``transfer`` or ``llama``.
        source: ``from`` in the file: a table of tuning runs, whose laws give the learning rate and the batch. Under
            another batch, from the file or a grid, the rate grows with the batch's square root. N and C are counted
            as the table counts them: N is the total, unless its ``params`` are its ``params_nonembedding``; C is the
            FLOPs of the run, unless its ``flops`` are 6ND.
        learning_rate: peak, as the recipe means it.
        batch_tokens: tokens per step.
        weight_decay: decoupled, as in AdamW.
        warmup: fraction of the steps.
        optimizer: ``adamw``, or ``muon`` for the layers' matrices with AdamW for all else; ``transfer`` has rules for
            each.
    """

    name: Literal["transfer", "llama"] = "transfer"
    source: Annotated[str, BeforeValidator(as_text)] | None = Field(default=None, alias="from")
    learning_rate: Positive | None = None
    batch_tokens: Count | None = None
    weight_decay: NotNegative | None = None
    warmup: Fraction | None = None
    optimizer: Literal["adamw", "muon"] = "adamw"

    @model_validator(mode="after")
    def _llama_is_for_adamw(self) -> "RecipeChoice":
        if self.name == "llama" and self.optimizer != "adamw":
            raise ValueError("llama is a recipe of AdamW's; muon takes the recipe transfer")
        return self

    @model_serializer(mode="wrap")
    def _without_adamw(self, serialize: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """AdamW is not named, so that a folder of before there was another holds the same sweep."""
        return {name: value for name, value in serialize(self).items() if (name, value) != ("optimizer", "adamw")}


class ScheduleChoice(Strict):
    """The learning-rate schedule: ``wsd`` with its final ``decay`` as a fraction of the steps, or ``cosine``."""

    kind: Literal["wsd", "cosine"] = "wsd"
    decay: Fraction | None = Field(default_factory=lambda given: 0.3 if given.get("kind") == "wsd" else None)

    @model_validator(mode="after")
    def _decay_is_for_wsd(self) -> "ScheduleChoice":
        if (self.decay is None) != (self.kind == "cosine"):
            raise ValueError("wsd needs a decay" if self.decay is None else "cosine takes no decay")
        return self


def usual_schedule(recipe: RecipeChoice) -> ScheduleChoice:
    """Default schedule of a recipe: the one that it was published or tuned with."""
    return ScheduleChoice(kind="cosine" if recipe.name == "llama" else "wsd")


class Setting(Strict):
    """A value of a grid: a number, or ``0.5x`` for half of what the recipe gives.

    Attributes:
        value: the number; 0 only where it is not relative.
        relative: whether it multiplies the recipe's.
    """

    value: NotNegative
    relative: bool = False

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        if isinstance(given, dict):  # as JSON has it
            return given
        text = str(given).strip()
        relative = text.endswith("x")
        read = positive if relative else not_negative
        try:
            return {"value": read(text.removesuffix("x") if relative else given), "relative": relative}
        except ValueError:
            raise ValueError(f"{show(given)} is neither a positive number nor a multiple such as 0.5x") from None

    def __str__(self) -> str:
        return f"{self.value:g}{'x' * self.relative}"

    def of(self, usual: float) -> float:
        """The setting's value, where the recipe's own is ``usual``."""
        return self.value * usual if self.relative else self.value


def _differ(settings: tuple[Setting, ...]) -> tuple[Setting, ...]:
    for setting, times in Counter(settings).items():
        if times > 1:
            raise ValueError(f"{setting} is given twice")
    return settings


def _not_zero(setting: Setting) -> Setting:
    if setting.value == 0:
        raise ValueError("'0' is neither a positive number nor a multiple such as 0.5x")
    return setting


SettingsOrZero = Annotated[OneOrMore[Setting], AfterValidator(_differ)]
Settings = Annotated[OneOrMore[Annotated[Setting, AfterValidator(_not_zero)]], AfterValidator(_differ)]


class Grid(Strict):
    """Hyperparameters to tune over: every combination is trained, with every seed.

    Attributes:
        learning_rate: peak rates of the matrices; the other groups keep their ratio to it.
        batch_tokens: tokens per step; a relative learning rate is then of the rate that suits this batch.
        warmup: fractions of the steps.
        weight_decay: as in AdamW; 0 for none.
    """

    learning_rate: Settings | None = None
    batch_tokens: Settings | None = None
    warmup: Settings | None = None
    weight_decay: SettingsOrZero | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> "Grid":
        if not self.given:
            raise ValueError(f"is empty; give values of {', '.join(type(self).model_fields)}")
        return self

    @property
    def given(self) -> dict[str, tuple[Setting, ...]]:
        """Values of the hyperparameters that vary, by name."""
        return {name: values for name in type(self).model_fields if (values := getattr(self, name)) is not None}

    def points(self) -> Iterator[dict[str, Setting]]:
        """Every combination of values, each by name."""
        for values in itertools.product(*self.given.values()):
            yield dict(zip(self.given, values, strict=True))
