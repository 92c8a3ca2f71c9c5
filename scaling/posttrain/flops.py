"""FLOPs of each stage: generation, scoring, the reference, the critic, and the updates.

Counted as ``scaling.llama.counts`` counts training: every matrix product, attention over the whole row, 2 for the
multiplication and addition; norms, softmax, drawing and the optimizer are left out, and so is what only measures a run.
Padding is not counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params
from scaling.posttrain.config import StageName

_TRAIN = 3  # forward, and twice that backward
# Passes of PPO over an iteration's answers beside the reference's: the policy's for its probabilities, and once more
# for the exact KL divergence.
_POLICY_PASSES = 2


@dataclass(frozen=True)
class Lengths:
    """Mean tokens of a row.

    Attributes:
        prompt: of the prompt.
        answer: of the answer, its end included.
    """

    prompt: float
    answer: float

    @property
    def row(self) -> float:
        """Of both."""
        return self.prompt + self.answer


@dataclass(frozen=True)
class StageFlops:
    """FLOPs of a run by what they are spent on.

    Attributes:
        generation: answers: the prompt at once, then token by token with a cache.
        scoring: answers by reward models.
        reference: log-probabilities of answers by the reference, and again by the policy that wrote them.
        critic: its values and its updates.
        update: forward and backward passes of the model that is trained.
    """

    generation: float = 0.0
    scoring: float = 0.0
    reference: float = 0.0
    critic: float = 0.0
    update: float = 0.0

    @property
    def total(self) -> float:
        """Of all."""
        return sum(self.by_part().values())

    def by_part(self) -> dict[str, float]:
        """FLOPs by the name of the part."""
        return {field.name: float(getattr(self, field.name)) for field in fields(self)}


def forward_flops(model: LlamaConfig, length: float) -> float:
    """A row's log-probabilities: the layers and the output head at every position."""
    return _layers(model, length) + 2 * length * model.vocab * model.width


def score_flops(model: LlamaConfig, length: float) -> float:
    """A row's score or values: the layers, and the scalar head at every position."""
    return _layers(model, length) + 2 * length * model.width


def step_flops(model: LlamaConfig, positions: float) -> float:
    """A token's logits from a cache of ``positions``, its own included."""
    return _layers(model, 1, positions) + 2 * model.vocab * model.width


def generation_flops(model: LlamaConfig, lengths: Lengths) -> float:
    """An answer: the prompt at once, and a step for each of the answer's tokens, over all before it and itself."""
    mean_positions = lengths.prompt + (lengths.answer + 1) / 2
    return _layers(model, lengths.prompt) + lengths.answer * step_flops(model, mean_positions)


def _layers(model: LlamaConfig, tokens: float, positions: float | None = None) -> float:
    """Of a forward pass over tokens that each attend to so many positions; by default to one another."""
    positions = tokens if positions is None else positions
    matrices = count_params(model).per_layer_matmul
    return tokens * model.depth * (2 * matrices + 4 * positions * model.attention_width)


def stage_flops(
    stage: StageName,
    model: LlamaConfig,
    settings: Any,
    sources: Mapping[str, LlamaConfig],
    lengths: Lengths,
    rows: float,
) -> StageFlops:
    """FLOPs of a run of a stage.

    Args:
        stage: which.
        model: that is trained, or for best-of-n that answers.
        settings: of the stage, of ``scaling.posttrain.settings``.
        sources: shapes of the models that the run uses, by their part: ``policy``, who writes the pairs that are
            compared; ``reward`` and ``safety``.
        lengths: mean tokens of prompts and answers.
        rows: examples or pairs of all steps; PPO and best-of-n have their answers in the settings.

    Raises:
        InputError: a run that scores answers has no reward model, or lengths or rows are not positive.
    """
    if not (lengths.prompt >= 0 and lengths.answer > 0 and rows >= 0):
        raise InputError(
            f"prompts of {lengths.prompt:g} tokens, answers of {lengths.answer:g} and {rows:g} rows; they must be "
            "positive"
        )
    whole = forward_flops(model, lengths.row)
    if stage == "sft":
        return StageFlops(update=rows * _TRAIN * whole)
    if stage == "reward":
        update = 2 * rows * _TRAIN * score_flops(model, lengths.row)
        return StageFlops(generation=_written(settings.pairs, sources, lengths), update=update)
    if stage == "dpo":
        return StageFlops(
            generation=_written(settings.pairs, sources, lengths),
            reference=2 * settings.pairs * whole,
            update=2 * rows * _TRAIN * whole,
        )
    scorers = [sources[part] for part in ("reward", "safety") if part in sources]
    if not scorers:
        raise InputError(f"the stage {stage} needs a reward model")
    scored = sum(score_flops(scorer, lengths.row) for scorer in scorers)
    if stage == "best_of_n":
        answers = settings.prompts * settings.n
        return StageFlops(generation=answers * generation_flops(model, lengths), scoring=answers * scored)
    answers = settings.iterations * settings.answers
    read = score_flops(scorers[0], lengths.row)  # the critic has the shape of the reward model, as which it begins
    return StageFlops(
        generation=answers * generation_flops(model, lengths),
        scoring=answers * scored,
        reference=answers * (1 + _POLICY_PASSES) * whole,
        critic=answers * (1 + settings.epochs * _TRAIN) * read,
        update=answers * settings.epochs * _TRAIN * whole,
    )


def _written(pairs: int, sources: Mapping[str, LlamaConfig], lengths: Lengths) -> float:
    """Of the answers of pairs, where a policy writes them."""
    return 2 * pairs * generation_flops(sources["policy"], lengths) if "policy" in sources else 0.0
