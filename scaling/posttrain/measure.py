"""A policy measured by its answers to held-out prompts: KL from the reference, rewards, lengths, likeness."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64

from scaling.data.answers.rows import Ids
from scaling.llama.config import LlamaConfig
from scaling.llama.parameters import whole
from scaling.llama.sharding import BATCH, PLAIN, Execution, axis_size
from scaling.posttrain.sampling import Answers, sample
from scaling.posttrain.training.kl import divergences_program
from scaling.posttrain.training.placement import place_rows
from scaling.train.optimizer import Parameters

# Rows of a compiled call.
_ROWS = 64


@runtime_checkable
class GoldReward(Protocol):
    """A gold reward, as of ``scaling.posttrain.rewards.gold.Gold``: answers without their end."""

    def score(
        self, prompts: Sequence[Ids], answers: Sequence[Ids], stopped: Bool[np.ndarray, " rows"]
    ) -> Float[np.ndarray, " rows"]: ...


@runtime_checkable
class ProxyReward(Protocol):
    """A reward model, as of ``scaling.posttrain.rewards.rewarding.RewardScorer``: whole rows, the end included."""

    def score(
        self, tokens: Int[np.ndarray, "rows seq"], lengths: Int[np.ndarray, " rows"]
    ) -> Float[np.ndarray, " rows"]: ...


@dataclass(frozen=True)
class Probe:
    """What policies of a run are measured by.

    Attributes:
        model: the shape of policy and reference.
        reference: its parameters, on a mesh laid out as ``stored`` says.
        prompts: held-out; as many as answers, see ``repeated``.
        end: the token that ends an answer.
        gold, proxy: rewards; None where there is none.
        temperature: of the sampler, and of the distributions whose KL divergence is measured.
        dtype: of activations and matrix products.
        execution: attention and the mesh.
    """

    model: LlamaConfig
    reference: Parameters
    prompts: Sequence[Ids]
    end: int
    gold: GoldReward | None = None
    proxy: ProxyReward | None = None
    temperature: float = 1.0
    dtype: str = "float32"
    execution: Execution = PLAIN


class Measured(NamedTuple):
    """A policy's measurement.

    Attributes:
        columns: ``kl`` and ``kl_stderr`` (nats an answer, exact at each token of the policy's own answers), ``length``
            (tokens of an answer without its end), ``stopped`` (share that ended by themselves), ``distinct`` (different
            answers over answers); with a gold ``gold``, ``gold_stderr``, and beside the start's ``win_rate``; with a
            proxy ``proxy``. Standard errors are clustered by prompt.
        answers: sampled.
        gold, proxy: of each answer; None where there is none.
    """

    columns: dict[str, float]
    answers: Answers
    gold: Float64[np.ndarray, " rows"] | None
    proxy: Float64[np.ndarray, " rows"] | None


def measure_policy(
    probe: Probe, parameters: Parameters, seed: int, start_gold: Float[np.ndarray, " rows"] | None = None
) -> Measured:
    """Samples an answer to every prompt of the probe, and measures them.

    Args:
        probe: what it is measured by.
        parameters: of the policy.
        seed: of the sampler. Measurements whose answers are compared need seeds of their own, as answers of one seed
            share their noise.
        start_gold: the gold of the answers of the policy that the win rate is against, by the same probe.
    """
    answers = sample(
        probe.model,
        parameters,
        probe.prompts,
        seed,
        most=probe.model.seq_len - min(map(len, probe.prompts)),
        end=probe.end,
        temperature=probe.temperature,
        dtype=probe.dtype,
        execution=probe.execution,
    )
    rows = range(len(probe.prompts))
    texts = [answers.answer(row) for row in rows]
    groups = numbered([prompt.tobytes() for prompt in probe.prompts])
    kl = _divergence(probe, parameters, answers)
    columns = {
        "kl": float(kl.mean()),
        "kl_stderr": clustered_error(kl, np.ones_like(kl), groups),
        "length": float(np.mean([len(text) for text in texts])),
        "stopped": float(answers.stopped.mean()),
        "distinct": len({text.tobytes() for text in texts}) / len(texts),
    }
    gold = proxy = None
    if probe.gold is not None:
        gold = np.asarray(probe.gold.score(probe.prompts, texts, answers.stopped), np.float64)
        columns |= {"gold": float(gold.mean()), "gold_stderr": clustered_error(gold, np.ones_like(gold), groups)}
        if start_gold is not None:
            columns["win_rate"] = win_rate(gold.astype(start_gold.dtype), start_gold)
    if probe.proxy is not None:
        proxy = np.asarray(probe.proxy.score(answers.tokens, answers.lengths), np.float64)
        columns["proxy"] = float(proxy.mean())
    return Measured(columns, answers, gold, proxy)


def repeated(prompts: Sequence[Ids], count: int) -> list[Ids]:
    """So many prompts: each in turn, and again from the first, until there are enough."""
    return [prompts[at % len(prompts)] for at in range(count)]


def seed_of(seed: int, step: int) -> int:
    """The sampler's seed of a measurement after a step, unlike that of any other step."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1)[0])


def win_rate(rewards: Float[np.ndarray, " rows"], others: Float[np.ndarray, " rows"]) -> float:
    """The share of rows whose reward is higher than the other's; ties count half."""
    return float(np.mean((rewards > others) + 0.5 * (rewards == others)))


def clustered_error(
    values: Float[np.ndarray, " rows"], weights: Float[np.ndarray, " rows"], groups: Int64[np.ndarray, " rows"]
) -> float:
    """The standard error of sum(values) / sum(weights), where rows of one group are not independent; NaN for one group.

    Args:
        values: sums of each row, such as its tokens' losses.
        weights: what they are sums over, such as its tokens.
        groups: numbers from 0.
    """
    count = int(groups.max()) + 1
    if count < 2:
        return float("nan")
    total = float(weights.sum())
    mean = float(values.sum()) / total
    by_group = np.bincount(groups, weights=values - mean * weights, minlength=count)
    return float(np.sqrt((by_group**2).sum() * count / (count - 1)) / total)


def _divergence(probe: Probe, parameters: Parameters, answers: Answers) -> Float64[np.ndarray, " rows"]:
    """The exact KL divergence at the tokens of each answer, summed, nats."""
    program = divergences_program(probe.model, probe.dtype, probe.execution, probe.temperature)
    mesh = probe.execution.mesh
    batch = _ROWS * axis_size(mesh, BATCH)
    rows, seq = answers.tokens.shape
    padded = np.zeros((rows + -rows % batch, seq), np.int32)
    padded[:rows] = answers.tokens
    parts: list[Any] = [
        program(parameters, probe.reference, place_rows(padded[first : first + batch], mesh)).kl
        for first in range(0, rows, batch)
    ]
    kl = np.concatenate([whole(part) for part in parts])[:rows].astype(np.float64)
    summed: Float64[np.ndarray, " rows"] = np.where(answers.counted, kl, 0.0).sum(axis=1)
    return summed


def numbered(keys: Sequence[Hashable]) -> Int64[np.ndarray, " rows"]:
    """A number for each key, the same for equal ones, from 0 in order of appearance."""
    found: dict[Hashable, int] = {}
    return np.array([found.setdefault(key, len(found)) for key in keys], np.int64)
