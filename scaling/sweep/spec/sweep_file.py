"""A sweep file: YAML to SweepSpec, with every fault told at once and where it is."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, Field, PrivateAttr, StrictBool, ValidationError, model_validator

from scaling.data.corpus import CorpusSpec
from scaling.data.shards import is_built, read_manifest
from scaling.data.tokenizer import BYTES, Vocabulary
from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.parallelism import Remat
from scaling.sweep.spec.arrangement import Arrangement, MeshChoice
from scaling.sweep.spec.fields import (
    Budgets,
    Count,
    Name,
    OneOrMore,
    Positive,
    Seeds,
    Strict,
    positive,
    show,
)
from scaling.sweep.spec.hyperparameters import Grid, RecipeChoice, ScheduleChoice, usual_schedule
from scaling.sweep.spec.shapes import ShapeRule, Size
from scaling.sweep.spec.violations import dotted, told
from scaling.sweep.spec.yaml_locations import Located, Place, Violations, expand, override, read_yaml

Horizon = Literal["flops", "tokens", "tokens_per_param"]
_HORIZONS: tuple[Horizon, ...] = get_args(Horizon)
_SHORTHANDS = {"corpus": "name", "recipe": "name", "schedule": "kind"}
_LARGEST_FILE = 2**20
_MOST_RUNS = 20_000
_MOST_FAULTS = 50
_Model = TypeVar("_Model", bound=BaseModel)


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
    """Small runs: every size, to every horizon, with every seed.

    Attributes:
        sizes: each one a number of parameters, or an exact shape.
        flops: training budgets in FLOPs; or
        tokens: training tokens; or
        tokens_per_param: training tokens over total parameters: exactly one of the three.
        seeds: the seeds themselves; in the file, a number n stands for 0 to n - 1.
        trunk: whether the horizons of a size and seed are branches of one trunk, trained once with the recipe of the
            longest, that each leaves when its rate begins to fall.
    """

    sizes: OneOrMore[Size]
    flops: Budgets | None = None
    tokens: Budgets | None = None
    tokens_per_param: Budgets | None = None
    seeds: Seeds = (0,)
    trunk: StrictBool = False

    @model_validator(mode="after")
    def _one_horizon(self) -> "FitBlock":
        _only_horizon(self)
        return self

    @property
    def horizon(self) -> tuple[Horizon, tuple[float, ...]]:
        """Which of the three is given, and its values."""
        name = _only_horizon(self)
        values: tuple[float, ...] = getattr(self, name)
        return name, values


class Target(Strict):
    """The large run that is forecast, trained once for each seed, and scored; keys as in FitBlock."""

    size: Size
    flops: Positive | None = None
    tokens: Positive | None = None
    tokens_per_param: Positive | None = None
    seeds: Seeds = (0,)

    @model_validator(mode="after")
    def _one_horizon(self) -> "Target":
        _only_horizon(self)
        return self

    @property
    def horizon(self) -> tuple[Horizon, float]:
        """Which of the three is given, and its value."""
        name = _only_horizon(self)
        value: float = getattr(self, name)
        return name, value


class SweepSpec(Strict):
    """A validated sweep file.

    Attributes:
        name: of the sweep and of its output folder.
        model: how a size becomes a Llama.
        corpus: the text.
        fit: blocks of runs that the forecast is made from, or that are tuned.
        target: the run that is forecast; or
        grid: hyperparameters that every run of ``fit`` is tuned over: exactly one of the two.
        recipe: learning rate, batch, warm-up and weight decay as functions of the run's size and tokens.
        schedule: of the learning rate.
        dtype: of activations and matrix products.
        eval_tokens: held-out tokens that every run is evaluated on, at most; where not given, as many as the
            smallest run can pay for.
        mesh: how runs are carried out; like ``microbatches`` and ``remat`` see ``Arrangement``.
        microbatches: likewise.
        remat: likewise.
    """

    name: Name
    model: ShapeRule
    corpus: CorpusChoice
    fit: OneOrMore[FitBlock]
    target: Target | None = None
    grid: Grid | None = None
    recipe: RecipeChoice = RecipeChoice()
    schedule: ScheduleChoice = Field(default_factory=lambda given: usual_schedule(given["recipe"]))
    dtype: Literal["float32", "bfloat16"] = "float32"
    eval_tokens: Count | None = None
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
        runs = points * sum(len(block.sizes) * len(block.horizon[1]) * len(block.seeds) for block in self.fit)
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
    def arrangement(self) -> Arrangement:
        """How its runs are carried out."""
        return Arrangement(mesh=self.mesh, microbatches=self.microbatches, remat=self.remat)

    def where(self, *path: str | int) -> str:
        """Where a value was written, for a fault: ``where("fit", 0, "flops", 1)`` is ``sweeps/x.yaml:7:12``.

        For what was not written, the nearest value around it.
        """
        return str(self._source.find(path).place)

    def canonical(self) -> dict[str, Any]:
        """The values as JSON has them: equal for files that mean the same, however they write it."""
        return self.model_dump(mode="json", exclude_none=True)


def load_sweep(path: str | Path, overrides: Sequence[str] = ()) -> SweepSpec:
    """Reads a sweep file.

    Args:
        path: of the YAML file.
        overrides: assignments such as ``target.seeds=4``, ``fit.0.flops=[1e10,3e10]`` or ``corpus=python``.

    Raises:
        InputError: every fault of the file and the overrides, as ``file:line:column: message``.
    """
    return parse_sweep(read_file(path, "sweep file"), str(path), overrides)


def read_file(path: str | Path, what: str) -> str:
    """The text of a file that people write; InputError if it is too large for that, or no text."""
    try:
        with Path(path).open("rb") as stream:
            content = stream.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: cannot read the {what}: {reason}") from None
    if len(content) > _LARGEST_FILE:
        raise InputError(f"{path}: larger than 1 MiB; this is no {what}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file: byte {content[error.start]:#04x} is not UTF-8") from None


def parse_sweep(text: str, name: str, overrides: Sequence[str] = ()) -> SweepSpec:
    """As ``load_sweep``, from a file's text; ``name`` is the file's in the places of faults."""
    root, faults = read_yaml(text, name)
    if root is None or not isinstance(root.value, dict):
        found = "the file is empty" if root is None else f"not {show(root.plain())}"
        raise InputError(lines_of(faults or [(Place(name, 1, 1), f"a sweep file maps keys to values; {found}")]))
    for assignment in overrides:
        faults += override(root, assignment, _SHORTHANDS)
    for key in root.value.keys() & _SHORTHANDS.keys():
        root.value[key] = expand(root.value[key], _SHORTHANDS[key])
    data: Any = root.plain()
    faults += [(root.find(path).place, f"{dotted(path)}: {message}") for path, message in _fit_vocab(data)]
    try:
        spec = SweepSpec.model_validate(data)
    except ValidationError as errors:
        # A default that depends on a faulty key is no fault of its own.
        told_of = (error for error in errors.errors(include_url=False) if error["type"] != "default_factory_not_called")
        faults += [told(error, SweepSpec, root) for error in told_of]
    faults += [(root.find(path).place, f"{dotted(path)}: {message}") for path, message in _shape_faults(data)]
    if faults:
        raise InputError(lines_of(faults))
    spec._source = root
    return spec


def _fit_vocab(data: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Gives the model the tokenizer's vocabulary where it has none; yields what is wrong with the one it has."""
    corpus, model = data.get("corpus"), data.get("model")
    path = corpus.get("path") if isinstance(corpus, dict) else None
    tokenizer: Vocabulary = BYTES
    if isinstance(path, str) and is_built(path):
        try:
            tokenizer = read_manifest(Path(path).expanduser()).tokenizer
        except InputError as error:
            yield from ((("corpus", "path"), fault) for fault in error.errors)
            return
    if not isinstance(model, dict):
        return
    if "vocab" not in model:
        model |= {"vocab": str(tokenizer.vocab)} if tokenizer is not BYTES else {}
        return
    try:
        vocab = positive(model["vocab"])
    except ValueError:  # told as a fault of its own
        return
    if vocab < tokenizer.vocab:
        name = f"the vocabulary of the {tokenizer.name} tokenizer"
        yield ("model", "vocab"), f"{vocab:g} is smaller than {name}, {tokenizer.vocab}"


def lines_of(faults: Violations) -> list[str]:
    """Violations as lines, in the order of their places."""
    ordered = sorted(faults, key=lambda fault: (fault[0].line, fault[0].column))
    lines = list(dict.fromkeys(f"{place}: {' '.join(message.split())}" for place, message in ordered))
    hidden = len(lines) - _MOST_FAULTS
    return lines[:_MOST_FAULTS] + ([f"{ordered[0][0].source}: {hidden} more faults"] if hidden > 0 else [])


def _shape_faults(data: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Sizes that no Llama has or the mesh cannot split, and two of a block that are one shape.

    Told even where other keys are bad.
    """
    rule, mesh = _valid(ShapeRule, data.get("model")), _valid(MeshChoice, data.get("mesh"))
    if rule is None:
        return
    blocks = data.get("fit")
    for number, block in enumerate(blocks if isinstance(blocks, list) else [blocks]):
        sizes = block.get("sizes") if isinstance(block, dict) else None
        seen: dict[LlamaConfig, Size] = {}
        for index, item in enumerate(sizes if isinstance(sizes, list) else [sizes]):
            path = ("fit", number, "sizes", index)
            config, faults = _shape(rule, item, mesh)
            yield from ((path, fault) for fault in faults)
            if config in seen:
                yield (
                    path,
                    f"is the same shape, {config.width} wide and {config.depth} deep, as {seen[config]}",
                )
            elif config is not None:
                seen[config] = Size.model_validate(item)
    target = data.get("target")
    if isinstance(target, dict):
        yield from ((("target", "size"), fault) for fault in _shape(rule, target.get("size"), mesh)[1])


def _shape(rule: ShapeRule, item: object, mesh: MeshChoice | None) -> tuple[LlamaConfig | None, tuple[str, ...]]:
    size = _valid(Size, item)
    try:
        config = rule.resolve(size) if size else None
    except InputError as error:
        return None, error.errors
    uneven = [] if config is None or mesh is None else mesh.parallelism.faults(config)
    return config, (f"the mesh cannot split it: {', '.join(uneven)}",) if uneven else ()


def _valid(model: type[_Model], item: object) -> _Model | None:
    try:
        return model.model_validate(item)
    except ValidationError:
        return None
