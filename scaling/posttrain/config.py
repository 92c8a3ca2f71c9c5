"""The config of one run of a stage after pre-training. Its hash is the run's id."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from pydantic import TypeAdapter, ValidationError

from scaling.errors import InputError
from scaling.llama.config import LlamaConfig, canonical
from scaling.llama.counts import count_params
from scaling.train.recipe import Rates, Schedule

StageName = Literal["sft", "reward", "best_of_n", "ppo", "dpo"]
STAGES: tuple[StageName, ...] = get_args(StageName)
# Raised when the same config would train to another result, so that old runs are not taken for new ones.
FORMAT = 1
# The name of a reward model's head beside the Llama's parameters.
SCORE = "score"


@dataclass(frozen=True)
class StageRecipe:
    """The hyperparameters of a stage's run, for AdamW (1711.05101).

    Attributes:
        name: of the recipe.
        batch: rows of a step: examples, pairs, or answers.
        rates: peak learning rates by group; a reward model's scalar head has that of ``head``.
        weight_decay, beta1, beta2, clip, schedule: as of ``scaling.train.recipe.Recipe``.
    """

    name: str
    batch: int
    rates: Rates
    weight_decay: float
    beta1: float
    beta2: float
    clip: float
    schedule: Schedule


@dataclass(frozen=True)
class Source:
    """A model that a run begins from or uses.

    Attributes:
        folder: of a run, or of an imported model, from the folder that the stage's own folder is in.
        id: of the run; of an imported model the SHA-256 of its parameters.
        model: its shape.
    """

    folder: str
    id: str
    model: LlamaConfig


@dataclass(frozen=True)
class StageConfig:
    """A run of a stage.

    Attributes:
        stage: what is done.
        model: the shape of the model that is trained, or for best-of-n of the one that answers.
        sources: models by their part: ``start``, what is trained; ``policy``, who writes the answers that are compared;
            ``reward``, ``safety``, reward models. The reference of DPO and PPO is the start.
        data: the text of examples, pairs or prompts, as the sweep file names it, with every option, and its hash.
        settings: the stage's own numbers, of ``settings.SETTINGS``, with every default.
        recipe: hyperparameters, as numbers.
        steps: how many; iterations for PPO; for best-of-n one.
        flops: of the whole run: generation, scoring, reference, critic and updates.
        seed: differs between replicates; of the order of rows, and of all that is sampled.
        dtype: of the activations and matrix products; parameters and moments are float32.
    """

    stage: StageName
    model: LlamaConfig
    sources: dict[str, Source]
    data: dict[str, Any]
    settings: dict[str, Any]
    recipe: StageRecipe
    steps: int
    flops: int
    seed: int
    dtype: Literal["float32", "bfloat16"] = "float32"
    format: int = FORMAT

    @cached_property
    def id(self) -> str:
        """The first 12 hex digits of the SHA-256 of the config as canonical JSON.

        Left out is what does not decide its result: where its sources lie, and the count of FLOPs.
        """
        content = self._canonical()
        del content["flops"]
        for source in content["sources"].values():
            del source["folder"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def trunk(self) -> None:
        """A stage's runs share no trunk."""
        return None

    @property
    def trunk_id(self) -> str:
        """The run's own id."""
        return self.id

    @property
    def branch_step(self) -> int:
        """The step at which it leaves a trunk: 0."""
        return 0

    @property
    def batch(self) -> int:
        """Rows of a step."""
        return self.recipe.batch

    @property
    def params(self) -> int:
        """Parameters of the model, embeddings included, without a scalar head."""
        return count_params(self.model).total

    def to_json(self) -> str:
        """The config as canonical JSON, which :func:`read_stage_config` reads."""
        return json.dumps(self._canonical(), indent=1, sort_keys=True)

    def _canonical(self) -> dict[str, Any]:
        content = {**asdict(self), "model": canonical(self.model)}
        for part, source in self.sources.items():
            content["sources"][part]["model"] = canonical(source.model)
        return content


_ADAPTER = TypeAdapter(StageConfig)


def read_stage_config(text: str, where: str) -> StageConfig:
    """A StageConfig from its JSON; InputError, naming ``where``, if it is not one."""
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{where}: not a stage's config: {place}: {first['msg']}") from None
