"""Families of shapes: the runs that one can have, and the file of a sweep grown by some of them."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

from scaling.data.batches import Batches
from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params, flops_per_token
from scaling.quantity import format_quantity, parse_quantity
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.corpus_text import load_text
from scaling.sweep.spec.shapes import ShapeRule, Size
from scaling.sweep.spec.sweep_file import load_sweep
from scaling.sweep.spec.sweep_spec import CorpusChoice, Target

_STEP, _POWERS = 1.5, 75  # between sizes, the largest of which is beyond any model
_APART = 1.15  # nearer than this, two sizes are one
_LARGEST = 1e15
_SHORTEST = 100  # sequences that a run is trained on at least
_FEWEST_PER_PARAM = 2  # tokens: shorter runs have hardly begun, and laws fail there
_MOST_EMBEDDED = 0.5  # share of embedding and head in the parameters: beyond, a size says little about layers
_SAME = 0.01  # tokens of one target, as people round them
_MIXED = "a sweep with mixtures chooses one; runs are designed for a sweep of one mixture"
_ALONE = ("fit", "target", "grid")  # a sweep's own, not its family's


@dataclass(frozen=True)
class NewRuns:
    """New runs of one size and budget, which differ in their seeds."""

    params: int
    flops: float
    seeds: int


@dataclass(frozen=True)
class Family:
    """Llamas of one shape rule, on one corpus, by one recipe.

    Attributes:
        sweep: as JSON has it (``SweepSpec.canonical``), or without runs.
        source: where it is from, for people.
        smallest: parameters of the smallest fitted size; None without fitted runs.
    """

    sweep: Mapping[str, Any]
    source: str
    smallest: int | None = None

    @classmethod
    def of_folder(cls, folder: Path) -> "Family":
        """The family of a sweep's folder, with its runs.

        Raises:
            InputError: no sweep's folder, or one of a sweep that tunes and has no target, or that chooses a mixture.
        """
        store = SweepFolder(folder)
        sweep = store.sweep()
        if "grid" in sweep:
            raise InputError(f"{folder}: a sweep with a grid tunes its recipe and forecasts nothing")
        if "mixtures" in sweep:
            raise InputError(f"{folder}: {_MIXED}")
        return cls(sweep, f"the sweep in {folder}", _smallest(sweep))

    @classmethod
    def like(cls, file: str, overrides: Sequence[str] = ()) -> "Family":
        """The family of a sweep file, without its runs.

        Raises:
            InputError: as ``load_sweep``; a sweep that chooses a mixture.
        """
        whole = load_sweep(file, overrides).canonical()
        if "mixtures" in whole:
            raise InputError(f"{file}: {_MIXED}")
        shared = {key: value for key, value in whole.items() if key not in _ALONE}
        return cls({**shared, "name": f"{whole['name'][:56]}-design"}, file, smallest=_smallest(whole))

    @classmethod
    def usual(cls) -> "Family":
        """The family of tables without a sweep file: four heads, 32 wide for each layer, on text of the user's own."""
        model, text = {"seq_len": 256, "heads": 4, "width_per_layer": 32}, "texts/**/*.txt"
        return cls({"name": "design", "model": model, "corpus": {"path": text}}, f"the default, text at {text}")

    @cached_property
    def rule(self) -> ShapeRule:
        """The shape rule: from a size to a Llama."""
        return ShapeRule.model_validate(self.sweep["model"])

    @cached_property
    def longest(self) -> float:
        """Tokens of the longest run that the corpus suffices for; endless where it is not on this machine."""
        corpus = CorpusChoice.model_validate(self.sweep["corpus"])
        try:
            text = load_text(corpus)
            return corpus.epochs * Batches(text.train, self.rule.seq_len, 1, 0).tokens_per_epoch
        except InputError:
            return math.inf

    @property
    def budgets(self) -> list[float]:
        """FLOP budgets of the sweep's own fitted runs, where its file gives budgets."""
        return sorted({flops for block in self.sweep.get("fit", ()) for flops in block.get("flops", ())})

    @cached_property
    def sizes(self) -> dict[int, Size]:
        """Sizes by number of parameters: those of the sweep, and others in steps of about 1.5.

        None is mostly embedding and head, or a single layer of a family that grows in depth, unless fitted ones are.
        """
        blocks = self.sweep.get("fit", ())
        own = [Size.model_validate(size) for block in blocks for size in block["sizes"]]
        found: dict[int, Size] = {}
        for size in (*own, *(Size(params=round(_STEP**power)) for power in range(_POWERS))):
            try:
                shape = self.rule.resolve(size)
            except InputError:
                continue  # the family has none there
            params = count_params(shape).total
            if not self._layered(shape) and (self.smallest is None or params < self.smallest):
                continue
            if all(abs(math.log(params / other)) > math.log(_APART) for other in found):
                found[params] = size if size in own else self._written(shape)
        return found

    def _layered(self, shape: LlamaConfig) -> bool:
        counts = count_params(shape)
        embedded = 1 - counts.nonembedding / counts.total
        return (shape.depth > 1 or self.rule.depth == 1) and embedded <= _MOST_EMBEDDED

    def _written(self, shape: LlamaConfig) -> Size:
        """A shape as a size of a sweep file: the shortest number of parameters that gives it, or else the shape."""
        for digits in (2, 3, 4):
            about = Size(params=int(float(f"{count_params(shape).total:.{digits}g}")))
            if self.rule.resolve(about) == shape:
                return about
        return Size(width=shape.width, depth=shape.depth)

    def cells(self, flops: float, fewest: float, most: float) -> list[tuple[int, float]]:
        """(parameters, tokens) of the runs of a budget that are worth training, by the exact count of FLOPs.

        ``longest`` says whether the corpus suffices for them.
        """
        near = {params: size for params, size in self.sizes.items() if fewest <= params <= most}
        cells = [(params, flops / self._per_token(size)) for params, size in near.items()]
        least = _SHORTEST * self.rule.seq_len
        return [(params, tokens) for params, tokens in cells if tokens >= max(least, _FEWEST_PER_PARAM * params)]

    def flops(self, params: float, tokens: float) -> float:
        """FLOPs of training a size of the family.

        Raises:
            InputError: no shape is near.
        """
        if params > _LARGEST:
            raise InputError(f"no model has {params:.3g} parameters")
        return tokens * self._per_token(Size(params=round(params)))

    def _per_token(self, size: Size) -> int:
        return flops_per_token(self.rule.resolve(size), self.rule.seq_len)

    def grown(self, new: Collection[NewRuns], target_params: float, target_tokens: float) -> str:
        """The text of a sweep file: the sweep's own runs, further runs, and the target.

        Args:
            new: the further runs.
            target_params: of the run to forecast, which stays as the sweep writes it where that means the same; and
            target_tokens: likewise.
        """
        blocks: dict[tuple[float, tuple[int, ...]], list[Size]] = {}
        for runs in sorted(new, key=lambda runs: (runs.flops, runs.params)):
            size = self.sizes[runs.params]
            blocks.setdefault((runs.flops, self._next_seeds(size, runs)), []).append(size)
        fit = [
            *self.sweep.get("fit", ()),
            *(
                {"sizes": [size.model_dump(exclude_none=True) for size in sizes], "flops": [flops], "seeds": [*seeds]}
                for (flops, seeds), sizes in blocks.items()
            ),
        ]
        target = self._target(round(target_params), target_tokens)
        sweep = {**self.sweep, "fit": fit, "target": target}
        first = ("name", "model", "corpus", "fit", "target")
        return "".join(_entry(key, sweep[key]) for key in (*first, *(key for key in sweep if key not in first)))

    def _target(self, params: int, tokens: float) -> Mapping[str, Any]:
        """The sweep's own target if it has that shape and about as many tokens; else another with as many seeds."""
        requested = {"size": {"params": params}, "tokens": tokens}
        if "target" not in self.sweep:
            return requested
        own: Mapping[str, Any] = self.sweep["target"]
        target = Target.model_validate(own)
        shape = self.rule.resolve(target.size)
        horizon, value = target.horizon
        each = {"flops": 1 / flops_per_token(shape, self.rule.seq_len), "tokens_per_param": count_params(shape).total}
        same = math.isclose(value * each.get(horizon, 1), tokens, rel_tol=_SAME)
        if same and shape == self.rule.resolve(Size(params=params)):
            return own
        return {**requested, "seeds": own["seeds"]}

    def _next_seeds(self, size: Size, runs: NewRuns) -> tuple[int, ...]:
        """The lowest seeds that the sweep does not train yet at a size and budget."""
        shape, used = self.rule.resolve(size), set()
        for block in self.sweep.get("fit", ()):
            shapes = [self.rule.resolve(Size.model_validate(other)) for other in block["sizes"]]
            if shape in shapes and runs.flops in block.get("flops", ()):
                used |= set(block["seeds"])
        return tuple([seed for seed in range(len(used) + runs.seeds) if seed not in used][: runs.seeds])


def overridden(file: Path) -> list[str]:
    """Overrides that the notes at the end of a folder's sweep file list."""
    note = "# with "
    notes = takewhile(lambda line: line.startswith(note), reversed(file.read_text().splitlines()))
    return [line.removeprefix(note) for line in notes][::-1]


def _smallest(sweep: Mapping[str, Any]) -> int:
    """Parameters of a sweep's smallest fitted size."""
    rule = ShapeRule.model_validate(sweep["model"])
    sizes = (Size.model_validate(size) for block in sweep["fit"] for size in block["sizes"])
    return min(count_params(rule.resolve(size)).total for size in sizes)


def _entry(key: str, value: Any) -> str:
    if key == "fit":
        return "fit:\n" + "".join(f"  - {_flow(block)}\n" for block in value)
    return f"{key}: {_flow(value)}\n"


def _flow(value: Any, key: str = "") -> str:
    """A value as YAML in one line; a size as people write it, seeds 0 to n - 1 as n, a list of one as its item."""
    if isinstance(value, Mapping):
        if set(value) in ({"params"}, {"model"}):
            return _flow(*value.values())
        return "{" + ", ".join(f"{name}: {_flow(item, name)}" for name, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        if key == "seeds" and value == [*range(len(value))]:
            return str(len(value))
        return "[" + ", ".join(_flow(item, key) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        short = f"{value:.6g}" if key == "flops" else format_quantity(value)
        return short if parse_quantity(short) == value else repr(value)
    return json.dumps(value, ensure_ascii=False)
