"""The stage ``best_of_n``: a policy's answers, of which a reward model takes the best, judged by a gold reward."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from scaling.data.answers.rows import Ids, PromptSet
from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.posttrain.best_of_n.order_statistics import (
    best_shares,
    kl_bound,
    mean_and_error,
    measured_kl,
    usual_sizes,
    win_rates,
)
from scaling.posttrain.measure import seed_of
from scaling.posttrain.rewards.gold import Gold, find_gold
from scaling.posttrain.rewards.rewarding import RewardScorer, check_model
from scaling.posttrain.sampling import sample
from scaling.posttrain.settings import BestOfNSettings, settings_of
from scaling.posttrain.stage import Model, StageOutcome, StageRun
from scaling.posttrain.training.logprob import policy_parameters
from scaling.posttrain.training.placement import place_parameters
from scaling.train.stop import Stopped, stop_requested

# Answers that are sampled and scored before a request to stop is looked at.
_ANSWERS = 1024
# Prompts whose answers are kept for people to read.
_SHOWN = 4


class Scored(NamedTuple):
    """The answers to each of several prompts, and their rewards.

    Attributes:
        texts: ids without the end, by prompt and answer.
        keys: of each answer what tells it from others: its ids, its end included.
        proxy, gold: rewards; gold is None without one.
        lengths: tokens, the end not counted.
        stopped: whether an answer has ended by itself.
        tokens: of all answers, their ends included.
    """

    texts: list[list[Ids]]
    keys: list[list[bytes]]
    proxy: Float64[np.ndarray, "prompts answers"]
    gold: Float64[np.ndarray, "prompts answers"] | None
    lengths: Int64[np.ndarray, "prompts answers"]
    stopped: Bool[np.ndarray, "prompts answers"]
    tokens: int


def run_best_of_n(run: StageRun) -> StageOutcome:
    """Samples ``n`` answers to each of the first held-out prompts, and takes the best of 1, 2, 4, ..., n of them.

    A policy's answers depend on the policy, the prompts, ``n`` and the seed, and not on the reward model: two reward
    models are compared on the same answers. Nothing is saved in between, as a run that begins again does the same.

    Rows of the curve: ``n``, ``kl`` and ``kl_bound`` (nats), ``proxy``, ``length``, ``stopped``, ``win_rate`` (over one
    answer more; not for the largest n), and with a gold ``gold`` and ``gold_stderr``: that of its gain over n = 1, as
    all n have the same prompts. Without a gold the win rate is by the proxy.

    Columns of the row: those of the largest n; ``loss``, minus its proxy, and ``loss_stderr``; ``distinct``, different
    answers over answers; ``answer_tokens``, ``policy_params``, ``reward_params``; with a gold ``peak_gold``,
    ``peak_n`` and ``peak_kl``, of the n with the most gold.

    Raises:
        InputError: the prompts are too few or too long, or a model has another vocabulary or too short a context.
        Stopped: this process was requested to stop.
    """
    settings: BestOfNSettings = settings_of(run.config)
    prompts = _prompts(run.data, settings, run.config.model)
    policy, reward = run.source("policy"), run.source("reward")
    _check(run, policy, reward)
    data = run.data
    gold = None if settings.gold is None else find_gold(settings.gold, data.tokenizer, run.source, data.end)
    scored = _scored(run, settings, prompts, policy, RewardScorer(reward, run.config.dtype, run.execution), gold)
    curve, by_prompt = curve_of(scored)
    last = curve[-1]
    row: dict[str, float] = {
        "loss": -last["proxy"],
        "loss_stderr": float(mean_and_error(by_prompt["proxy"])[1][-1]),
        "distinct": float(np.mean([len(set(keys)) / len(keys) for keys in scored.keys])),
        "answer_tokens": scored.tokens,
        "policy_params": run.config.params,
        "reward_params": sum(array.size for array in reward.parameters.values()),
        "reward_proxy": last["proxy"],
        **{name: last[name] for name in ("kl", "length", "stopped")},
    }
    shown = {1, settings.n}
    if gold is not None:
        peak = max(curve, key=lambda of: of["gold"])
        row |= {"peak_gold": peak["gold"], "peak_n": peak["n"], "peak_kl": peak["kl"], "reward_gold": last["gold"]}
        row["reward_gold_stderr"] = float(mean_and_error(by_prompt["gold"])[1][-1])
        shown.add(int(peak["n"]))
    if rates := [of["win_rate"] for of in curve if "win_rate" in of]:
        row["win_rate"] = rates[-1]
    run.report({"step": 1, "loss": row["loss"]})
    return StageOutcome("done", row, curve, _samples(run.data, prompts, scored, sorted(shown)))


def curve_of(scored: Scored) -> tuple[list[dict[str, float]], dict[str, Float64[np.ndarray, "prompts sizes"]]]:
    """The rows of n = 1, 2, 4, ... and all, and what they are means over: each prompt's values by column."""
    sizes = usual_sizes(scored.proxy.shape[1])
    rewards = {"proxy": scored.proxy, "length": scored.lengths.astype(np.float64)}
    rewards["stopped"] = scored.stopped.astype(np.float64)
    if scored.gold is not None:
        rewards["gold"] = scored.gold
    found: dict[str, list[np.ndarray]] = {name: [] for name in (*rewards, "kl", "win_rate")}
    judged = scored.proxy if scored.gold is None else scored.gold
    for at, proxy in enumerate(scored.proxy):
        shares = best_shares(proxy, sizes)
        for name, values in rewards.items():
            found[name].append(shares @ values[at])
        found["kl"].append(measured_kl(scored.keys[at], proxy, sizes))
        found["win_rate"].append(win_rates(proxy, judged[at], sizes))
    by_prompt = {name: np.stack(values) for name, values in found.items()}
    columns = {"n": sizes.astype(np.float64), "kl_bound": kl_bound(sizes)}
    columns |= {name: values.mean(axis=0) for name, values in by_prompt.items()}
    if scored.gold is not None:
        columns["gold_stderr"] = mean_and_error(by_prompt["gold"] - by_prompt["gold"][:, :1])[1]
    rows = [{name: float(values[at]) for name, values in columns.items()} for at in range(len(sizes))]
    return [{name: value for name, value in row.items() if not np.isnan(value)} for row in rows], by_prompt


def _prompts(data: PromptSet, settings: BestOfNSettings, model: LlamaConfig) -> tuple[Ids, ...]:
    prompts = data.held_out[: settings.prompts]
    if len(prompts) < settings.prompts:
        raise InputError(f"`prompts` is {settings.prompts}, and {len(data.held_out)} prompts are held out")
    longest = max(map(len, prompts))
    if longest >= model.seq_len:
        raise InputError(f"a prompt has {longest} tokens; the policy's context of {model.seq_len} has no room for more")
    return prompts


def _check(run: StageRun, policy: Model, reward: Model) -> None:
    check_model(policy, run.data.tokenizer, "policy")
    check_model(reward, run.data.tokenizer, "reward")
    if reward.config.seq_len < policy.config.seq_len:
        raise InputError(
            f"the reward model's context is {reward.config.seq_len} tokens; the policy's answers reach "
            f"{policy.config.seq_len}"
        )


def _scored(
    run: StageRun,
    settings: BestOfNSettings,
    prompts: tuple[Ids, ...],
    policy: Model,
    proxy: RewardScorer,
    gold: Gold | None,
) -> Scored:
    parameters = place_parameters(policy_parameters(policy), run.execution.mesh)
    texts: list[Ids] = []
    keys: list[bytes] = []
    stopped, proxies, golds, tokens = [], [], [], 0
    together = max(1, _ANSWERS // settings.n)
    for first in range(0, len(prompts), together):
        if stop_requested():
            raise Stopped
        own = prompts[first : first + together]
        asked = [prompt for prompt in own for _ in range(settings.n)]
        answers = sample(
            policy.config,
            parameters,
            asked,
            seed_of(run.config.seed, first),
            most=policy.config.seq_len - min(map(len, own)),
            end=run.data.end,
            temperature=settings.temperature,
            dtype=run.config.dtype,
            execution=run.execution,
        )
        own_texts = [answers.answer(row) for row in range(len(asked))]
        texts += own_texts
        keys += [answers.tokens[row][of].tobytes() for row, of in enumerate(answers.counted)]
        stopped.append(answers.stopped)
        proxies.append(proxy.score(answers.tokens, answers.lengths).astype(np.float64))
        if gold is not None:
            golds.append(gold.score(asked, own_texts, answers.stopped))
        tokens += int(answers.counted.sum())
    shape = (len(prompts), settings.n)
    rows = range(0, len(texts), settings.n)
    return Scored(
        texts=[texts[at : at + settings.n] for at in rows],
        keys=[keys[at : at + settings.n] for at in rows],
        proxy=np.concatenate(proxies).reshape(shape),
        gold=np.concatenate(golds).reshape(shape) if golds else None,
        lengths=np.array([len(text) for text in texts], np.int64).reshape(shape),
        stopped=np.concatenate(stopped).reshape(shape),
        tokens=tokens,
    )


def _samples(data: PromptSet, prompts: tuple[Ids, ...], scored: Scored, sizes: list[int]) -> list[dict[str, Any]]:
    """Of the first prompts the best of their first n answers."""
    samples = []
    for at, prompt in enumerate(prompts[:_SHOWN]):
        for n in sizes:
            best = int(scored.proxy[at, :n].argmax())
            sample: dict[str, Any] = {
                "prompt": data.tokenizer.decode(prompt),
                "answer": data.tokenizer.decode(scored.texts[at][best]),
                "n": n,
                "proxy": float(scored.proxy[at, best]),
            }
            if scored.gold is not None:
                sample["gold"] = float(scored.gold[at, best])
            samples.append(sample)
    return samples
