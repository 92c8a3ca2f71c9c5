"""Reward models and policies that TRL trains: their logs are read by the names that it really writes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scaling.api.imports import import_runs

pytestmark = pytest.mark.slow

TRAIN = """
import sys
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, RewardConfig, RewardTrainer

words = {word: at for at, word in enumerate(["<pad>", "<eos>", "<unk>", *"abcdefgh"])}
raw = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
raw.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
shape = dict(
    vocab_size=len(words), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
    max_position_embeddings=32, pad_token_id=0, eos_token_id=1, bos_token_id=1,
)
pairs = Dataset.from_list([{"prompt": "a b", "chosen": " c d e", "rejected": " f"}] * 8)
usual = dict(
    max_steps=4, eval_steps=2, eval_strategy="steps", logging_steps=2, save_steps=4, per_device_train_batch_size=4,
    per_device_eval_batch_size=4, report_to=[], use_cpu=True, disable_tqdm=True, learning_rate=1e-2, bf16=False,
    gradient_checkpointing=False,
)
torch.manual_seed(0)
reward = LlamaForSequenceClassification(LlamaConfig(**shape, num_labels=1))
RewardTrainer(
    model=reward, args=RewardConfig(f"{sys.argv[1]}/reward", max_length=16, **usual), processing_class=tokenizer,
    train_dataset=pairs, eval_dataset=pairs,
).train()
start = f"{sys.argv[1]}/start"  # from which TRL reads the reference
LlamaForCausalLM(LlamaConfig(**shape)).save_pretrained(start)
DPOTrainer(
    model=LlamaForCausalLM.from_pretrained(start), args=DPOConfig(f"{sys.argv[1]}/dpo", max_length=16, **usual),
    processing_class=tokenizer, train_dataset=pairs, eval_dataset=pairs,
).train()
usual |= dict(eval_strategy="no")
GRPOTrainer(
    model=LlamaForCausalLM.from_pretrained(start), processing_class=tokenizer,
    train_dataset=pairs.select_columns(["prompt"]),
    reward_funcs=lambda completions, **_: [float(text.count("c")) for text in completions],
    args=GRPOConfig(f"{sys.argv[1]}/grpo", num_generations=4, max_completion_length=8, beta=0.1, **usual),
).train()
"""


def test_what_trl_has_trained(tmp_path: Path) -> None:
    for package in ("trl", "transformers", "accelerate", "datasets"):
        pytest.importorskip(package, reason=f"needs {package}, of the extra parity")
    command = [sys.executable, "-W", "ignore", "-c", TRAIN, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    made = import_runs(tmp_path, table="rewards")
    frame = made.to_frame().set_index(["run_id", "step"])
    assert {"reward", "dpo", "grpo"} == set(frame.index.get_level_values("run_id"))
    logged = {name: histories(tmp_path / name) for name in ("reward", "dpo", "grpo")}
    for step in (2, 4):
        for name, accuracy, margin in (
            ("reward", "eval_accuracy", "eval_margin"),
            ("dpo", "eval_rewards/accuracies", "eval_rewards/margins"),
        ):
            row, told = frame.loc[(name, step)], logged[name][step]
            assert (row["accuracy"], row["margin"], row["loss"]) == (told[accuracy], told[margin], told["eval_loss"])
        assert frame.loc[("dpo", step), "logp_chosen"] == logged["dpo"][step]["eval_logps/chosen"]
        row, told = frame.loc[("grpo", step)], logged["grpo"][step]
        assert row["proxy"] == told["reward"]
        assert row["length"] == told["completions/mean_length"]
        assert row["stopped"] == 1 - told["completions/clipped_ratio"]
        assert row["kl"] == pytest.approx(told["kl"] * told["completions/mean_length"], rel=1e-12)
    assert (frame["params"] > 0).all()


def histories(folder: Path) -> dict[int, dict[str, float]]:
    """What the last checkpoint's state has logged, by step."""
    (file,) = folder.glob("checkpoint-4/trainer_state.json")
    rows: dict[int, dict[str, float]] = {}
    for row in json.loads(file.read_text())["log_history"]:
        rows.setdefault(row["step"], {}).update(row)
    return rows
