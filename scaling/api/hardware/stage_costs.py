"""What a stage after pre-training costs: its FLOPs by part, then device hours, price and energy as of any run."""

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.result import Result
from scaling.api.hardware.costs import CostEstimate, cost
from scaling.errors import InputError
from scaling.llama.zoo import find
from scaling.posttrain.config import STAGES, StageName
from scaling.posttrain.flops import Lengths, StageFlops, stage_flops
from scaling.posttrain.settings import BestOfNSettings, DpoSettings, PpoSettings, RewardSettings, SftSettings
from scaling.quantity import format_quantity

# Of Llama 2's and 3's chats, roughly; a caller who knows the own rows gives theirs.
PROMPT_TOKENS, ANSWER_TOKENS = 256.0, 256.0
_ROWS = {"sft": "examples", "reward": "pairs", "dpo": "pairs", "best_of_n": "answers", "ppo": "answers"}
_SCORES = ("best_of_n", "ppo")
_WRITES = ("reward", "dpo")
_INDENT = 14


@dataclass(frozen=True)
class StageCost(Result):
    """The cost of a stage.

    Attributes:
        stage: which.
        rows: examples, pairs, or answers.
        epochs: passes over them; for PPO over each iteration's answers.
        lengths: tokens of prompts and answers.
        parts: FLOPs by what they are spent on.
        estimate: hours, days, price and energy of their sum.
        warnings: of the estimate.
    """

    stage: StageName
    rows: float
    epochs: float
    lengths: Lengths
    parts: StageFlops
    estimate: CostEstimate
    warnings: tuple[Diagnostic, ...] = ()

    def __str__(self) -> str:
        spent = {name: flops for name, flops in self.parts.by_part().items() if flops}
        shares = ", ".join(f"{name} {flops / self.parts.total:.0%}" for name, flops in spent.items())
        rows = f"{format_quantity(self.rows)} {_ROWS[self.stage]}"
        passes = "" if self.stage == "best_of_n" else f", {self.epochs:g} epochs"
        lines = [
            f"{self.stage:<{_INDENT}}{rows} of {self.lengths.prompt:g} + {self.lengths.answer:g} tokens{passes}",
            f"{'spent on':<{_INDENT}}{shares}",
        ]
        if self.parts.generation:
            lines.append(" " * _INDENT + "at the MFU of training; generation attains less, so the hours are the least")
        return "\n".join([*lines, str(self.estimate)])

    def to_dict(self) -> dict[str, Any]:
        """The keys of a cost, and ``stage``, ``rows``, ``epochs``, ``prompt_tokens``, ``answer_tokens`` and
        ``stage_flops`` by part: ``generation``, ``scoring``, ``reference``, ``critic``, ``update``."""
        return {
            **self.estimate.to_dict(),
            "stage": self.stage,
            "rows": self.rows,
            "epochs": self.epochs,
            "prompt_tokens": self.lengths.prompt,
            "answer_tokens": self.lengths.answer,
            "stage_flops": self.parts.by_part(),
        }

    def to_frame(self) -> pd.DataFrame:
        """One row: the stage, its FLOPs by part, and the columns of a cost."""
        parts = {f"flops_{name}": flops for name, flops in self.parts.by_part().items()}
        return self.estimate.to_frame().assign(stage=self.stage, rows=self.rows, **parts)


def stage_cost(
    stage: str,
    model: str | None,
    rows: float | None,
    *,
    epochs: float | None = None,
    prompt_tokens: float | None = None,
    answer_tokens: float | None = None,
    reward: str | None = None,
    policy: str | None = None,
    **options: Any,
) -> StageCost:
    """Estimates the FLOPs of a stage by part, and the device hours, price and energy of their sum.

    Args:
        stage: ``sft``, ``reward``, ``best_of_n``, ``ppo`` or ``dpo``.
        model: the published Llama that is trained, or for best-of-n that answers.
        rows: examples, pairs, or answers of all prompts or iterations.
        epochs: passes over examples or pairs, 1 by default; over each of PPO's answers, 2 by default.
        prompt_tokens, answer_tokens: mean tokens of prompts and answers; 256 by default.
        reward: the published Llama that scores, for best-of-n and PPO, whose critic has its shape too; by default the
            model's own shape.
        policy: the published Llama that writes the pairs of a reward model or of DPO; by default they are there.
        options: as of :func:`scaling.cost`: ``device``, ``devices``, ``mfu``, ``goodput``, ``price``, ``prices``.

    Raises:
        InputError: as of :func:`scaling.cost`; for a model that is not published, or an option that the stage has not.
    """
    kind = next((name for name in STAGES if name == stage), None)
    if kind is None:
        raise InputError(f"`stage` is {stage!r}; it must be one of {', '.join(STAGES)}")
    if model is None or rows is None:
        raise InputError(f"`stage` {kind} needs `model`, a published Llama, and `rows`: how many {_ROWS[kind]}")
    if reward is not None and kind not in _SCORES:
        raise InputError(f"`reward`: the stage {kind} scores no answers; {' and '.join(_SCORES)} do")
    if policy is not None and kind not in _WRITES:
        raise InputError(f"`policy`: for {kind} no pairs are written; for {' and '.join(_WRITES)} they may be")
    if epochs is not None and kind == "best_of_n":
        raise InputError("`epochs`: the stage best_of_n trains nothing")
    if epochs is not None and kind == "ppo" and epochs != int(epochs):
        raise InputError(f"`epochs` is {epochs:g}; PPO goes over its answers a whole number of times")
    entry = find(model)
    passes = epochs if epochs is not None else 2.0 if kind == "ppo" else 1.0
    lengths = Lengths(
        PROMPT_TOKENS if prompt_tokens is None else prompt_tokens,
        ANSWER_TOKENS if answer_tokens is None else answer_tokens,
    )
    sources = {"reward": find(reward or model).config} if kind in _SCORES else {}
    if policy is not None:
        sources["policy"] = find(policy).config
    parts = stage_flops(kind, entry.config, _settings(kind, rows, passes), sources, lengths, rows * passes)
    estimate = replace(cost(flops=parts.total, **options), convention="exact")
    return StageCost(kind, rows, passes, lengths, parts, estimate, estimate.warnings)


def _settings(stage: StageName, rows: float, epochs: float) -> Any:
    """Settings that have so many rows in all."""
    count = round(rows)
    if stage == "sft":
        return SftSettings(count)
    if stage == "reward":
        return RewardSettings(count)
    if stage == "dpo":
        return DpoSettings(count)
    if stage == "best_of_n":
        return BestOfNSettings(prompts=1, n=count)
    return PpoSettings(iterations=1, answers=count, epochs=int(epochs))
