"""The config of one run: model, data, recipe and length. Its hash is the run's id."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from scaling.errors import InputError
from scaling.llama.config import LlamaConfig, canonical
from scaling.llama.counts import count_params, flops_per_token
from scaling.train.recipe import RECIPES, Overrides, Rates, Recipe

# Raised when the same config would train to another result, so that old runs are not taken for new ones.
FORMAT = 3


@dataclass(frozen=True)
class EvaluationSet:
    """A held-out text that runs are evaluated on, whatever they are trained on.

    Attributes:
        corpus: whose held-out side it is, with every option.
        fingerprint: documents, bytes and hash of the corpus found on this machine.
        eval_tokens: held-out tokens that the loss is measured on.
    """

    corpus: dict[str, Any]
    fingerprint: dict[str, Any]
    eval_tokens: int


@dataclass(frozen=True)
class DataConfig:
    """The text of a run.

    Attributes:
        corpus: the corpus as the sweep file names it, with every option.
        fingerprint: documents, bytes and hash of the text found on this machine.
        tokenizer: its name and hash.
        eval_tokens: held-out tokens that the loss is measured on, the same for every run of a sweep.
        evaluate: further evaluation sets by name; None without any.
        mixture: share of each source of the corpus by name, multiples of one in a million that sum to 1; None for the
            corpus as it is.
    """

    corpus: dict[str, Any]
    fingerprint: dict[str, Any]
    tokenizer: dict[str, Any]
    eval_tokens: int
    evaluate: dict[str, EvaluationSet] | None = None
    mixture: dict[str, float] | None = None

    @property
    def evaluation_sets(self) -> dict[str, EvaluationSet]:
        """The evaluation sets by name, in order of name."""
        return dict(sorted((self.evaluate or {}).items()))

    def canonical(self) -> dict[str, Any]:
        """The config as a JSON object, without ``evaluate`` and ``mixture`` where there are none, so that ids stay."""
        late = ("evaluate", "mixture")
        return {key: value for key, value in asdict(self).items() if key not in late or value is not None}


@dataclass(frozen=True)
class RunConfig:
    """A training run.

    Attributes:
        model: its shape; a step's sequences have ``model.seq_len`` tokens.
        data: its text.
        recipe: its hyperparameters, as numbers.
        steps: how many.
        seed: differs between replicates; see ``stream``.
        dtype: of the activations and matrix products; parameters and moments are float32.
        trunk: steps of the longest run that this one shares its beginning with; None for a run by itself.
    """

    model: LlamaConfig
    data: DataConfig
    recipe: Recipe
    steps: int
    seed: int
    dtype: Literal["float32", "bfloat16"] = "float32"
    trunk: int | None = None
    format: int = FORMAT

    @cached_property
    def id(self) -> str:
        """The first 12 hex digits of the SHA-256 of the config as canonical JSON."""
        return _digest(self._canonical())

    @cached_property
    def trunk_id(self) -> str:
        """Id that the branches of a trunk share; for a run without a trunk its own id."""
        if self.trunk is None:
            return self.id
        shared = replace(self.recipe, schedule=replace(self.recipe.schedule, warmup=0.0))
        return _digest(replace(self, recipe=shared, steps=self.trunk)._canonical())

    @property
    def branch_step(self) -> int:
        """The step at which a branch leaves its trunk, where the rate begins to decay; 0 without a trunk."""
        return 0 if self.trunk is None else math.floor(self.steps * (1 - self.recipe.schedule.decay))

    @cached_property
    def stream(self) -> int:
        """The seed of this run's initial weights and order of data, 32 bits, from its shape, tokens and seed.

        Runs of one seed but another size or horizon are thus unrelated, so that their noise averages out in a fit,
        while runs that differ in hyperparameters alone are paired. The branches of a trunk have the stream of the
        longest.
        """
        steps = self.steps if self.trunk is None else self.trunk
        key = json.dumps([canonical(self.model), steps * self.recipe.batch_tokens, self.seed], sort_keys=True)
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big")

    @property
    def batch(self) -> int:
        """Sequences per step."""
        return self.recipe.batch_tokens // self.model.seq_len

    @property
    def tokens(self) -> int:
        """Training tokens."""
        return self.steps * self.recipe.batch_tokens

    @property
    def flops(self) -> int:
        """Training FLOPs: every matrix product, attention over the full context, and the output head."""
        return self.tokens * flops_per_token(self.model, self.model.seq_len)

    @property
    def adamw_rates(self) -> Rates:
        """Peak rates of AdamW for this run, whatever its optimizer: what the stages after pre-training multiply."""
        recipe = self.recipe
        if recipe.optimizer == "adamw":
            return recipe.rates
        chosen = Overrides(recipe.schedule.kind, recipe.schedule.decay, batch_tokens=recipe.batch_tokens)
        tokens = (self.steps if self.trunk is None else self.trunk) * recipe.batch_tokens
        return RECIPES[recipe.name](self.model, tokens, chosen).rates

    @property
    def params(self) -> int:
        """Parameters of the model, embeddings included."""
        return count_params(self.model).total

    def to_json(self) -> str:
        """The config as canonical JSON, which :func:`read_config` reads."""
        return json.dumps(self._canonical(), indent=1, sort_keys=True)

    def _canonical(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "model": canonical(self.model),
            "data": self.data.canonical(),
            "recipe": self.recipe.canonical(),
        }


def _digest(config: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]


_ADAPTER = TypeAdapter(RunConfig)


def read_config(text: str, where: str) -> RunConfig:
    """A RunConfig from its JSON; InputError, naming ``where``, if it is not one."""
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{where}: not a run's config: {place}: {first['msg']}") from None
