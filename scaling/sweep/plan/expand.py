"""Expansion of a sweep file into its runs: every size, horizon and seed, with the recipe's numbers filled in."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from scaling.data.batches import Batches, held_out_windows
from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params, flops_per_token
from scaling.quantity import format_quantity
from scaling.sweep.plan.corpus_text import SweepText, epochs_of
from scaling.sweep.plan.evaluation import evaluation_sets
from scaling.sweep.plan.mixtures import Mixture, SweepMixtures, shares_text, sweep_mixtures
from scaling.sweep.spec.arrangement import uneven
from scaling.sweep.spec.hyperparameters import Setting
from scaling.sweep.spec.mixtures import CHOSEN
from scaling.sweep.spec.sweep_spec import SweepSpec
from scaling.train.config import DataConfig, RunConfig
from scaling.train.recipe import RECIPES, Overrides, Recipe, Tuned


@dataclass(frozen=True)
class PlannedRun:
    """A run with its role in the sweep."""

    config: RunConfig
    role: Literal["fit", "target"]

    @property
    def id(self) -> str:
        return self.config.id


@dataclass(frozen=True)
class _RecipeCell:
    """Runs that differ by their seed alone: a size to a horizon with its recipe, and its location in the file.

    Attributes:
        block: number of the block that it is of; None for the target.
        mixture: that it is trained on; None for the corpus as it is.
    """

    model: LlamaConfig
    tokens: float
    recipe: Recipe
    seeds: tuple[int, ...]
    role: Literal["fit", "target"]
    location: str
    point: Mapping[str, Setting]
    trunk: int | None = None
    block: int | None = None
    mixture: Mixture | None = None

    @property
    def steps(self) -> int:
        return round(self.tokens / self.recipe.batch_tokens)


def expand(
    spec: SweepSpec, text: SweepText, tuned: Tuned | None = None, chosen: Mixture | None = None
) -> list[PlannedRun]:
    """Every run of a sweep, the fitted ones first, each once.

    Args:
        spec: the sweep.
        text: its corpus on this machine.
        tuned: laws of the learning rate and the batch, to go before the recipe's own.
        chosen: what the fitted runs of a sweep with mixtures have chosen for the target; None before that, and the
            target then has no such runs.

    Raises:
        InputError: one line for every budget that cannot be met: less than one step, fewer tokens than the context,
            more text than the corpus or one of its sources has and ``epochs`` allows; mixtures of other sources;
            held-out text shorter than the context; a target that is also fitted; two points of the grid that come to
            one recipe.
    """
    mixtures = None if spec.mixtures is None else sweep_mixtures(spec, text)
    cells = [
        replace(cell, mixture=mixture)
        for cell in _cells(spec, tuned)
        for mixture in _mixtures_of(cell, spec, mixtures, chosen)
    ]
    fitted = {(cell.model, cell.steps) for cell in cells if cell.role == "fit"}
    violations = [line for cell in cells for line in _violations(spec, cell, text, fitted)]
    violations += _too_many_epochs(spec, cells, text)
    violations += _coinciding(spec, cells)
    violations += _unsplit(spec, cells)
    if violations:
        raise InputError(dict.fromkeys(violations))
    data = DataConfig(
        corpus=spec.corpus.model_dump(mode="json", exclude={"epochs"}),
        fingerprint=asdict(text.fingerprint),
        tokenizer={"name": text.tokenizer.name, "hash": text.tokenizer.hash},
        eval_tokens=_eval_tokens(spec, text),
        evaluate=evaluation_sets(spec, text),
    )
    runs: dict[str, PlannedRun] = {}
    for cell in cells:
        mixed = data if cell.mixture is None else replace(data, mixture=dict(cell.mixture))
        for seed in cell.seeds:
            config = RunConfig(cell.model, mixed, cell.recipe, cell.steps, seed, spec.dtype, cell.trunk)
            run = PlannedRun(config, cell.role)
            runs.setdefault(run.id, run)
    return list(runs.values())


def _cells(spec: SweepSpec, tuned: Tuned | None) -> Iterator[_RecipeCell]:
    for number, block in enumerate(spec.fit):
        horizon, values = block.horizon
        for size in block.sizes:
            for index, value in enumerate(values):
                location = spec.where("fit", number, horizon, index)
                ends = (min(values), max(values)) if block.trunk else None
                of = _cell(spec, tuned, spec.shape(size), horizon, value, block.seeds, "fit", location, ends)
                yield from (replace(cell, block=number) for cell in of)
    if spec.target is not None:
        horizon, value = spec.target.horizon
        model, location = spec.shape(spec.target.size), spec.where("target", horizon)
        yield from _cell(spec, tuned, model, horizon, value, spec.target.seeds, "target", location)


def _mixtures_of(
    cell: _RecipeCell, spec: SweepSpec, mixtures: SweepMixtures | None, chosen: Mixture | None
) -> Iterator[Mixture | None]:
    """The mixtures that a cell is trained on; None, once, in a sweep without mixtures."""
    if mixtures is None:
        yield None
    elif cell.block is not None:
        yield from mixtures.of_block(spec.fit[cell.block].mixtures)
    else:
        assert spec.target is not None
        named = {**mixtures.named, CHOSEN: chosen}
        yield from (named[name] for name in spec.target.mixture_names if named[name] is not None)


def tokens_of(model: LlamaConfig, horizon: str, value: float) -> float:
    """The training tokens of a model's horizon, which is given as flops, tokens or tokens_per_param."""
    if horizon == "flops":
        return value / flops_per_token(model, model.seq_len)
    return value * count_params(model).total if horizon == "tokens_per_param" else value


def _cell(
    spec: SweepSpec,
    tuned: Tuned | None,
    model: LlamaConfig,
    horizon: str,
    value: float,
    seeds: tuple[int, ...],
    role: Literal["fit", "target"],
    location: str,
    ends: tuple[float, float] | None = None,
) -> Iterator[_RecipeCell]:
    """Cells of a size and horizon, maybe as a branch of a trunk: one, or with a grid one for each of its points.

    Args:
        ends: the shortest and the longest horizon of the trunk, or None for a run by itself.
    """
    tokens = tokens_of(model, horizon, value)
    shortest, longest = (tokens, tokens) if ends is None else (tokens_of(model, horizon, end) for end in ends)
    chosen = Overrides(
        learning_rate=spec.recipe.learning_rate,
        batch_tokens=spec.recipe.batch_tokens,
        weight_decay=spec.recipe.weight_decay,
        warmup=spec.recipe.warmup,
        optimizer=spec.recipe.optimizer,
        schedule=spec.schedule.kind,
        decay=spec.schedule.decay,
    )
    make = RECIPES[spec.recipe.name] if tuned is None else tuned.before(RECIPES[spec.recipe.name])
    for point in spec.grid.points() if spec.grid is not None else [{}]:
        recipe = _at(point, lambda given: make(model, longest, given), chosen)
        cell = _RecipeCell(model, tokens, recipe, seeds, role, location, point)
        yield cell if ends is None else _branch(cell, shortest, longest)


def _branch(cell: _RecipeCell, shortest: float, longest: float) -> _RecipeCell:
    """A cell as a branch of its trunk, with the trunk's recipe; the trunk warms up as its shortest branch would."""
    schedule, batch = cell.recipe.schedule, cell.recipe.batch_tokens
    warmup = schedule.warmup * (shortest / batch) / max(1, cell.steps)
    recipe = replace(cell.recipe, schedule=replace(schedule, warmup=warmup))
    return replace(cell, recipe=recipe, trunk=round(longest / batch))


def _at(point: Mapping[str, Setting], make: Callable[[Overrides], Recipe], chosen: Overrides) -> Recipe:
    """The recipe at a point of a grid; the batch is set first, as the recipe's learning rate depends on it."""
    if "batch_tokens" in point:
        chosen = replace(chosen, batch_tokens=max(1, round(point["batch_tokens"].of(make(chosen).batch_tokens))))
    if "learning_rate" in point:
        chosen = replace(chosen, learning_rate=point["learning_rate"].of(make(chosen).rates.matrix))
    if "warmup" in point:
        chosen = replace(chosen, warmup=point["warmup"].of(make(chosen).schedule.warmup))
    if "weight_decay" in point:
        chosen = replace(chosen, weight_decay=point["weight_decay"].of(make(chosen).weight_decay))
    return make(chosen)


def _violations(
    spec: SweepSpec, cell: _RecipeCell, text: SweepText, fitted: Collection[tuple[LlamaConfig, int]]
) -> Iterator[str]:
    seq_len, batch = cell.model.seq_len, cell.recipe.batch_tokens
    shape = f"{format_quantity(count_params(cell.model).total)} parameters"
    needed = max(seq_len, batch)
    if cell.tokens < seq_len or cell.steps < 1:
        why = f"shorter than the context, {seq_len}" if cell.tokens < seq_len else f"less than one step of {batch}"
        flops = format_quantity(needed * flops_per_token(cell.model, seq_len))
        yield f"{cell.location}: a budget of {cell.tokens:.3g} tokens is {why}: at {shape} that takes {flops} FLOPs"
        return
    if not 0 < cell.recipe.schedule.warmup < 1:
        yield f"{spec.where('grid', 'warmup')}: a warm-up of {cell.recipe.schedule.warmup:g} of the run is not possible"
    if cell.mixture is None:
        yield from _epochs_violations(spec, cell, text, shape)
    if cell.role == "target" and (cell.model, cell.steps) in fitted:
        yield f"{cell.location}: the target is also one of the fitted runs; a forecast of it is none"


def _epochs_violations(spec: SweepSpec, cell: _RecipeCell, text: SweepText, shape: str) -> Iterator[str]:
    try:
        epochs = Batches(text.train, cell.model.seq_len, 1, 0).epochs_needed(cell.steps * cell.recipe.batch_tokens)
    except InputError as error:
        yield from (f"{spec.where('model', 'seq_len')}: {line}" for line in error.errors)
        return
    if epochs > spec.corpus.epochs:
        yield (
            f"{cell.location}: {format_quantity(cell.tokens)} tokens at {shape} are {epochs:.3g} epochs of the corpus "
            f"({format_quantity(len(text.train))} training tokens); {_allowing(epochs)}"
        )


def _too_many_epochs(spec: SweepSpec, cells: Sequence[_RecipeCell], text: SweepText) -> Iterator[str]:
    """A line for each horizon of a size at which a mixture repeats a source too often: on the one that does most."""
    worst: dict[tuple[str, LlamaConfig], tuple[float, str, _RecipeCell]] = {}
    for cell in cells:
        if cell.mixture is None or cell.steps < 1:
            continue
        try:
            epochs = epochs_of(cell.mixture, text, cell.steps * cell.recipe.batch_tokens, cell.model.seq_len)
        except InputError as error:
            yield from (f"{spec.where('model', 'seq_len')}: {line}" for line in error.errors)
            continue
        source = max(epochs, key=lambda name: epochs[name])
        known = worst.get((cell.location, cell.model))
        if epochs[source] > spec.corpus.epochs and (known is None or epochs[source] > known[0]):
            worst[cell.location, cell.model] = (epochs[source], source, cell)
    for (location, model), (most, source, cell) in worst.items():
        assert cell.mixture is not None
        yield (
            f"{location}: {format_quantity(cell.tokens)} tokens at {format_quantity(count_params(model).total)} "
            f"parameters are {most:.3g} epochs of {source} ({format_quantity(len(text.sources[source]))} training "
            f"tokens) on the mixture {shares_text(cell.mixture)} of {'/'.join(cell.mixture)}; {_allowing(most)}"
        )


def _allowing(epochs: float) -> str:
    return f"allow it with corpus: {{..., epochs: {math.ceil(10 * epochs) / 10:g}}}"


def _coinciding(spec: SweepSpec, cells: Sequence[_RecipeCell]) -> Iterator[str]:
    """Pairs of a grid's values that give the same recipe at a size and horizon, as a batch is whole sequences."""
    first: dict[tuple[LlamaConfig, float, Recipe], _RecipeCell] = {}
    seen: set[tuple[str, Setting, Setting]] = set()
    for cell in cells:
        other = first.setdefault((cell.model, cell.tokens, cell.recipe), cell)
        differ = [name for name, setting in cell.point.items() if setting != other.point[name]]
        # Where several differ, there is also a pair that differs in each of them alone.
        if len(differ) != 1 or (pair := (differ[0], other.point[differ[0]], cell.point[differ[0]])) in seen:
            continue
        seen.add(pair)
        name, one, two = pair
        assert spec.grid is not None
        location = spec.where("grid", name, spec.grid.given[name].index(two))
        both = "come to the same"
        if name == "batch_tokens":
            both = f"both come to {cell.recipe.batch_tokens}, in whole sequences of {cell.model.seq_len},"
        at = f"{format_quantity(count_params(cell.model).total)} parameters and {cell.tokens:.3g} tokens"
        yield f"{location}: grid.{name}: {one} and {two} {both} at {at}"


def _unsplit(spec: SweepSpec, cells: Sequence[_RecipeCell]) -> Iterator[str]:
    """A line for each size whose batches the sweep's arrangement cannot split."""
    location = spec.where("mesh" if spec.mesh is not None else "microbatches")
    batches = [(cell.model, cell.recipe.batch_tokens // cell.model.seq_len) for cell in cells]
    for model, reason in uneven(spec.arrangement, batches):
        yield f"{location}: at {format_quantity(count_params(model).total)} parameters {reason}"


def _eval_tokens(spec: SweepSpec, text: SweepText) -> int:
    """Held-out tokens that every run is evaluated on: the number requested, or as many as there are."""
    seq_len = spec.model.seq_len
    try:
        windows, _ = held_out_windows(text.held_out, seq_len, spec.eval_tokens)
    except InputError as error:
        raise InputError(f"{spec.where('model', 'seq_len')}: {line}" for line in error.errors) from None
    return len(windows) * seq_len
