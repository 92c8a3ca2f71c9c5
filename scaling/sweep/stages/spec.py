"""The stages of a chain: the keys of each in its file, and their meanings."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from scaling.data.answers.spec import AnswersSpec
from scaling.posttrain.rewards.gold import GOLDS, OF_MODEL
from scaling.sweep.spec.fields import (
    Count,
    Fraction,
    NotNegative,
    OneOrMore,
    Positive,
    Strict,
    as_text,
    show,
)
from scaling.sweep.spec.shapes import Size
from scaling.sweep.stages.blocks import DpoRuns, PpoRuns, RewardRuns, SftRuns, single

Text = Annotated[str, BeforeValidator(as_text)]
_SENTENCES = AnswersSpec(name="sentences")


def _mapped(key: str) -> Any:
    """A bare word as the mapping that it is short for."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


class Reference(Strict):
    """A model: that of an earlier stage, of a run's folder, or an imported one.

    Attributes:
        source: ``from`` in the file: a stage's name, or a folder.
        size: which of the stage's sizes; by default the run's own, or the only one.
    """

    source: Text = Field(alias="from")
    size: Size | None = None


Model = Annotated[Reference, _mapped("from")]
Answers = Annotated[AnswersSpec, _mapped("name")]


class RecipeChoice(Strict):
    """A stage's recipe by name, and the values that the file sets instead.

    Attributes:
        name: ``transfer``: the rates of the start's pre-training times a factor; ``llama``: the papers' numbers.
        learning_rate: peak, of the matrices; the other groups keep their ratio to it.
        batch: rows of a step.
        warmup: fraction of the steps.
    """

    name: Literal["transfer", "llama"] = "transfer"
    learning_rate: Positive | None = None
    batch: Count | None = None
    warmup: Fraction | None = None


class Stage(Strict):
    """What all stages have.

    Attributes:
        recipe: hyperparameters.
    """

    # The settings of ``scaling.posttrain.settings`` that a key of the stage gives for all of its runs.
    GIVEN: ClassVar[tuple[str, ...]] = ()
    recipe: Annotated[RecipeChoice, _mapped("name")] = RecipeChoice()

    def given(self) -> dict[str, Any]:
        """The settings that the stage's keys give, where they do."""
        given = {name: getattr(self, name) for name in self.GIVEN if getattr(self, name) is not None}
        gold: GoldChoice | None = getattr(self, "gold", None)
        return given if gold is None else {**given, "gold": gold.called}


class SftStage(Stage):
    """Supervised fine-tuning.

    Attributes:
        start: ``from`` in the file: what it begins from.
        data: the examples.
        epochs: passes over a run's examples.
        fit: runs that the forecast is made from.
        target: the run that is forecast.
    """

    GIVEN = ("epochs",)
    stage: Literal["sft"] = "sft"
    start: Model = Field(alias="from")
    data: Answers = _SENTENCES
    epochs: Positive | None = None
    fit: OneOrMore[SftRuns]
    target: Annotated[SftRuns, AfterValidator(single)] | None = None


class GoldChoice(Strict):
    """A gold reward: one of those that are built in, by ``name``, or ``run``: a model's folder."""

    name: str | None = None
    run: Text | None = None

    @model_validator(mode="after")
    def _one(self) -> "GoldChoice":
        known = [name for name in GOLDS if name != OF_MODEL]
        if (self.name is None) == (self.run is None):
            raise ValueError(f"needs either a name ({', '.join(known)}) or run, a folder")
        if self.name is not None and self.name not in known:
            raise ValueError(
                f"there is no gold reward {show(self.name)}; there is {', '.join(known)}, or {{run: FOLDER}}"
            )
        return self

    @property
    def called(self) -> str:
        """Its name in a run's settings."""
        return self.name or OF_MODEL


Gold = Annotated[GoldChoice, _mapped("name")]


class Labelled(Stage):
    """A stage that is trained on pairs: from a file, or written by a policy and labelled by a gold reward.

    Attributes:
        data: the pairs; or the prompts that ``policy`` answers.
        policy: who writes the answers; None for pairs that are in ``data``.
        gold: the name of the gold reward; None without one.
        raters: ``one``: labels of one rater drawn at random; ``all``: of the gold reward itself.
    """

    data: Answers = _SENTENCES
    policy: Model | None = None
    gold: Gold | None = None
    raters: Literal["one", "all"] | None = None

    @model_validator(mode="after")
    def _labelled(self) -> "Labelled":
        if self.policy is not None and self.gold is None:
            raise ValueError("gold: pairs that a policy writes need a gold reward that labels them")
        if self.policy is None and self.data.name is not None:
            raise ValueError("policy: the prompts of sentences are no pairs; name who answers them")
        if self.policy is None and self.raters is not None:
            raise ValueError("raters: only of pairs that a policy writes")
        return self


class RewardStage(Labelled):
    """Reward models; ``margin``, ``centring``, ``epochs`` and ``held_out`` as of ``RewardSettings``.

    Attributes:
        start: ``from`` in the file: what they begin from.
        fit, target: as of ``SftStage``.
    """

    GIVEN = ("margin", "centring", "epochs", "held_out")
    stage: Literal["reward"] = "reward"
    start: Model = Field(alias="from")
    margin: Literal["none", "small", "large"] | None = None
    centring: NotNegative | None = None
    epochs: Positive | None = None
    held_out: Count | None = None
    fit: OneOrMore[RewardRuns]
    target: Annotated[RewardRuns, AfterValidator(single)] | None = None


class BestOfNStage(Stage):
    """Best-of-n by each of a stage's reward models: those of its target are the target here.

    Attributes:
        policy: who answers.
        reward: the reward models.
        data: the prompts.
        gold: as of ``Labelled``.
        prompts, n, temperature: as of ``BestOfNSettings``.
    """

    GIVEN = ("prompts", "n", "temperature")
    stage: Literal["best_of_n"] = "best_of_n"
    policy: Model
    reward: Model
    data: Answers = _SENTENCES
    gold: Gold | None = None
    prompts: Count | None = None
    n: Count | None = None
    temperature: Positive | None = None


class PpoStage(Stage):
    """PPO; the other keys are those of ``PpoSettings``.

    Attributes:
        start: ``from`` in the file: the policy that it begins from, which is the reference too.
        reward: the reward models, each of a number of pairs.
        safety: Llama 2's second reward model, for safety; None without one.
        data: the prompts.
        fit, target: as of ``SftStage``.
    """

    GIVEN = (
        *("kl", "iterations", "answers", "epochs", "minibatches", "clip", "lam", "gamma", "value_rate", "unfinished"),
        *("temperature", "measured", "every"),
    )
    stage: Literal["ppo"] = "ppo"
    start: Model = Field(alias="from")
    reward: Model
    safety: Model | None = None
    data: Answers = _SENTENCES
    gold: Gold | None = None
    kl: NotNegative | None = None
    iterations: Count | None = None
    answers: Count | None = None
    epochs: Count | None = None
    minibatches: Count | None = None
    clip: Positive | None = None
    lam: NotNegative | None = Field(default=None, alias="lambda")
    gamma: Positive | None = None
    value_rate: Positive | None = None
    unfinished: NotNegative | None = None
    temperature: Positive | None = None
    measured: Count | None = None
    every: Count | None = None
    fit: OneOrMore[PpoRuns]
    target: Annotated[PpoRuns, AfterValidator(single)] | None = None


class DpoStage(Labelled):
    """DPO; ``beta``, ``loss``, ``nll``, ``epochs``, ``measured`` and ``measurements`` as of ``DpoSettings``.

    Attributes:
        start: ``from`` in the file: the policy that it begins from, which is the reference too.
        fit, target: as of ``SftStage``.
    """

    GIVEN = ("beta", "loss", "nll", "epochs", "measured", "measurements")
    stage: Literal["dpo"] = "dpo"
    start: Model = Field(alias="from")
    beta: Positive | None = None
    loss: Literal["sigmoid", "ipo", "hinge"] | None = None
    nll: NotNegative | None = None
    epochs: Positive | None = None
    measured: Count | None = None
    measurements: Count | None = None
    fit: OneOrMore[DpoRuns]
    target: Annotated[DpoRuns, AfterValidator(single)] | None = None


AnyStage = SftStage | RewardStage | BestOfNStage | PpoStage | DpoStage
KINDS: dict[str, type[Stage]] = {
    "sft": SftStage,
    "reward": RewardStage,
    "best_of_n": BestOfNStage,
    "ppo": PpoStage,
    "dpo": DpoStage,
}
