"""A policy measured by its answers, and the record that a run keeps of it."""

import dataclasses
import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import pytest
from posttraining.tiny_rewards import MODEL, ids_of, make_model

from scaling.data.answers.rows import Ids
from scaling.data.tokenizer import BYTES
from scaling.posttrain import measure
from scaling.posttrain.measure import Probe, clustered_error, measure_policy, repeated, seed_of, win_rate
from scaling.posttrain.record import empty_record
from scaling.posttrain.sampling import Answers, learner_logprobs, sample
from scaling.posttrain.training.kl import make_divergences
from scaling.posttrain.training.logprob import policy_parameters

REFERENCE, POLICY = (policy_parameters(make_model(seed=0, scale=scale)) for scale in (1.0, 1.5))
PROMPTS = repeated([ids_of("ab"), ids_of("cde"), ids_of("f" * 20)], 96)


class Length:
    """Rewards of length."""

    def score(self, _: Sequence[Ids], answers: Sequence[Ids], stopped: np.ndarray) -> np.ndarray:
        return np.array([float(len(answer)) for answer in answers]) + 0 * stopped


class OfRows:
    """A proxy that is the rows' lengths."""

    def score(self, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        assert (tokens[np.arange(tokens.shape[1]) >= lengths[:, None]] == 0).all()
        return lengths.astype(np.float32)


PROBE = Probe(MODEL, REFERENCE, PROMPTS, end=0, gold=Length(), proxy=OfRows())


def test_a_policy_that_is_its_reference() -> None:
    found = measure_policy(PROBE, REFERENCE, 0).columns
    assert found["kl"] == found["kl_stderr"] == 0.0
    assert "win_rate" not in found


def test_columns() -> None:
    start = measure_policy(PROBE, REFERENCE, 0)
    found = measure_policy(PROBE, POLICY, 1, start.gold)
    answers, columns = found.answers, found.columns
    lengths = answers.lengths - answers.prompt_lengths - answers.stopped
    assert columns["length"] == columns["gold"] == lengths.mean()
    assert columns["stopped"] == answers.stopped.mean()
    assert columns["proxy"] == answers.lengths.mean()
    assert 0.5 < columns["distinct"] <= 1.0
    assert columns["win_rate"] == win_rate(lengths.astype(float), start.gold)
    # The exact divergence agrees with its estimate by the sampled tokens, and has less variance.
    reference = learner_logprobs(MODEL, REFERENCE, answers)
    k1 = np.where(answers.counted, answers.logprobs - reference, 0.0).sum(axis=1)
    error = k1.std() / math.sqrt(len(k1))
    assert abs(columns["kl"] - k1.mean()) < 4 * math.hypot(error, columns["kl_stderr"])
    assert 0 < columns["kl_stderr"] < error


def test_equal_answers_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug 20: a policy that says the same to everybody has few different answers."""
    two = sample(MODEL, POLICY, PROMPTS[:2], 3, most=6, end=0)
    assert two.answer(0).tobytes() != two.answer(1).tobytes()
    monkeypatch.setattr(measure, "sample", lambda *_, **__: Answers(*(np.repeat(array, 4, axis=0) for array in two)))
    probe = dataclasses.replace(PROBE, prompts=[PROMPTS[0]] * 4 + [PROMPTS[1]] * 4)
    assert measure_policy(probe, POLICY, 3).columns["distinct"] == 2 / 8


def kl_of_rows_alone(answers: Answers) -> float:
    """The mean of the exact divergence of answers, each row by itself and without padding."""
    divergences = make_divergences(MODEL, "float32")
    rows = zip(answers.tokens, answers.prompt_lengths.tolist(), answers.lengths.tolist(), strict=True)
    return float(
        np.mean(
            [
                np.asarray(divergences(POLICY, REFERENCE, jnp.asarray(tokens[:length])[None]).kl)[0, begin:].sum()
                for tokens, begin, length in rows
            ]
        )
    )


@pytest.mark.parametrize("fault", [None, "padding", "prompt"])
def test_the_divergence_is_of_answers_alone(fault: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug 10: neither prompts nor padding count, though most of these rows are padding."""
    probe = dataclasses.replace(PROBE, prompts=repeated([ids_of("ab"), ids_of("f" * 20)], 8))
    short = sample(MODEL, POLICY, probe.prompts, 3, most=6, end=0)
    monkeypatch.setattr(measure, "sample", lambda *_, **__: short)
    if fault is not None:
        at = np.arange(short.tokens.shape[1])
        wrong = at >= short.prompt_lengths[:, None] if fault == "padding" else at < short.lengths[:, None]
        monkeypatch.setattr(Answers, "counted", property(lambda _: wrong))
    found = measure_policy(probe, POLICY, 3).columns["kl"]
    assert (found == pytest.approx(kl_of_rows_alone(short), rel=1e-5)) == (fault is None)


def test_measurements_of_other_seeds_have_other_answers() -> None:
    seeds = [seed_of(0, 0), seed_of(0, 1), seed_of(1, 0)]
    found = [measure_policy(PROBE, POLICY, seed).answers.tokens for seed in seeds]
    assert not np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    assert np.array_equal(found[0], measure_policy(PROBE, POLICY, seeds[0]).answers.tokens)


def test_the_error_of_a_mean_is_of_its_clusters() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=200)
    each = clustered_error(values, np.ones(200), np.arange(200))
    assert each == pytest.approx(values.std(ddof=1) / math.sqrt(200))
    # What is written ten times over is known no better.
    again = clustered_error(np.repeat(values, 10), np.ones(2000), np.repeat(np.arange(200), 10))
    assert again == pytest.approx(each)
    assert clustered_error(np.repeat(values, 10), np.ones(2000), np.arange(2000)) < 0.4 * each
    assert math.isnan(clustered_error(values, np.ones(200), np.zeros(200, np.int64)))


def test_win_rate_counts_ties_half() -> None:
    assert win_rate(np.array([1.0, 2.0, 3.0, 0.0]), np.array([0.0, 2.0, 4.0, -1.0])) == 0.625


def test_a_record_keeps_what_was_measured() -> None:
    record = empty_record(3, MODEL.seq_len)
    assert record.curve() == []
    assert record.samples(BYTES) == []
    for point, (step, parameters) in enumerate([(0, REFERENCE), (7, POLICY)]):
        measured = measure_policy(PROBE, parameters, point)
        record = record.written(point, step, measured, {"accuracy": 0.25})
    curve = record.curve()
    assert [row["step"] for row in curve] == [0, 7]
    assert curve[1]["kl"] == pytest.approx(measured.columns["kl"], rel=1e-6)
    assert curve[1]["accuracy"] == 0.25
    assert "win_rate" not in curve[1]
    samples = record.samples(BYTES)
    assert [(sample["prompt"], sample["step"]) for sample in samples[:4]] == [
        ("ab", 0),
        ("ab", 7),
        ("cde", 0),
        ("cde", 7),
    ]
    text = bytes(measured.answers.answer(1).tolist()).decode(errors="replace")
    assert samples[3]["answer"] == text
    assert samples[3]["gold"] == len(measured.answers.answer(1))


def test_what_is_kept_of_few_answers() -> None:
    probe = Probe(MODEL, REFERENCE, PROMPTS[:2], end=0)
    record = empty_record(1, MODEL.seq_len).written(0, 0, measure_policy(probe, REFERENCE, 0), {})
    assert [sample["prompt"] for sample in record.samples(BYTES)] == ["ab", "cde"]
