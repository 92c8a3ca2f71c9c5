"""An iteration's figures are those of its answers by themselves: no padding, no other reference, no lost end."""

import jax.numpy as jnp
import numpy as np
import pytest
from posttraining.tiny_ppo import REWARD, START
from posttraining.tiny_rewards import MODEL, ids_of, make_model, make_prompts, plain_scores

import scaling.posttrain.ppo.rollout
from scaling.posttrain.ppo.rollout import Roller, Rollout
from scaling.posttrain.rewards.rewarding import RewardScorer
from scaling.posttrain.sampling import Answers, learner_logprobs
from scaling.posttrain.settings import PpoSettings
from scaling.posttrain.training.kl import Divergence, make_divergences
from scaling.posttrain.training.logprob import make_values, policy_parameters, reward_parameters

POLICY, CRITIC = policy_parameters(START), reward_parameters(REWARD)
REFERENCE = policy_parameters(make_model(seed=3, scale=2.0))
SETTINGS = PpoSettings(answers=4, kl=0.1, unfinished=0.75)
# A prompt of two tokens, and answers of very unequal lengths; the last one does not end.
ROWS = [ids_of(f"ab{answer}") for answer in ("\0", "cd\0", "e" * 20 + "\0", "fgh")]
STOPPED = np.array([True, True, True, False])


def answers(width: int) -> Answers:
    """The rows as answers, padded to a width."""
    tokens = np.zeros((len(ROWS), width), np.int32)
    for row, ids in zip(tokens, ROWS, strict=True):
        row[: len(ids)] = ids
    lengths = np.array([len(ids) for ids in ROWS], np.int32)
    prompts = np.full(len(ROWS), 2, np.int32)
    bare = Answers(tokens, prompts, lengths, np.zeros(tokens.shape, np.float32), STOPPED)
    return bare._replace(logprobs=learner_logprobs(MODEL, POLICY, bare))


def rolled(monkeypatch: pytest.MonkeyPatch, width: int = 32) -> Rollout:
    monkeypatch.setattr(Roller, "_sample", lambda *_: answers(width))
    prompts = make_prompts().train
    roller = Roller(MODEL, REFERENCE, REWARD.config, RewardScorer(REWARD), prompts, 0, SETTINGS, 0)
    return roller.rollout(POLICY, CRITIC, 0)


def alone() -> list[tuple[Divergence, np.ndarray]]:
    """The divergences and the critic's values of each row without padding, at its answer's tokens."""
    divergences, values = make_divergences(MODEL, "float32"), make_values(MODEL, "float32")
    found = []
    for ids in ROWS:
        apart = divergences(POLICY, REFERENCE, jnp.asarray(ids)[None])
        own = Divergence(*(np.asarray(array)[0, 2:] for array in apart))
        found.append((own, np.asarray(values(CRITIC, jnp.asarray(ids)[None]))[0, 1:-1]))
    return found


def check(rollout: Rollout) -> None:
    """Against rows alone."""
    columns, rows, scores = rollout.columns, alone(), plain_scores(REWARD, ROWS)
    assert columns["kl"] == pytest.approx(np.mean([own.kl.sum() for own, _ in rows]), rel=1e-5)
    assert columns["kl"] > 0.5
    entropies = np.concatenate([own.entropy for own, _ in rows])
    assert columns["entropy"] == pytest.approx(entropies.mean(), rel=1e-5)
    assert columns["proxy"] == pytest.approx(scores.mean(), rel=1e-5), "scored as they were trained, ends included"
    assert columns["length"] == pytest.approx((0 + 2 + 20 + 3) / 4)
    assert columns["stopped"] == 0.75
    made = answers(32)
    old = [made.logprobs[at, 2 : len(ids)] for at, ids in enumerate(ROWS)]
    penalties = [0.1 * float((mine - own.reference).sum()) for mine, (own, _) in zip(old, rows, strict=True)]
    totals = scores - 0.75 * ~STOPPED - penalties
    assert columns["loss"] == pytest.approx(-totals.mean(), rel=1e-4)
    experience = rollout.experience
    assert experience is not None
    for at, (ids, (_, values)) in enumerate(zip(ROWS, rows, strict=True)):
        live = np.arange(experience.tokens.shape[1])
        np.testing.assert_array_equal(experience.live[at], (live >= 2) & (live < len(ids)))
        # What the critic says when a token is chosen, it says at the token before.
        np.testing.assert_allclose(experience.values[at, 2 : len(ids)], values, atol=1e-5)
        # Of lambda 1 the first return is the sum of all rewards.
        assert float(experience.returns[at, 2]) == pytest.approx(totals[at], abs=1e-4)
    assert float(experience.advantages[experience.live].mean()) == pytest.approx(0, abs=1e-5)
    assert float(experience.advantages[experience.live].std(ddof=1)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("width", [32, 48])
def test_figures_are_those_of_the_answers_alone(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bugs 9, 10, 12 and 16, of an iteration."""
    monkeypatch.setattr(scaling.posttrain.ppo.rollout, "trimmed", lambda made, _: made)
    check(rolled(monkeypatch, width))


@pytest.mark.parametrize("fault", ["padding", "no end", "reference"])
def test_figures_of_other_tokens_are_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if fault == "padding":
        monkeypatch.setattr(
            Answers, "counted", property(lambda own: np.arange(own.tokens.shape[1]) >= 2 * (own.tokens[:, :1] > 0))
        )
    elif fault == "no end":
        score = RewardScorer.score
        monkeypatch.setattr(RewardScorer, "score", lambda self, tokens, lengths: score(self, tokens, lengths - STOPPED))
    else:
        program = scaling.posttrain.ppo.rollout.divergences_program

        def followed(*options: object) -> object:
            found = program(*options)  # type: ignore[arg-type]
            return lambda policy, _, tokens: found(policy, policy, tokens)

        monkeypatch.setattr(scaling.posttrain.ppo.rollout, "divergences_program", followed)
    with pytest.raises(AssertionError):
        check(rolled(monkeypatch))
