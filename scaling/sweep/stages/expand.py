"""Expansion of a chain into the runs of its stages, each with the models that it begins from and uses."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scaling.data.answers.rows import ExampleSet, PairSet, PromptSet
from scaling.data.answers.spec import AnswersSpec
from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params
from scaling.posttrain.config import StageConfig, StageName
from scaling.posttrain.flops import Lengths, StageFlops, stage_flops
from scaling.posttrain.recipes import StageOverrides, stage_recipe
from scaling.posttrain.settings import SETTINGS, Settings
from scaling.quantity import format_quantity
from scaling.sweep.plan.configs import Planned
from scaling.sweep.plan.evaluation import load_sweep_text
from scaling.sweep.plan.expand import expand
from scaling.sweep.spec.shapes import Size
from scaling.sweep.stages.blocks import Runs
from scaling.sweep.stages.candidates import Candidate, candidates_at, chosen, of_planned
from scaling.sweep.stages.chain_file import Chain, ChainStage, Pretraining
from scaling.sweep.stages.data import Loaded, load_answers, tokenizer_of, tokenizer_place
from scaling.sweep.stages.spec import BestOfNStage, DpoStage, Labelled, PpoStage, Reference, RewardStage, Stage
from scaling.train.recipe import Rates

Role = Literal["fit", "target"]


@dataclass(frozen=True)
class PlannedStageRun:
    """A run of a stage with its role in the stage, and its FLOPs by what they are spent on."""

    config: StageConfig
    role: Role
    flops: StageFlops

    @property
    def id(self) -> str:
        return self.config.id


@dataclass(frozen=True)
class _Wanted:
    """A run to be planned: what the file says of it, and where."""

    settings: dict[str, Any]
    seed: int
    role: Role
    location: str
    size: Size | None = None
    pairs: int | None = None


def expand_chain(chain: Chain) -> dict[str, list[Planned]]:
    """Every run of every stage of a chain, by the stage's name; the fitted ones first, each once.

    Raises:
        InputError: a line for every run that is impossible: of a size that its start has not, with more examples than
            there are, of a batch that the mesh cannot split.
    """
    planner = _Planner(chain)
    for stage in chain.stages:
        planner.add(stage)
    return planner.runs


class _Planner:
    """The plan of a chain, stage after stage."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self.runs: dict[str, list[Planned]] = {}
        self._candidates: dict[str, list[Candidate]] = {}
        corpus = chain.head.corpus
        self._place = None if corpus is None else tokenizer_place(corpus.path)

    def add(self, stage: ChainStage) -> None:
        """Plans a stage, from those before."""
        planned: dict[str, Planned] = {}
        rates: dict[str, Rates | None] = {}
        if isinstance(stage.spec, Pretraining):
            for run in expand(stage.spec, load_sweep_text(stage.spec)):
                planned.setdefault(run.id, run)
                rates[run.id] = run.config.adamw_rates
            place = self._place
        else:
            maker = _StagePlan(self._chain, stage, stage.spec, self)
            for made, known in maker.runs():
                planned.setdefault(made.id, made)
                rates[made.id] = known
            place = maker.place
        self.runs[stage.name] = list(planned.values())
        self._candidates[stage.name] = [of_planned(stage.name, run, rates[run.id], place) for run in planned.values()]

    def candidates(self, reference: Reference) -> list[Candidate]:
        """The models that a reference leads to."""
        found = self._candidates.get(reference.source)
        return candidates_at(Path(reference.source).expanduser()) if found is None else found


class _StagePlan:
    """The plan of one stage after pre-training."""

    def __init__(self, chain: Chain, stage: ChainStage, spec: Stage, planner: _Planner) -> None:
        self._chain, self._stage, self._spec, self._planner = chain, stage, spec, planner
        self._kind: StageName = spec.stage  # type: ignore[attr-defined]  # of every kind of stage
        self._written = isinstance(spec, Labelled) and spec.policy is not None
        own = "policy" if isinstance(spec, BestOfNStage) else "from"
        self._start: Reference = spec.policy if isinstance(spec, BestOfNStage) else spec.start  # type: ignore[attr-defined]
        self._own = self._of(own, self._start)
        self.place = self._own[0].place
        self._tokenizer = tokenizer_of(self.place)
        self._data = self._load()

    def runs(self) -> Iterator[tuple[PlannedStageRun, Rates | None]]:
        """The runs, each with the rates that its start was pre-trained with."""
        errors: list[str] = []
        for wanted in self._wanted():
            try:
                yield self._run(wanted)
            except InputError as error:
                placed = wanted.location.rsplit(":", 2)[0] + ":"  # the file, which a line with a place begins with
                errors += [line if line.startswith(placed) else f"{wanted.location}: {line}" for line in error.errors]
        if errors:
            raise InputError(dict.fromkeys(errors))

    def _of(self, key: str, reference: Reference) -> list[Candidate]:
        """The models that a key leads to, of the size that it names."""
        found = self._planner.candidates(reference)
        if reference.size is None:
            return found
        return self._sized(found, reference.size, self._stage.where(key, "size"))

    def _sized(self, found: Sequence[Candidate], size: Size, where: str) -> list[Candidate]:
        rule = self._chain.head.model
        if rule is None:
            raise InputError(f"{where}: a size needs the key `model` of the chain, which says how it becomes a Llama")
        model = rule.resolve(size)
        own = [candidate for candidate in found if candidate.source.model == model]
        if not own:
            sizes = sorted({count_params(candidate.source.model).total for candidate in found})
            known = ", ".join(map(format_quantity, sizes))
            raise InputError(f"{where}: no model there has this size; there are {known} parameters")
        return own

    def _load(self) -> Loaded:
        """The stage's data; InputError, with the location, as of the loaders."""
        self._answers: AnswersSpec = self._spec.data  # type: ignore[attr-defined]  # of every kind of stage
        seq_len = self._own[0].source.model.seq_len
        try:
            return load_answers(self._kind, self._answers, self.place, seq_len, self._written)
        except InputError as error:
            raise InputError(f"{self._stage.where('data')}: {line}" for line in error.errors) from None

    def _wanted(self) -> Iterator[_Wanted]:
        spec = self._spec
        if isinstance(spec, BestOfNStage):
            for reward in self._of("reward", spec.reward):
                location = self._stage.where("reward")
                yield _Wanted({}, reward.seed, reward.role, location, pairs=reward.pairs)
            return
        blocks: list[tuple[Role, tuple[str | int, ...], Runs]] = [
            ("fit", ("fit", number), block)
            for number, block in enumerate(spec.fit)  # type: ignore[attr-defined]
        ]
        target = spec.target  # type: ignore[attr-defined]
        if target is not None:
            blocks.append(("target", ("target",), target))
        for role, path, block in blocks:
            for point in block.points():
                settings, location = dict(point.settings), self._stage.where(*path)
                pairs = settings.pop("pairs", None) if isinstance(spec, PpoStage) else None
                yield _Wanted(settings, point.seed, role, location, point.size, pairs)

    def _run(self, wanted: _Wanted) -> tuple[PlannedStageRun, Rates | None]:
        own = self._own if wanted.size is None else self._sized(self._own, wanted.size, wanted.location)
        start = chosen(own, wanted.seed)
        settings: Settings = SETTINGS[self._kind](**{**self._spec.given(), **wanted.settings})
        sources = {"policy" if isinstance(self._spec, BestOfNStage) else "start": start.source}
        data = self._described()
        for part, reference in self._others():
            found = chosen(self._of(part, reference), wanted.seed, wanted.pairs if part == "reward" else None)
            self._same_tokenizer(part, found)
            sources[part] = found.source
            if part == "reward" and found.pairs is not None:
                data["pairs"] = found.pairs
        choice = self._spec.recipe
        batch = choice.batch
        if isinstance(self._spec, PpoStage) and batch is None:
            batch = settings.answers // settings.minibatches  # type: ignore[union-attr]
        overrides = StageOverrides(learning_rate=choice.learning_rate, batch=batch, warmup=choice.warmup)
        recipe = stage_recipe(choice.name, self._kind, start.source.model, start.rates, overrides)
        if recipe.batch % self._chain.head.arrangement.parts:
            raise InputError(
                f"the batch of {recipe.batch} rows is no multiple of data * fsdp * microbatches, "
                f"{self._chain.head.arrangement.parts}; set recipe.batch"
            )
        steps = self._steps(settings, recipe.batch)
        model = start.source.model
        models = {part: source.model for part, source in sources.items()}
        flops = stage_flops(self._kind, model, settings, models, self._lengths(model), steps * recipe.batch)
        config = StageConfig(
            stage=self._kind,
            model=model,
            sources=sources,
            data=data,
            settings=asdict(settings),
            recipe=recipe,
            steps=steps,
            flops=int(flops.total),
            seed=wanted.seed,
            dtype=self._chain.head.dtype,
        )
        return PlannedStageRun(config, wanted.role, flops), start.rates

    def _described(self) -> dict[str, Any]:
        tokenizer = {"name": self._tokenizer.name, "hash": self._tokenizer.hash, "place": self.place}
        answers = self._answers.model_dump(mode="json")
        return {"answers": answers, "sha256": self._data.sha256, "tokenizer": tokenizer}

    def _others(self) -> Iterator[tuple[str, Reference]]:
        """The models that a run uses beside its own, by their part."""
        spec = self._spec
        if isinstance(spec, Labelled) and spec.policy is not None:
            yield "policy", spec.policy
        if isinstance(spec, PpoStage | BestOfNStage):
            yield "reward", spec.reward
        if isinstance(spec, PpoStage) and spec.safety is not None:
            yield "safety", spec.safety
        gold = getattr(spec, "gold", None)
        if gold is not None and gold.run is not None:
            yield "gold", Reference.model_validate({"from": gold.run})

    def _same_tokenizer(self, part: str, found: Candidate) -> None:
        if found.place != self.place and tokenizer_of(found.place).hash != self._tokenizer.hash:
            raise InputError(f"{part}: {found.source.folder} has another tokenizer than what it judges")

    def _steps(self, settings: Settings, batch: int) -> int:
        if isinstance(self._spec, BestOfNStage):
            wanted, there = settings.prompts, len(self._data.held_out)  # type: ignore[union-attr]
            if wanted > there:
                raise InputError(f"prompts: {wanted:,} are more than the {there:,} that are held out")
            return 1
        if isinstance(self._spec, PpoStage):
            return int(settings.iterations)  # type: ignore[union-attr]
        name = "pairs" if isinstance(self._spec, RewardStage | DpoStage) else "examples"
        amount = getattr(settings, name)
        if not self._written:
            assert isinstance(self._data, ExampleSet | PairSet)
            if amount > len(self._data.train):
                raise InputError(f"{name}: {amount:,} are more than the {len(self._data.train):,} that there are")
        return max(1, round(amount * settings.epochs / batch))  # type: ignore[union-attr]

    def _lengths(self, model: LlamaConfig) -> Lengths:
        """Mean lengths of prompts and answers; where a policy writes the answers, half of the room that they have."""
        data = self._data
        if isinstance(data, ExampleSet):
            prompts = np.mean([int((~row.counted).sum()) for row in data.train])
            answers = np.mean([int(row.counted.sum()) for row in data.train])
        elif isinstance(data, PairSet):
            prompts = np.mean([len(pair.prompt) for pair in data.train])
            answers = np.mean([(len(pair.chosen) + len(pair.rejected)) / 2 for pair in data.train])
        else:
            assert isinstance(data, PromptSet)
            prompts = np.mean([len(prompt) for prompt in data.train])
            answers = (model.seq_len - prompts) / 2
        return Lengths(float(prompts), float(answers))
