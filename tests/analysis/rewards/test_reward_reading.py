"""Reward curves from anybody's tables: usual names, files of any format, samples, and one line per error."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.errors import InputError
from analysis.rewards.best_of_n import kl_bound
from analysis.rewards.fitting.reward_fit import fit_rewards
from analysis.rewards.laws import BEST_OF_N, REINFORCEMENT
from analysis.rewards.reading import read_rewards, rewards_of

BEST = pd.DataFrame({"run_id": "a", "n": [1, 2, 4, 8], "gold": [-3.0, -2.7, -2.5, -2.4], "pairs": 512})
TRAINED = pd.DataFrame(
    {
        "step": [0, 10, 20, 30],
        "objective/kl": [-0.001, 0.3, 0.9, 2.0],
        "objective/scores": [0.0, 0.4, 0.8, 1.1],
        "gold_score": [-3.5, -3.2, -3.1, -3.4],
    }
)


def codes(frame: pd.DataFrame, **options: Any) -> list[str]:
    return [warning.code for warning in rewards_of(frame, **options).warnings()]


def test_best_of_n_takes_the_bound_and_says_so() -> None:
    table = rewards_of(BEST)
    (curve,) = table.curves
    assert curve.law is BEST_OF_N
    np.testing.assert_allclose(curve.kl, kl_bound(np.array([1.0, 2, 4, 8])))
    np.testing.assert_allclose(curve.gain, [0.0, 0.3, 0.5, 0.6])
    assert curve.start == -3.0
    assert codes(BEST) == ["kl-bound"]


def test_a_measured_divergence_is_taken_before_the_bound() -> None:
    measured = BEST.assign(kl=[0.0, 0.17, 0.5, 1.0])
    np.testing.assert_allclose(rewards_of(measured).curves[0].kl, [0.0, 0.17, 0.5, 1.0])
    assert codes(measured) == []


def test_names_of_a_training_log() -> None:
    """As TRL writes them; an estimate of the divergence at the start may fall below 0."""
    (curve,) = rewards_of(TRAINED).curves
    assert curve.law is REINFORCEMENT
    np.testing.assert_allclose(curve.kl, [0.0, 0.3, 0.9, 2.0])
    np.testing.assert_allclose(curve.proxy, [0.0, 0.4, 0.8, 1.1])
    np.testing.assert_allclose(curve.gain, [0.0, 0.3, 0.4, 0.1], atol=1e-12)


def test_the_divergence_between_updates_is_no_divergence_from_the_start() -> None:
    frame = TRAINED.drop(columns="objective/kl").assign(**{"policy/approxkl_avg": 0.01, "actor/ppo_kl": 0.02})
    with pytest.raises(InputError, match="no column 'kl' or 'n'"):
        rewards_of(frame)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_files_of_any_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rewards.{suffix}"
    match suffix:
        case "csv":
            BEST.to_csv(path, index=False)
        case "parquet":
            BEST.to_parquet(path)
        case _:
            BEST.to_json(path, orient="records", lines=True)
    np.testing.assert_allclose(read_rewards(path).curves[0].gain, [0.0, 0.3, 0.5, 0.6])


def test_a_folder_takes_what_it_knows_of_its_runs(tmp_path: Path) -> None:
    BEST.drop(columns="pairs").to_parquet(tmp_path / "rewards.parquet")
    pd.DataFrame({"run_id": ["a"], "pairs": [2048], "role": ["target"], "loss": [0.5]}).to_parquet(
        tmp_path / "runs.parquet"
    )
    table = read_rewards(tmp_path)
    assert table.curves[0].pairs == 2048
    assert table.curves[0].loss == 0.5
    assert table.fitted().curves == ()


def test_the_loss_of_a_policy_is_not_that_of_its_reward_model(tmp_path: Path) -> None:
    BEST.to_parquet(tmp_path / "rewards.parquet")
    runs = pd.DataFrame({"run_id": ["a"], "stage": ["ppo"], "loss": [-1.5]})
    runs.to_parquet(tmp_path / "runs.parquet")
    assert np.isnan(read_rewards(tmp_path).curves[0].loss)
    runs.assign(reward_loss=0.5).to_parquet(tmp_path / "runs.parquet")
    assert read_rewards(tmp_path).curves[0].loss == 0.5


def test_what_differs_along_a_run_is_not_of_its_reward_model() -> None:
    assert np.isnan(rewards_of(BEST.assign(loss=[-0.1, -0.2, -0.3, -0.4])).curves[0].loss)


def test_numbers_as_people_write_them_and_other_names() -> None:
    frame = pd.DataFrame({"best of": ["2", "4", "8"], "mine": [0.1, 0.2, 0.2], "comparisons": ["8k"] * 3})
    table = rewards_of(frame, columns={"gold": "mine"})
    assert table.curves[0].pairs == 8000
    assert table.curves[0].run_id == "pairs 8000"
    assert codes(frame, columns={"gold": "mine"}) == ["kl-bound", "no-start"]


def test_runs_without_names_are_told_apart_by_what_they_are() -> None:
    frame = pd.concat([BEST, BEST.assign(pairs=1024)], ignore_index=True).drop(columns="run_id")
    assert [curve.pairs for curve in rewards_of(frame).curves] == [512, 1024]


def test_a_filter() -> None:
    frame = pd.concat([BEST, BEST.assign(run_id="b", pairs=1024)], ignore_index=True)
    assert [curve.run_id for curve in rewards_of(frame, where="pairs == 1024").curves] == ["b"]


def test_without_a_gold_the_proxy_is_taken_and_said_so() -> None:
    frame = TRAINED.drop(columns="gold_score")
    assert rewards_of(frame).reward == "proxy"
    assert codes(frame) == ["no-gold"]


def test_a_win_rate_in_place_of_a_gold() -> None:
    frame = BEST.drop(columns="gold").assign(win_rate=[0.5, 0.6, 0.65, 0.6])
    np.testing.assert_allclose(rewards_of(frame).curves[0].gain, [0.0, 0.1, 0.15, 0.1])
    assert "columns-read" in codes(frame)


@pytest.mark.parametrize("lengths", [[24.0, 20.0, 16.0, 11.0], [11.0, 16.0, 20.0, 24.0]], ids=["shorter", "longer"])
def test_answers_that_change_their_length_are_noticed(lengths: list[float]) -> None:
    """Bug 20, in whatever order the rows are."""
    drifting = TRAINED.assign(length=lengths)
    assert "length-drift" in codes(drifting)
    assert "length-drift" in codes(drifting.iloc[[1, 0, 3, 2]])
    steady = TRAINED.assign(length=[24.0, 11.0, 22.0, 21.0])
    assert "length-drift" not in codes(steady)
    assert "length-drift" not in codes(steady.iloc[[0, 2, 3, 1]])


def test_a_table_of_samples_is_a_curve_of_best_of_n() -> None:
    frame = pd.DataFrame(
        {"prompt": ["p"] * 4 + ["q"] * 5, "proxy": [1, 2, 3, 4, 1, 2, 3, 4, 5], "gold": [0, 1, 2, 3, 5, 5, 5, 5, 5]}
    )
    (curve,) = rewards_of(frame.assign(pairs=512)).curves
    assert curve.pairs == 512
    assert curve.n is not None
    np.testing.assert_array_equal(curve.n, [1, 2, 4])
    # Of four samples 0 to 3: the best of two is 14 / 6 on average, the best of all 3; the other prompt gains nothing.
    np.testing.assert_allclose(curve.gain, [0.0, (14 / 6 - 1.5) / 2, 0.75], atol=1e-12)


@pytest.mark.parametrize(
    ("frame", "messages"),
    [
        (BEST.drop(columns="n"), ["t: no column 'kl' or 'n'"]),
        (BEST.drop(columns="gold"), ["t: no column 'gold' or 'proxy'"]),
        (BEST.assign(gold=["-3", "x", "-2", "y"]), ["t:1: column 'gold': 'x' is not a number", "t:3: column 'gold'"]),
        (BEST.assign(n=[1, 2.5, 4, 0]), ["t:1: column 'n': 2.5 is no number of samples", "t:3: column 'n': 0 is no"]),
        (BEST.assign(kl=[0, -0.4, 1, 2]), ["t:1: column 'kl': -0.4 is negative, which no KL divergence is"]),
        (BEST.assign(win_rate=[0.5, 60, 1, 1]), ["t:1: column 'win_rate': 60 is no share between 0 and 1"]),
        (BEST.assign(pairs=[512, 0, 512, 512]), ["t:1: column 'pairs': 0 is not positive"]),
        (BEST.assign(gold_stderr=[-0.1, 0, 0, 0]), ["t:0: column 'gold_stderr': -0.1 is negative"]),
        (BEST.assign(gold=[0, np.inf, 1, 1]), ["t:1: column 'gold': inf is not finite"]),
        (BEST.assign(gold=np.nan), ["t: no row has both n or kl and a reward"]),
        (BEST.assign(n=[1, 2, 2, 2]), ["t:2: column 'n': run 'a' has n = 2 more than once"]),
        (TRAINED.assign(step=[0, 10, 10, 0]), ["t:2: column 'step': run 'run' has step = 10 more than once"]),
        (BEST.assign(gold=[0, 1e300, 1, 1]), ["t:1: column 'gold': 1e+300 is larger than any reward"]),
        (BEST.assign(run_id=["a", None, "a", "a"]), ["t:1: column 'run_id': is empty"]),
        (
            pd.DataFrame({"prompt": ["p", None, "p"], "proxy": [1.0, 2, 3], "gold": [1.0, 2, 3]}),
            ["t:1: column 'prompt': is empty"],
        ),
        (BEST.assign(pairs=[512, 512, 600, 512]), ["t:2: column 'pairs': run 'a' has several"]),
        (
            pd.DataFrame({"prompt": ["p", "p"], "proxy": [1.0, np.nan], "gold": [1.0, 2.0]}),
            ["t:1: column 'proxy': a sample without it"],
        ),
        (pd.DataFrame({"prompt": ["p", "q"], "proxy": [1.0, 2], "gold": [1.0, 2]}), ["has a prompt of 1 sample"]),
    ],
    ids=[
        *("no place", "no reward", "words", "n", "kl", "share", "pairs", "stderr", "infinite", "empty", "repeated"),
        *("step repeated", "huge", "no run", "no prompt"),
        *("differing", "no proxy", "one sample"),
    ],
)
def test_one_line_per_error(frame: pd.DataFrame, messages: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        rewards_of(frame, "t")
    assert len(caught.value.errors) == len(messages)
    for line, message in zip(caught.value.errors, messages, strict=True):
        assert message in line


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"golden": "gold"}, "`columns` golden=gold: no such name in a table of rewards (did you mean 'gold'?)"),
        ({"gold": "gould"}, "`columns` gold=gould: t has no column 'gould' (did you mean 'gold'?)"),
    ],
    ids=["name", "column"],
)
def test_mappings_that_name_nothing(columns: dict[str, str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        rewards_of(BEST, "t", columns)
    assert caught.value.errors == (message,)


def test_one_prompt_cannot_be_resampled() -> None:
    frame = pd.DataFrame({"prompt": "p", "proxy": [1.0, 2, 3, 4, 5, 6, 7, 8], "gold": [1.0, 2, 4, 3, 2, 5, 4, 6]})
    (run,) = fit_rewards(rewards_of(frame), bootstrap=50).runs
    assert run.alpha_stderr > 0.01


def test_a_divergence_that_best_of_n_cannot_have_is_told() -> None:
    bound = kl_bound(BEST["n"].to_numpy(np.float64))
    assert codes(BEST.assign(kl=bound * 1.05)) == []
    assert codes(BEST.assign(kl=bound * 3)) == ["kl-bound"]
    assert "and the table has more" in rewards_of(BEST.assign(kl=bound * 3)).warnings()[0].message


def test_a_folder_without_rewards(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a folder without rewards\.parquet"):
        read_rewards(tmp_path)
