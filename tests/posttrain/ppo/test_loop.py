"""Runs of PPO: what is measured, what is refused, and that the reference stays what it was."""

import dataclasses
import hashlib
import math
from pathlib import Path

import jax
import numpy as np
import pytest
from posttraining import tiny_ppo, tiny_rewards

import scaling.posttrain.ppo.rollout
import scaling.posttrain.ppo.update
from scaling.data.answers.rows import PromptSet
from scaling.data.tokenizer import BYTES
from scaling.errors import InputError
from scaling.llama.sharding import Execution
from scaling.posttrain.ppo.loop import peak_of, run_ppo
from scaling.posttrain.ppo.rollout import Roller, prompts_of, trimmed
from scaling.posttrain.sampling import sample
from scaling.posttrain.stage import Model, StageOutcome


def digest(tree: object) -> str:
    whole = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        whole.update(np.asarray(leaf).tobytes())
    return whole.hexdigest()


Made = tuple[StageOutcome, list[dict[str, float]], list[Roller], list[str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A run's outcome and reports, and the roller with the digests of its reference: at first, and at the end."""
    rows: list[dict[str, float]] = []
    rollers: list[Roller] = []
    digests: list[str] = []
    rollout = Roller.rollout

    def watched(self: Roller, *arguments: object) -> object:
        rollers.append(self)
        digests.append(digest(self.reference))
        return rollout(self, *arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Roller, "rollout", watched)
        outcome = run_ppo(tiny_ppo.ppo_run(tmp_path_factory.mktemp("run"), rows.append, steps=3))
    digests.append(digest(rollers[0].reference))
    return outcome, rows, rollers, digests


def test_what_a_run_measures(made: Made) -> None:
    outcome, rows, _, _ = made
    assert outcome.status == "done"
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert [point["step"] for point in outcome.curve] == [0, 2, 3]
    start, last = outcome.curve[0], outcome.curve[-1]
    assert start["kl"] == 0
    assert start["win_rate"] == 0.5
    assert last["kl"] > 0
    wanted = {"kl", "kl_stderr", "proxy", "gold", "gold_stderr", "win_rate", "length", "stopped", "distinct"}
    assert wanted <= last.keys()
    assert {"loss", "peak_gold", "peak_kl", "reward_gold", "reward_gold_stderr", "reward_proxy"} <= outcome.row.keys()
    assert outcome.row["kl"] == last["kl"]
    assert outcome.parameters is not None
    assert not np.array_equal(outcome.parameters["embedding"], tiny_ppo.START.parameters["embedding"])
    prompts = {sample["prompt"] for sample in outcome.samples}
    assert len(prompts) > 1
    assert prompts <= {BYTES.decode(prompt) for prompt in PROMPTS.held_out}, "bug 21: measured by what is held out"
    np.testing.assert_array_equal(made[2][0].prompts, PROMPTS.train)
    assert {sample["step"] for sample in outcome.samples} >= {0, 3}
    assert sum(row["length"] + row["stopped"] for row in rows) * 16 == pytest.approx(outcome.row["answer_tokens"])


def test_what_an_iteration_reports(made: Made) -> None:
    _, rows, _, _ = made
    for row in rows:
        assert row["entropy"] > 0
        assert 0 <= row["kl"] < math.inf
        assert row["sampler_difference"] < 1e-4
        assert 0 <= row["clip_fraction"] <= 1
    assert rows[0]["kl"] == 0
    # Before the first update the ratio is 1, but for the rounding of another program.
    assert all(row["first_ratio"] < 2e-6 for row in rows)


def test_the_reference_stays_the_start(made: Made) -> None:
    _, _, rollers, digests = made
    assert len(set(digests)) == 1
    assert digest(rollers[0].reference) == digests[0]


def test_the_reward_grows(tmp_path: Path) -> None:
    """The reward is for the head's own direction, as the reward model is random: the proxy must grow on it."""
    settings = {"answers": 64, "measured": 64, "every": 12, "kl": 0.0, "unfinished": 0.0, "gold": None}
    outcome = run_ppo(tiny_ppo.ppo_run(tmp_path, steps=12, rate=5e-3, **settings))
    start, last = outcome.curve[0], outcome.curve[-1]
    spread = float(np.std([point["proxy"] for point in outcome.curve]))
    assert last["proxy"] > start["proxy"] + 0.3, (start, last, spread)


def test_two_seeds_and_iterations_have_prompts_of_their_own() -> None:
    prompts = tiny_rewards.make_prompts().train
    first = [tuple(prompt) for prompt in prompts_of(prompts, 0, 0, 16)]
    passes = [tuple(p) for at in range(5) for p in prompts_of(prompts, 0, at, 16)]
    assert first == passes[:16]
    assert sorted(passes[:40]) == sorted(map(tuple, prompts))  # each once before any twice
    assert first != [tuple(prompt) for prompt in prompts_of(prompts, 1, 0, 16)]


@pytest.mark.parametrize("fault", [{"temperature": 0.7}, {"top_p": 0.9}, {"top_k": 20}], ids=str)
def test_a_sampler_that_draws_from_another_distribution_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: dict[str, float]
) -> None:
    def wrong(*arguments: object, **options: object) -> object:
        return sample(*arguments, **{**options, **fault})  # type: ignore[arg-type]

    monkeypatch.setattr(scaling.posttrain.ppo.rollout, "sample", wrong)
    with pytest.raises(InputError, match=r"between sampler and learner"):
        run_ppo(tiny_ppo.ppo_run(tmp_path, gold=None))


def test_learner_probabilities_at_another_temperature_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = scaling.posttrain.ppo.update.make_logprobs
    monkeypatch.setattr(
        scaling.posttrain.ppo.update, "make_logprobs", lambda model, dtype, execution, _: make(model, dtype, execution)
    )
    with pytest.raises(InputError, match="before the first update"):
        run_ppo(tiny_ppo.ppo_run(tmp_path, gold=None, temperature=0.5))


def test_answers_lose_only_padding() -> None:
    prompts = list(tiny_rewards.make_prompts().train[:4])
    answers = sample(
        tiny_ppo.START.config, scaling.posttrain.ppo.loop.policy_parameters(tiny_ppo.START), prompts, 0, most=4, end=0
    )
    wide = answers._replace(
        tokens=np.pad(answers.tokens, ((0, 0), (0, 16))), logprobs=np.pad(answers.logprobs, ((0, 0), (0, 16)))
    )
    found = trimmed(wide, 48)
    assert found.tokens.shape[1] == 32
    assert found.tokens.tolist() == wide.tokens[:, :32].tolist()


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    broken = {**tiny_ppo.REWARD.parameters, "score": np.full(16, np.nan, np.float32)}
    outcome = run_ppo(tiny_ppo.ppo_run(tmp_path, models={"reward": Model(tiny_ppo.REWARD.config, broken)}, gold=None))
    assert outcome.status == "diverged"
    assert math.isnan(outcome.row["loss"])


def test_a_safety_model_decides_too(tmp_path: Path) -> None:
    rows: list[dict[str, float]] = []
    safety = tiny_rewards.make_model(seed=3, score=True)
    outcome = run_ppo(tiny_ppo.ppo_run(tmp_path, rows.append, steps=1, models={"safety": safety}, gold=None))
    assert outcome.status == "done"
    # Whitened, the scores of an iteration have the mean 0; what is left is the penalty of answers without an end.
    assert rows[0]["loss"] == pytest.approx(1 - rows[0]["stopped"], abs=1e-5)


SHORTER = dataclasses.replace(tiny_rewards.MODEL, seq_len=40)
SMALLER = dataclasses.replace(tiny_rewards.MODEL, vocab=200)
PROMPTS = tiny_rewards.make_prompts()
LONG = PromptSet((*PROMPTS.train, np.full(48, 97, np.int32)), PROMPTS.held_out)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answers": 15}, "`answers` is 15; it must be a multiple of `minibatches`, 2"),
        ({"execution": Execution(microbatches=3)}, "a batch of 8 rows cannot be dealt out evenly"),
        ({"data": PromptSet((), PROMPTS.held_out)}, "no prompts to train on"),
        ({"data": PromptSet(PROMPTS.train, ())}, "no prompts to measure by"),
        ({"data": LONG}, "a prompt has 48 tokens; the model's context of 48 has no room left"),
        ({"models": {"reward": tiny_rewards.make_model(SHORTER, score=True)}}, "reward model's context is 40 tokens"),
        ({"models": {"reward": tiny_rewards.make_model(SMALLER, score=True)}}, "reward model has 200 embeddings"),
        ({"models": {"reward": tiny_rewards.make_model()}}, "reward model has no scalar head"),
    ],
    ids=["minibatches", "microbatches", "train", "held-out", "long", "context", "vocabulary", "head"],
)
def test_what_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_ppo(tiny_ppo.ppo_run(tmp_path, **changes))  # type: ignore[arg-type]
    assert not (tmp_path / "checkpoints").exists()


def test_a_peak_is_a_mean_of_three() -> None:
    gold, kl = [0.0, 2.5, 0.0, 2.0, 2.0, 1.0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    curve = [{"step": float(at), "gold": g, "kl": k} for at, (g, k) in enumerate(zip(gold, kl, strict=True))]
    assert peak_of(curve) == {"step": 4.0, "gold": pytest.approx(5 / 3), "kl": 4.0}
