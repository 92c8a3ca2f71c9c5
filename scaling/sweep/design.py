"""A sweep file to its runs: every size, horizon and seed, with the recipe's numbers filled in."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from scaling.data.batches import Batches, TokenSet
from scaling.data.corpus import Fingerprint
from scaling.data.tokenizer import Tokenizer
from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params, flops_per_token
from scaling.quantity import format_quantity
from scaling.sweep.spec import SweepSpec
from scaling.train.config import DataConfig, RunConfig
from scaling.train.recipe import RECIPES, Overrides

# Evaluating costs a third of training per token: this share of the smallest run's tokens stays below 10 % of its time.
EVAL_SHARE = 0.2
MOST_EVAL_TOKENS = 2**18


@dataclass(frozen=True)
class PlannedRun:
    """A run and its part in the sweep."""

    config: RunConfig
    role: Literal["fit", "target"]

    @property
    def id(self) -> str:
        return self.config.id


@dataclass(frozen=True)
class _Cell:
    """A size to a horizon, before the recipe: where it stands in the file, and what it asks for."""

    model: LlamaConfig
    tokens: float
    seeds: tuple[int, ...]
    role: Literal["fit", "target"]
    place: str


def expand(spec: SweepSpec, tokenizer: Tokenizer, fingerprint: Fingerprint, train: TokenSet) -> list[PlannedRun]:
    """Every run of a sweep, the fitted ones first, each once.

    Args:
        spec: the sweep.
        tokenizer: of its text.
        fingerprint: of its corpus on this machine.
        train: the training tokens, by which repeated text is noticed.

    Raises:
        InputError: one line for every budget that cannot be met: less than one step, fewer tokens than the context,
            more text than the corpus has and ``epochs`` allows.
    """
    cells = list(_cells(spec))
    faults = [fault for cell in cells for fault in _faults(spec, cell, train)]
    if faults:
        raise InputError(dict.fromkeys(faults))
    eval_tokens = spec.eval_tokens
    if eval_tokens is None:
        smallest = min(cell.tokens for cell in cells)
        eval_tokens = int(min(max(spec.model.seq_len, EVAL_SHARE * smallest), MOST_EVAL_TOKENS))
    data = DataConfig(
        corpus=spec.corpus.model_dump(mode="json", exclude={"epochs"}),
        fingerprint=asdict(fingerprint),
        tokenizer={"name": tokenizer.name, "hash": tokenizer.hash},
        eval_tokens=eval_tokens,
    )
    runs: dict[str, PlannedRun] = {}
    for cell in cells:
        for seed in cell.seeds:
            run = PlannedRun(_config(spec, cell, data, seed), cell.role)
            if cell.role == "target" and run.id in runs:
                raise InputError(f"{cell.place}: the target is also one of the fitted runs; a forecast of it is none")
            runs.setdefault(run.id, run)
    return list(runs.values())


def _cells(spec: SweepSpec) -> Iterator[_Cell]:
    for number, block in enumerate(spec.fit):
        horizon, values = block.horizon
        for size in block.sizes:
            model = spec.shape(size)
            for index, value in enumerate(values):
                place = spec.where("fit", number, horizon, index)
                yield _Cell(model, _tokens(model, horizon, value), block.seeds, "fit", place)
    horizon, value = spec.target.horizon
    model = spec.shape(spec.target.size)
    place = spec.where("target", horizon)
    yield _Cell(model, _tokens(model, horizon, value), spec.target.seeds, "target", place)


def _tokens(model: LlamaConfig, horizon: str, value: float) -> float:
    if horizon == "flops":
        return value / flops_per_token(model, model.seq_len)
    return value * count_params(model).total if horizon == "tokens_per_param" else value


def _config(spec: SweepSpec, cell: _Cell, data: DataConfig, seed: int) -> RunConfig:
    choice = spec.recipe
    overrides = Overrides(
        learning_rate=choice.learning_rate,
        batch_tokens=choice.batch_tokens,
        weight_decay=choice.weight_decay,
        warmup=choice.warmup,
        schedule=spec.schedule.kind,
        decay=spec.schedule.decay,
    )
    recipe = RECIPES[choice.name](cell.model, cell.tokens, overrides)
    steps = max(1, round(cell.tokens / recipe.batch_tokens))
    return RunConfig(cell.model, data, recipe, steps, seed, spec.dtype)


def _faults(spec: SweepSpec, cell: _Cell, train: TokenSet) -> Iterator[str]:
    shape = f"{format_quantity(count_params(cell.model).total)} parameters"
    if cell.tokens < cell.model.seq_len:
        flops = format_quantity(cell.model.seq_len * flops_per_token(cell.model, cell.model.seq_len))
        yield (
            f"{cell.place}: a budget of {cell.tokens:.3g} tokens is shorter than the context, {cell.model.seq_len}: "
            f"at {shape} one sequence takes {flops} FLOPs"
        )
        return
    try:
        epochs = Batches(train, cell.model.seq_len, 1, 0).epochs_needed(int(cell.tokens))
    except InputError as error:
        yield from (f"{spec.where('model', 'seq_len')}: {fault}" for fault in error.faults)
        return
    if epochs > spec.corpus.epochs:
        enough = math.ceil(10 * epochs) / 10
        yield (
            f"{cell.place}: {format_quantity(cell.tokens)} tokens at {shape} are {epochs:.3g} epochs of the corpus "
            f"({format_quantity(len(train))} training tokens); allow it with corpus: {{..., epochs: {enough:g}}}"
        )
