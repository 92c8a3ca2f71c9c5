"""The stage ``dpo``: its reference is the start, and what it reports is of held-out pairs and answers."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from posttraining.tiny_rewards import MODEL, ids_of, make_model
from posttraining.tiny_stages import make_pairs, make_recipe, make_run

from scaling.data.answers.padded import padded_pairs
from scaling.data.answers.rows import Ids, Pair, PairSet
from scaling.data.tokenizer import BYTES
from scaling.errors import InputError
from scaling.posttrain import dpo
from scaling.posttrain.config import Source
from scaling.posttrain.dpo import make_objective, measured_steps, pair_columns, pair_likelihoods, run_dpo
from scaling.posttrain.settings import DpoSettings
from scaling.posttrain.stage import Model, StageOutcome
from scaling.posttrain.training.logprob import policy_parameters
from scaling.train.stop import Stopped, request_stop, stopping_on_signals

SETTINGS = DpoSettings(pairs=64, beta=0.1, measured=16, measurements=2)


class ShortAnswers:
    """A gold that likes short answers."""

    def score(self, _: Sequence[Ids], answers: Sequence[Ids], stopped: np.ndarray) -> np.ndarray:
        return np.array([-float(len(answer)) for answer in answers]) + stopped


@pytest.fixture(autouse=True)
def gold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dpo, "find_gold", lambda *_: ShortAnswers())


def digest(model: Model) -> str:
    found = hashlib.sha256()
    for name in sorted(model.parameters):
        found.update(name.encode() + np.asarray(model.parameters[name]).tobytes())
    return found.hexdigest()


def same(one: StageOutcome, other: StageOutcome) -> bool:
    """Whether two outcomes are the same to the bit."""
    assert one.parameters is not None
    assert other.parameters is not None
    arrays = all(np.array_equal(array, other.parameters[name]) for name, array in one.parameters.items())
    return arrays and (one.row, one.curve, one.samples) == (other.row, other.curve, other.samples)


@pytest.mark.parametrize(("kind", "first"), [("sigmoid", math.log(2)), ("hinge", 1.0), ("ipo", 25.0)])
def test_at_first_the_policy_is_its_reference(kind: str, first: float, tmp_path: Path) -> None:
    start, steps = make_model(scale=2.0), list[dict[str, float]]()
    before = digest(start)
    settings = replace(SETTINGS, loss=kind, measurements=1)
    outcome = run_dpo(make_run(tmp_path, "dpo", make_pairs(), settings, start=start, steps=3, report=steps.append))
    assert steps[0]["loss"] == pytest.approx(first, abs=1e-6 * first)
    assert steps[0]["logp_chosen"] == pytest.approx(0.0, abs=1e-4)
    assert steps[1]["loss"] < first - 1e-4
    assert digest(start) == before
    # The policy has moved, and the reference that KL is measured by has not.
    assert outcome.curve[0]["kl"] == 0.0 < outcome.curve[-1]["kl"]


def test_the_reference_is_not_used_up_by_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def measured(probe: dpo.Probe, *given: object) -> dpo.Measured:
        named = dpo.named_parameters(probe.reference)
        seen.append(digest(Model(MODEL, named)))
        return measure(probe, *given)  # type: ignore[arg-type]

    measure = dpo.measure_policy
    monkeypatch.setattr(dpo, "measure_policy", measured)
    run_dpo(make_run(tmp_path, "dpo", make_pairs(), SETTINGS, steps=4))
    assert seen == [digest(make_model())] * 3


def test_another_reference_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, "dpo", make_pairs(), SETTINGS)
    sources = {**run.config.sources, "reference": Source("base/runs/x", "f" * 12, MODEL)}
    with pytest.raises(InputError, match="the reference base/runs/x is not the start sft/runs/start"):
        run_dpo(replace(run, config=replace(run.config, sources=sources)))

    def of_another(model: object, _parameters: object, *given: object) -> object:
        return pair_likelihoods(model, policy_parameters(make_model(seed=1)), *given)  # type: ignore[arg-type]

    monkeypatch.setattr(dpo, "pair_likelihoods", of_another)
    with pytest.raises(InputError, match=r"the reference is not the start: the first loss is .*, and 0\.693147"):
        run_dpo(run)


@pytest.mark.parametrize("kind", ["sigmoid", "ipo", "hinge"])
def test_the_objective_is_that_of_rows_alone(kind: str) -> None:
    pairs = make_pairs(6).train
    policy, reference = (policy_parameters(make_model(seed=seed, scale=2.0)) for seed in (0, 1))
    by_hand, rows = [], []
    for pair in pairs:
        alone = [pair_likelihoods(MODEL, parameters, [pair], "float32") for parameters in (policy, reference)]
        sides = [(own.logprobs[0], other.logprobs[0]) for own, other in zip(*alone, strict=True)]
        rows.append([other for _, other in sides])
        chosen, rejected = (own - other for own, other in sides)
        loss = {
            "sigmoid": math.log1p(math.exp(-0.2 * (chosen - rejected))),
            "hinge": max(0.0, 1 - 0.2 * (chosen - rejected)),
            "ipo": (chosen / len(pair.chosen) - rejected / len(pair.rejected) - 2.5) ** 2,
        }[kind]
        by_hand.append(loss - 0.3 * sides[0][0] / len(pair.chosen))
    batch = dpo.dpo_batch(padded_pairs(pairs, 8, MODEL.seq_len), np.array([*rows, [0, 0], [0, 0]], np.float32))
    found = jax.jit(make_objective(MODEL, "float32", 0.2, kind, 0.3))(policy, batch)
    assert float(found.weight) == 6
    assert float(found.loss) == pytest.approx(sum(by_hand), rel=1e-5)
    # Were sums and means exchanged, it would be seen: the answers' lengths differ.
    assert len({len(answer) for pair in pairs for answer in (pair.chosen, pair.rejected)}) > 2


def test_what_is_measured(tmp_path: Path) -> None:
    run = make_run(tmp_path, "dpo", make_pairs(), replace(SETTINGS, gold="short"), steps=16)
    outcome = run_dpo(run)
    row, curve = outcome.row, outcome.curve
    assert [point["step"] for point in curve] == [0, 8, 16]
    assert curve[0]["win_rate"] == curve[0]["accuracy"] == 0.5
    assert row["accuracy"] == curve[-1]["accuracy"] > 0.9
    assert row["loss"] < math.log(2)
    assert row["logp_chosen"] > row["logp_rejected"]
    assert row["kl"] == curve[-1]["kl"] > 0
    assert row["kl_stderr"] > 0
    assert row["peak_gold"] == max(point["gold"] for point in curve)
    assert row["reward_gold"] == curve[-1]["gold"]
    assert {"length", "stopped", "distinct", "win_rate", "reward_gold_stderr"} <= row.keys()
    assert {sample["step"] for sample in outcome.samples} == {0, 8, 16}
    prompts = {sample["prompt"] for sample in outcome.samples}
    assert len(prompts) == 4
    assert prompts <= {BYTES.decode(pair.prompt) for pair in make_pairs().held_out}, "bug 21"


def test_a_falling_likelihood_of_the_chosen_answers_is_reported(tmp_path: Path) -> None:
    """Where both answers are alike, so that what pushes one down pushes the other (trl#800)."""
    pairs = [Pair(ids_of(f"{at:03d}?"), ids_of("aaab\0"), ids_of("aaaaaac\0")) for at in range(80)]
    data, recipe = PairSet(tuple(pairs[:64]), tuple(pairs[64:])), make_recipe(rate=0.02)
    outcome = run_dpo(make_run(tmp_path, "dpo", data, SETTINGS, steps=16, recipe=recipe))
    assert outcome.row["accuracy"] == 1.0
    assert outcome.row["logp_rejected"] < outcome.row["logp_chosen"]
    assert outcome.row["logp_chosen"] < -1


def test_columns_of_pairs_are_of_differences_to_the_reference() -> None:
    pairs = make_pairs(8).train
    one, other = (
        pair_likelihoods(MODEL, policy_parameters(make_model(seed=seed)), pairs, "float32") for seed in (0, 1)
    )
    found = pair_columns(one, other, pairs, SETTINGS)
    fallen = pair_columns(other, one, pairs, SETTINGS)
    assert all(fallen[name] == pytest.approx(-found[name]) for name in ("logp_chosen", "logp_rejected"))
    assert found["logp_chosen"] == pytest.approx((one.chosen.logprobs - other.chosen.logprobs).mean())
    apart = one.chosen.logprobs - other.chosen.logprobs - one.rejected.logprobs + other.rejected.logprobs
    assert found["loss"] == pytest.approx(np.log1p(np.exp(-0.1 * apart)).mean(), rel=1e-5)
    assert found["accuracy"] == (apart > 0).mean()


@pytest.mark.parametrize("stop", [1, 5])
def test_it_goes_on_to_the_bit(stop: int, tmp_path: Path) -> None:
    settings = replace(SETTINGS, gold="short")
    whole = run_dpo(make_run(tmp_path / "whole", "dpo", make_pairs(), settings))

    def stop_at(progress: dict[str, float]) -> None:
        if progress["step"] == stop:
            request_stop()

    with stopping_on_signals(), pytest.raises(Stopped):
        run_dpo(make_run(tmp_path / "parts", "dpo", make_pairs(), settings, report=stop_at))
    again = run_dpo(make_run(tmp_path / "parts", "dpo", make_pairs(), settings))
    assert same(whole, again)


def test_steps_that_are_measured() -> None:
    assert measured_steps(64, 4) == [0, 16, 32, 48, 64]
    assert measured_steps(2, 4) == [0, 1, 2]
    assert measured_steps(1, 1) == [0, 1]


def test_input_that_cannot_be_trained_on(tmp_path: Path) -> None:
    def error(data: PairSet, settings: DpoSettings = SETTINGS) -> str:
        with pytest.raises(InputError) as raised:
            run_dpo(make_run(tmp_path, "dpo", data, settings))
        return str(raised.value)

    data = make_pairs()
    assert error(data, replace(SETTINGS, pairs=65)) == "`pairs` is 65; the data have 64 to train on"
    assert "no held-out pairs" in error(replace(data, held_out=()))
    long = Pair(ids_of("a" * 40), ids_of("b" * 20), ids_of("b"))
    assert error(replace(data, held_out=(long,))) == "a pair has 60 tokens; the model's context is 48"
