"""Logs of TRL's and verl's trainers as tables of rewards: every column by the name that the trainer gives it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from inprocess import scaling

from analysis.errors import InputError
from analysis.imports.records import Log, LoggedRun
from analysis.imports.rewards import rewards_of
from analysis.rewards.reading import read_rewards
from scaling.api.imports import Imported, import_runs


def state(place: Path, rows: list[dict[str, Any]]) -> Path:
    """A trainer_state.json, as Hugging Face's Trainer writes it."""
    content = {"global_step": rows[-1]["step"], "max_steps": rows[-1]["step"], "epoch": 1.0, "log_history": rows}
    place.mkdir(parents=True, exist_ok=True)
    file = place / "trainer_state.json"
    file.write_text(json.dumps(content))
    return file


def rewards(*sources: Path, **columns: str) -> Imported:
    return import_runs(list(sources), columns=columns, table="rewards")


def codes(made: Imported) -> list[str]:
    return [warning.code for warning in made.warnings]


# The names are those of TRL 1.16 (and of its PPO trainer before that), the values made up.
PPO = [
    {"step": s, "eps": 3, "objective/kl": kl, "objective/entropy": 40.0, "objective/non_score_reward": -0.1,
     "objective/rlhf_reward": 0.4, "objective/scores": score, "policy/approxkl_avg": 9.0, "val/ratio": 1.0,
     "val/num_eos_tokens": 12, "lr": 1e-6, "episode": 8 * s}
    for s, kl, score in ((1, 0.1, 0.2), (2, 1.5, 0.9))
]  # fmt: skip
GRPO = [
    {"step": s, "loss": 0.01, "grad_norm": 0.3, "reward": r, "reward_std": 0.2, "rewards/reader/mean": r, "kl": kl,
     "completions/mean_length": length, "completions/min_length": 1.0, "completions/max_length": 64.0,
     "completions/clipped_ratio": 0.25, "completions/mean_terminated_length": 9.0, "num_tokens": 100.0}
    for s, r, kl, length in ((10, 0.5, 0.01, 20.0), (20, 0.75, 0.05, 30.0))
] + [{"step": 20, "eval_reward": 0.7, "eval_loss": 0.0}]  # fmt: skip
DPO = [
    {"step": 5, "loss": 0.69, "rewards/chosen": 0.0, "rewards/rejected": 0.0, "rewards/accuracies": 0.25,
     "rewards/margins": 0.0, "logps/chosen": -50.0, "logps/rejected": -60.0, "entropy": 1.0, "num_tokens": 10.0},
    {"step": 5, "eval_loss": 0.68, "eval_rewards/accuracies": 0.5, "eval_rewards/margins": 0.01,
     "eval_logps/chosen": -51.0, "eval_logps/rejected": -61.0},
    {"step": 10, "loss": 0.5, "rewards/accuracies": 0.75, "rewards/margins": 0.5, "logps/chosen": -55.0,
     "logps/rejected": -70.0},
    {"step": 10, "eval_loss": 0.6, "eval_rewards/accuracies": 0.625, "eval_rewards/margins": 0.2,
     "eval_logps/chosen": -56.0, "eval_logps/rejected": -71.0},
]  # fmt: skip
REWARD = [
    {"step": 2, "loss": 0.7, "min_reward": -1.0, "mean_reward": 0.0, "max_reward": 1.0, "accuracy": 0.5, "margin": 0.1},
    {"step": 4, "loss": 0.6, "min_reward": -1.0, "mean_reward": 0.0, "max_reward": 1.0, "accuracy": 0.8, "margin": 0.4},
]


def test_ppo_logs_the_divergence_of_whole_answers(tmp_path: Path) -> None:
    made = rewards(state(tmp_path / "ppo", PPO))
    frame = made.to_frame()
    assert frame[["run_id", "step", "kl", "proxy"]].to_numpy().tolist() == [["ppo", 1, 0.1, 0.2], ["ppo", 2, 1.5, 0.9]]
    assert made.to_dict()["recognised"] == {"run_id": "folder", "kl": "objective/kl", "proxy": "objective/scores"}
    assert codes(made) == ["no-gold"]


def test_grpo_logs_the_divergence_of_a_token(tmp_path: Path) -> None:
    """Taken as it is, a table would say that the policy has hardly moved."""
    made = rewards(state(tmp_path / "grpo", GRPO))
    frame = made.to_frame()
    np.testing.assert_allclose(frame["kl"], [0.2, 1.5])
    assert frame[["proxy", "length", "stopped"]].to_numpy().tolist() == [[0.5, 20, 0.75], [0.75, 30, 0.75]]
    assert "loss" not in frame  # that of a policy
    assert made.to_dict()["recognised"]["kl"] == "kl x completions/mean_length"
    assert codes(made) == ["kl-per-token", "no-gold"]
    bare = [{k: v for k, v in row.items() if not k.startswith("completions/")} for row in GRPO]
    made = rewards(state(tmp_path / "bare", bare))
    assert "kl" not in made.to_frame()
    assert "kl-per-token" in codes(made)


def test_pairs_are_judged_by_the_evaluation(tmp_path: Path) -> None:
    state(tmp_path / "dpo", DPO)
    state(tmp_path / "reward", REWARD)
    made = rewards(tmp_path)  # of two trainers, which name their metrics differently
    frame = made.to_frame().set_index(["run_id", "step"])
    assert frame.loc[("dpo", 10), ["accuracy", "loss", "margin", "logp_chosen", "logp_rejected"]].tolist() == [
        *(0.625, 0.6, 0.2, -56.0, -71.0)
    ]
    assert frame.loc["reward", ["accuracy", "loss", "margin"]].to_numpy().tolist() == [[0.5, 0.7, 0.1], [0.8, 0.6, 0.4]]
    assert codes(made) == ["training-loss"]


VERL = (
    "\x1b[36m(TaskRunner pid=871)\x1b[0m step:{step} - global_seqlen/min:336403.000 - actor/kl_loss:{kl} - "
    "actor/ppo_kl:-8.1e-06 - critic/score/mean:{score} - critic/score/max:1.0 - critic/rewards/mean:0.5 - "
    "response_length/mean:{length} - response_length/max:1024.0 - response_length/clip_ratio:0.25 - "
    "perf/throughput:np.float64(1432.5) - timing_s/gen:29.316{more}"
)
ROWS = [(1, 0.0, 0.25, 100.0), (2, 0.01, 0.5, 200.0), (3, 0.02, 0.75, 150.0)]


def verl_console(place: Path) -> Path:
    lines = [
        "step:0 - val-core/openai/gsm8k/acc/mean@1:0.508 - val-aux/openai/gsm8k/score/mean@1:0.565",
        "noise step:9",
    ]
    for step, kl, score, length in ROWS:
        more = " - val-core/openai/gsm8k/acc/mean@1:0.625" if step == 3 else ""
        lines.append(VERL.format(step=step, kl=kl, score=score, length=length, more=more))
    file = place / "qwen-grpo.log"
    file.write_text("\n".join(lines) + "\n")
    return file


def verl_file(place: Path) -> Path:
    rows = [
        {"step": step, "data": {"actor/kl_loss": kl, "actor/ppo_kl": -8e-6, "critic/score/mean": score,
                                "response_length/mean": length, "response_length/clip_ratio": 0.25}}
        for step, kl, score, length in ROWS
    ]  # fmt: skip
    rows[2]["data"]["val-core/openai/gsm8k/acc/mean@1"] = 0.625  # type: ignore[index]
    first = {"step": 0, "data": {"val-core/openai/gsm8k/acc/mean@1": 0.508}}
    file = place / "qwen-grpo.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [first, *rows]) + '{"step": 4, "da')
    return file


@pytest.mark.parametrize("write", [verl_console, verl_file], ids=["console", "file"])
def test_verl(write: Any, tmp_path: Path) -> None:
    """The divergence within an update, ``actor/ppo_kl``, is not the way from the start."""
    file = write(tmp_path)
    made = rewards(file)
    frame = made.to_frame()
    assert frame["run_id"].unique().tolist() == ["qwen-grpo"]
    assert frame["step"].tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(frame["kl"], [np.nan, 0, 2, 3])
    np.testing.assert_allclose(frame["proxy"], [np.nan, 0.25, 0.5, 0.75])
    np.testing.assert_allclose(frame["accuracy"], [0.508, np.nan, np.nan, 0.625])
    np.testing.assert_allclose(frame["stopped"], [np.nan, 0.75, 0.75, 0.75])
    assert made.to_dict()["recognised"]["accuracy"] == "val-core/openai/gsm8k/acc/mean@1"
    assert ("torn-lines" in codes(made)) == (write is verl_file)
    assert rewards(tmp_path).to_frame().equals(frame)
    with pytest.raises(InputError, match="--as rewards"):
        import_runs(file)


def test_of_several_data_sets_one_is_taken_and_the_others_are_named() -> None:
    series = {f"val-core/{name}/acc/mean@8": [(1.0, value)] for name, value in (("gsm8k", 0.5), ("aime", 0.1))}
    frame, taken, notes = rewards_of(Log("verl", "", [LoggedRun("a", "a", None, {}, series)], "file"), "log")
    assert taken["accuracy"] == "val-core/aime/acc/mean@8"
    assert frame["accuracy"].tolist() == [0.1]
    assert [note.code for note in notes] == ["other-losses"]


def test_names_of_a_tracker_and_of_the_user(tmp_path: Path) -> None:
    """W&B keeps the Trainer's metrics below train/ and eval/."""
    run = {f"train/{name}": [(1.0, float(value))] for name, value in PPO[0].items() if name != "step"}
    log = Log("W&B", "", [LoggedRun("a", "a", None, {}, {**run, "mine": [(1.0, 2.5)]})], "name")
    frame, taken, _ = rewards_of(log, "wandb")
    assert (taken["kl"], frame["proxy"].tolist()) == ("train/objective/kl", [0.2])
    frame, taken, notes = rewards_of(log, "wandb", {"gold": "mine", "win_rate": "0.5"})
    assert (frame["gold"].tolist(), frame["win_rate"].tolist()) == ([2.5], [0.5])
    assert notes == []
    with pytest.raises(InputError, match="logs no such number"):
        rewards_of(log, "wandb", {"gold": "mind"})
    with pytest.raises(InputError, match="did you mean 'gold'"):
        rewards(state(tmp_path / "x", PPO), golden="mine")


def test_what_trains_no_policy_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no column of a table of rewards is recognised"):
        rewards(state(tmp_path / "sft", [{"step": 1, "loss": 2.0}, {"step": 1, "eval_loss": 2.1}]))


def test_the_command_and_its_table(tmp_path: Path) -> None:
    """What is written is read as curves, of which over-optimisation is fitted and drawn."""
    out = tmp_path / "rewards.parquet"
    done = scaling("import-runs", state(tmp_path / "ppo", PPO), "--as", "rewards", "-o", out)
    assert done.returncode == 0, done.stderr
    assert "runs        1, 2 rows" in done.stdout.splitlines()
    assert pd.read_parquet(out)["kl"].tolist() == [0.1, 1.5]
    (curve,) = read_rewards(out).curves
    assert curve.kl.tolist() == [0.1, 1.5]
