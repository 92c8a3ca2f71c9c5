"""Reward models: their scores, their loss, how they learn, resume, divide a batch and are measured."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from posttraining.tiny_rewards import MODEL, ids_of, letter_pairs, make_model, plain_scores, reward_run

import scaling.train.stop
from scaling.data.answers.padded import padded_pairs
from scaling.data.answers.rows import Pair, PairSet
from scaling.data.tokenizer import BYTES
from scaling.errors import InputError
from scaling.llama.sharding import Execution
from scaling.posttrain.rewards.reward import as_batch, make_objective, measure, named_reward, run_reward
from scaling.posttrain.rewards.rewarding import RewardScorer, check_model
from scaling.posttrain.settings import RewardSettings
from scaling.posttrain.stage import Model, StageOutcome
from scaling.posttrain.training.logprob import make_values, reward_parameters
from scaling.posttrain.training.update import begin, hyper_of, make_gradient, make_update
from scaling.train.stop import Stopped

PAIRS = letter_pairs()
ROWS = [ids_of(text) for text in ("a\0", "abc\0", "the answer\0", "x" * 40, "y" * 48)]


@pytest.fixture(scope="module")
def model() -> Model:
    return make_model(score=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> StageOutcome:
    return run_reward(reward_run(tmp_path_factory.mktemp("reward"), PAIRS))


def padded(rows: list[Any], length: int, filling: int = 0) -> tuple[np.ndarray, np.ndarray]:
    tokens = np.full((len(rows), length), filling, np.int32)
    for at, row in enumerate(rows):
        tokens[at, : len(row)] = row
    return tokens, np.array([len(row) for row in rows], np.int32)


def test_a_score_is_that_of_the_row_by_itself(model: Model) -> None:
    """Bug 7: alone, in any batch, under any padding; and what the last hidden state without padding gives."""
    scorer = RewardScorer(model)
    expected = plain_scores(model, ROWS)
    together = scorer.score(*padded(ROWS, 48))
    np.testing.assert_allclose(together, expected, atol=1e-5)
    for at, row in enumerate(ROWS):
        for length, filling in ((48, 0), (48, 99), (max(len(row), 41), 7)):
            alone = scorer.score(*padded([row], length, filling))
            np.testing.assert_allclose(alone[0], together[at], atol=1e-6)
    reordered = scorer.score_rows(ROWS[::-1] * 30)
    np.testing.assert_allclose(reordered[: len(ROWS)], together[::-1], atol=1e-6)


def test_padding_on_the_left_changes_a_score(model: Model) -> None:
    """The fault of bug 7, seeded: a row that begins with padding has other positions and other neighbours."""
    scorer = RewardScorer(model)
    right = scorer.score(*padded([ROWS[2]], 48))[0]
    left = scorer.score_rows([np.concatenate([np.zeros(37, np.int32), ROWS[2]])])[0]
    assert abs(right - left) > 1e-3


def test_a_score_is_read_at_the_last_token(model: Model) -> None:
    """Bug 8: moving the end moves the score, though the padding is the end; the first padding has another."""
    scorer = RewardScorer(model)
    tokens, _ = padded([ids_of("abc\0def\0")], 48)
    first, last, padding = (scorer.score(tokens, np.array([length], np.int32))[0] for length in (4, 8, 9))
    assert len({round(float(value), 4) for value in (first, last, padding)}) == 3
    np.testing.assert_allclose(last, plain_scores(model, [ids_of("abc\0def\0")])[0], atol=1e-5)

    # Faults, seeded: a search for the end finds the first one, and reading at the last position finds padding.
    values = np.asarray(make_values(MODEL, "float32")(reward_parameters(model), jnp.asarray(tokens)))[0]
    searched = values[int((tokens[0] == 0).argmax())]
    assert abs(searched - last) > 1e-3
    assert abs(values[-1] - last) > 1e-3


def test_a_pair_is_scored_as_it_is_trained(model: Model) -> None:
    """Bug 9: the rows of a training batch and those of the scorer are the same, ends included."""
    pairs = PAIRS.train[:8]
    batch = as_batch(padded_pairs(pairs, 8, MODEL.seq_len), RewardSettings(8))
    found = jax.jit(make_objective(MODEL, 0.0, "float32"))(reward_parameters(model), batch)
    scorer = RewardScorer(model)

    def loss(end: bool) -> float:
        sides = [[(p.prompt, getattr(p, side)) for p in pairs] for side in ("chosen", "rejected")]
        chosen, rejected = (
            scorer.score_rows([np.concatenate([prompt, own if end else own[:-1]]) for prompt, own in side])
            for side in sides
        )
        return float(np.logaddexp(0, rejected.astype(float) - chosen).sum())

    np.testing.assert_allclose(float(found.loss), loss(end=True), rtol=1e-5)
    assert abs(loss(end=False) - float(found.loss)) > 1e-3, "answers without their end: the seeded fault"


def test_the_loss_is_that_of_bradley_and_terry(model: Model) -> None:
    """Margins by the rating and centring, against the formula, over pairs of which some only fill the batch."""
    pairs = [replace(pair, rating=None if at % 3 == 0 else pair.rating) for at, pair in enumerate(PAIRS.train[:6])]
    scorer = RewardScorer(model)
    chosen, rejected = (
        scorer.score_rows([np.concatenate([pair.prompt, getattr(pair, side)]) for pair in pairs]).astype(float)
        for side in ("chosen", "rejected")
    )
    objective = jax.jit(make_objective(MODEL, 0.01, "float32"))
    for margin, scale in (("none", 0.0), ("small", 1 / 3), ("large", 1.0)):
        lead = chosen - rejected - np.array([(pair.rating or 0.0) * scale for pair in pairs])
        expected = np.logaddexp(0, -lead) + 0.01 * (chosen + rejected) ** 2
        batch = as_batch(padded_pairs(pairs, 10, MODEL.seq_len), RewardSettings(6, margin=margin))
        sums = objective(reward_parameters(model), batch)
        np.testing.assert_allclose(float(sums.loss), expected.sum(), rtol=1e-5)
        assert float(sums.weight) == 6
        assert float(sums.metrics["accuracy"]) == (chosen > rejected).sum()


def test_it_learns(trained: StageOutcome) -> None:
    assert trained.status == "done"
    row = trained.row
    assert row["accuracy"] > 0.85
    assert row["loss"] < 0.4
    assert row["pairs"] == 256
    assert row["reward_params"] == sum(array.size for array in trained.parameters.values())
    assert 0.005 < row["accuracy_stderr"] < 0.03
    assert 0 < row["loss_stderr"] < 0.05
    assert {sample["preferred"] for sample in trained.samples} == {0.0, 1.0}


def test_scores_that_are_kept_are_those_that_were_measured(trained: StageOutcome) -> None:
    """Bug 9, of a whole run: the kept parameters give the table's figures from the pairs alone."""
    scorer = RewardScorer(Model(MODEL, trained.parameters))
    sides = [
        scorer.score_rows([np.concatenate([pair.prompt, getattr(pair, side)]) for pair in PAIRS.held_out])
        for side in ("chosen", "rejected")
    ]
    assert (sides[0] > sides[1]).mean() == trained.row["accuracy"]
    both = np.concatenate(sides).astype(float)
    np.testing.assert_allclose([trained.row["score_mean"], trained.row["score_deviation"]], [both.mean(), both.std()])


def test_a_run_begins_at_log_2(tmp_path: Path) -> None:
    """A head of zeros scores everything 0."""
    seen: list[dict[str, float]] = []
    run_reward(reward_run(tmp_path, PAIRS, seen.append, steps=2))
    assert seen[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert seen[0]["accuracy"] == 0.5
    assert seen[1]["loss"] != seen[0]["loss"]


def test_safe_and_helpful_models_of_one_set(tmp_path: Path) -> None:
    data = letter_pairs(300, 300, safety=0.5)
    some = {"pairs": 100, "held_out": 300, "steps": 40}
    helpful, safe = (
        run_reward(reward_run(tmp_path / kind, data, kind=kind, **some)) for kind in ("helpfulness", "safety")
    )
    rows = [ids_of(f"prompt{answer}\0") for answer in ("aaaaaaxx", "bbbbbbxx")]
    likes_a = RewardScorer(Model(MODEL, helpful.parameters)).score_rows(rows)
    likes_b = RewardScorer(Model(MODEL, safe.parameters)).score_rows(rows)
    assert likes_a[0] > likes_a[1] + 0.5
    assert likes_b[1] > likes_b[0] + 0.5


def test_a_stopped_run_goes_on_to_the_bit(
    trained: StageOutcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug 22, of this stage."""
    seen: list[dict[str, float]] = []

    def stop_after(steps: int) -> Callable[[dict[str, float]], None]:
        def report(measured: dict[str, float]) -> None:
            seen.append(measured)
            if len(seen) == steps:
                monkeypatch.setattr("scaling.posttrain.training.loop.stop_requested", lambda: True)

        return report

    with pytest.raises(Stopped):
        run_reward(reward_run(tmp_path, PAIRS, stop_after(17)))
    monkeypatch.setattr("scaling.posttrain.training.loop.stop_requested", scaling.train.stop.stop_requested)
    resumed = run_reward(reward_run(tmp_path, PAIRS, seen.append))
    assert [row["step"] for row in seen] == [float(step) for step in range(1, 41)]
    assert resumed.row == trained.row
    for name, array in trained.parameters.items():
        np.testing.assert_array_equal(resumed.parameters[name], array)


def test_microbatches_are_one_batch(model: Model) -> None:
    """Bug 6: rows that fill a batch up leave parts of unlike weight; the mean of means is the seeded fault."""
    parts = 4
    batch = as_batch(padded_pairs(PAIRS.train[:5], 8, MODEL.seq_len), RewardSettings(5))
    objective = make_objective(MODEL, 0.01, "float32")
    whole, gradient = jax.jit(make_gradient(objective))(reward_parameters(model), batch)
    in_parts, parted = jax.jit(make_gradient(objective, Execution(microbatches=parts)))(reward_parameters(model), batch)
    np.testing.assert_allclose(float(whole["loss"]), float(in_parts["loss"]), rtol=1e-6)
    for one, other in zip(jax.tree.leaves(gradient), jax.tree.leaves(parted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=2e-6)
    means = [
        float(sums.loss / jnp.maximum(sums.weight, 1))
        for sums in (
            jax.jit(objective)(reward_parameters(model), jax.tree.map(lambda x, part=part: x[part::parts], batch))
            for part in range(parts)
        )
    ]
    assert abs(np.mean(means) - float(whole["loss"])) > 1e-3


def test_the_first_pairs_alone_are_used(tmp_path: Path) -> None:
    """A run on few of many pairs is a run on these few."""
    few = PairSet(PAIRS.train[:64], PAIRS.held_out)
    of_many = run_reward(reward_run(tmp_path / "many", PAIRS, steps=5, pairs=64))
    of_few = run_reward(reward_run(tmp_path / "few", few, steps=5))
    assert of_many.row == of_few.row


def test_a_run_that_diverges_says_so(tmp_path: Path) -> None:
    outcome = run_reward(reward_run(tmp_path, PAIRS, steps=30, rate=1e30))
    assert outcome.status == "diverged"
    assert outcome.parameters is None
    assert math.isnan(outcome.row["loss"])


def test_standard_errors_are_over_prompts() -> None:
    """Ten pairs that are each there twice, under one prompt, say no more than the ten."""
    random = np.random.default_rng(0)
    chosen, rejected = random.normal(1, 1, 200).astype(np.float32), random.normal(0, 1, 200).astype(np.float32)
    prompts = [np.array([at], np.int32) for at in range(200)]
    single = measure(chosen, rejected, prompts)
    double = measure(np.repeat(chosen, 2), np.repeat(rejected, 2), [p for p in prompts for _ in range(2)])
    assert single.loss == pytest.approx(double.loss)
    assert single.loss_stderr == pytest.approx(double.loss_stderr, rel=1e-9)
    lead = chosen.astype(float) - rejected
    assert single.loss_stderr == pytest.approx(np.logaddexp(0, -lead).std(ddof=1) / math.sqrt(200))
    assert single.accuracy_stderr == pytest.approx((lead > 0).std(ddof=1) / math.sqrt(200))


def test_a_reward_model_reaches_the_rewards_behind_the_labels() -> None:
    """Closed form: one token of 8 is the answer, and labels are Bradley-Terry's for known rewards. On all of them at
    once the scores reach the rewards up to a constant, and the loss the entropy of the labels."""
    one_layer = replace(MODEL, depth=1, seq_len=4)
    rewards = np.linspace(-1.5, 1.5, 8)
    tokens = np.array([(one, other) for one in range(8) for other in range(8) if one != other])
    share = 1 / (1 + np.exp(rewards[tokens[:, 1]] - rewards[tokens[:, 0]]))
    entropy = -(share * np.log(share)).mean() * 2  # each pair is there in both orders
    run = reward_run(Path("unused"), PAIRS, steps=600)
    answers = [np.array([97 + token, 0], np.int32) for token in range(8)]
    pairs = [Pair(ids_of("q"), answers[one], answers[other]) for one, other in tokens]
    batch = as_batch(padded_pairs(pairs, len(pairs), one_layer.seq_len), RewardSettings(len(pairs)))._replace(
        weights=share.astype(np.float32)
    )
    state = begin(reward_parameters(make_model(one_layer)), one_layer, run.config.recipe)
    update = make_update(make_objective(one_layer, 0.0, "float32"), one_layer, run.config.recipe)
    hyper = hyper_of(run.config)
    for _ in range(run.config.steps):
        state, means = update(state, hyper, batch)
    assert float(means["loss"]) == pytest.approx(entropy, rel=1e-3)
    scorer = RewardScorer(Model(one_layer, named_reward(state.parameters)))
    scores = scorer.score_rows([np.array([113, 97 + token, 0], np.int32) for token in range(8)])
    slope = np.polyfit(rewards, scores, 1)[0]
    assert slope == pytest.approx(1.0, abs=0.02)
    np.testing.assert_allclose(scores - scores.mean(), rewards, atol=0.05)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"pairs": 257}, "`pairs` is 257; the data have 256 to train on"),
        ({"kind": "safety"}, "`pairs` is 256; the data have 0 about safety to train on"),
        ({"held_out": 0}, "the data have no held-out pairs to measure the reward model by"),
    ],
    ids=["too few", "none of the kind", "none to measure by"],
)
def test_bad_settings(settings: dict[str, Any], line: str, tmp_path: Path) -> None:
    data = PAIRS if settings.get("held_out") is None else PairSet(PAIRS.train, ())
    with pytest.raises(InputError) as raised:
        run_reward(reward_run(tmp_path, data, **settings))
    assert list(raised.value.errors) == [line]


def test_bad_models(model: Model, tmp_path: Path) -> None:
    small = make_model(replace(MODEL, vocab=99))
    with pytest.raises(InputError, match="the start model has 99 embeddings; the answers' tokenizer bytes has 256 ids"):
        run_reward(reward_run(tmp_path, PAIRS, start=small))
    with pytest.raises(InputError, match="the reward model has no scalar head"):
        RewardScorer(make_model())
    short = make_model(replace(MODEL, seq_len=16))
    with pytest.raises(InputError, match=r"a pair has \d+ tokens; the model's context is 16"):
        run_reward(reward_run(tmp_path, PAIRS, start=short))
    with pytest.raises(InputError, match=r"row 1 has 49 tokens; the model's context is 1 to 48"):
        RewardScorer(model).score_rows([ids_of("a"), ids_of("a" * 49)])

    class Other(type(BYTES)):
        name, hash = "other", "1"

    with pytest.raises(InputError, match="the reward model was trained with the tokenizer other, and the answers are"):
        check_model(model, BYTES, "reward", Other())


# Devices are counted when JAX starts, so in a process of its own. argv: the folder. It prints for each mesh the row and
# the sums of the absolute parameters.
