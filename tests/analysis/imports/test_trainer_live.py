"""Runs that Hugging Face's Trainer has trained: parameters and tokens are those that it counts itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scaling.api.imports import import_runs

pytestmark = pytest.mark.slow
BATCH = 2 * 2 * 16  # sequences, steps of accumulation, ids

TRAIN = """
import json, sys
from pathlib import Path
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

class Noise(torch.utils.data.Dataset):
    def __len__(self):
        return 32
    def __getitem__(self, index):
        ids = torch.randint(0, 64, (16,), generator=torch.Generator().manual_seed(index))
        return {"input_ids": ids, "labels": ids}

shape = dict(vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
models = {
    "llama": LlamaForCausalLM(LlamaConfig(**shape)),
    "tied": LlamaForCausalLM(LlamaConfig(**shape, tie_word_embeddings=True)),
    "gpt2": GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=16, n_embd=16, n_layer=1, n_head=2)),
}
sizes = {}
for name, model in models.items():
    arguments = TrainingArguments(
        f"{sys.argv[1]}/{name}", max_steps=6, eval_steps=4, eval_strategy="steps", save_steps=6, logging_steps=2,
        per_device_train_batch_size=2, gradient_accumulation_steps=2, report_to=[], use_cpu=True, disable_tqdm=True,
        include_num_input_tokens_seen=sys.argv[2],
    )
    Trainer(model=model, args=arguments, train_dataset=Noise(), eval_dataset=Noise()).train()
    sizes[name] = model.num_parameters()
Path(sys.argv[1], "sizes.json").write_text(json.dumps(sizes))
"""


@pytest.mark.parametrize("counting", ["no", "all"])
def test_what_the_trainer_has_trained(counting: str, tmp_path: Path) -> None:
    pytest.importorskip("accelerate", reason="needs accelerate, of the extra parity")
    pytest.importorskip("transformers")
    command = [sys.executable, "-W", "ignore", "-c", TRAIN, str(tmp_path), counting]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sizes = json.loads((tmp_path / "sizes.json").read_text())
    made = import_runs(tmp_path)
    frame = made.to_frame().set_index("run_id")
    assert frame["params"].to_dict() == sizes
    assert frame["tokens"].tolist() == [6 * BATCH] * 3
    assert set(frame["status"]) == {"finished"}
    counted = {"no": "total_flos / 6 (N - embedding)", "all": "num_input_tokens_seen"}
    assert made.to_dict()["recognised"]["tokens"] == counted[counting]
    for name in sizes:
        (file,) = (tmp_path / name).glob("checkpoint-*/trainer_state.json")
        state = json.loads(file.read_text())
        losses = {row["step"]: row["eval_loss"] for row in state["log_history"] if "eval_loss" in row}
        assert frame.loc[name, "loss"] == losses[6]
        state["log_history"] = [row for row in state["log_history"] if not (row["step"] == 6 and "eval_loss" in row)]
        file.write_text(json.dumps(state))
    earlier = import_runs(tmp_path).to_frame()  # whose last evaluation is that of step 4
    assert earlier["tokens"].tolist() == [4 * BATCH] * 3
    assert earlier.set_index("run_id").loc[name, "loss"] == losses[4]
