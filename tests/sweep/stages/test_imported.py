"""Every stage on an imported Llama, with a tokenizer and a chat template of its own and data in chat format."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from posttraining.chat_tokenizers import byte_level
from safetensors.numpy import save_file

from scaling.chain import ChainPipeline
from scaling.hf.config import llama_of
from scaling.hf.folder import import_model
from scaling.hf.names import parts
from scaling.sweep.stages.chain_file import parse_chain

CHAIN = """\
name: chat
x-recipe: &recipe {{name: llama, learning_rate: 1e-3, batch: 8}}
stages:
  sft: {{from: {model}, data: {{path: {folder}/messages.jsonl}}, recipe: *recipe, fit: {{examples: 48, epochs: 2}}}}
  reward:
    from: sft
    data: {{path: {folder}/pairs.jsonl, margin: rating}}
    margin: small
    recipe: *recipe
    fit: {{pairs: 48}}
  best: {{stage: best_of_n, policy: sft, reward: reward, data: {{path: {folder}/messages.jsonl}}, prompts: 3, n: 4}}
  ppo:
    from: sft
    reward: reward
    data: {{path: {folder}/messages.jsonl}}
    recipe: *recipe
    iterations: 2
    answers: 16
    measured: 8
    fit: {{kl: 0.1}}
  dpo: {{from: sft, data: {{path: {folder}/pairs.jsonl}}, recipe: *recipe, measured: 8, fit: {{pairs: 48, beta: 0.1}}}}
"""
WORDS = ("fox", "dog", "end", "brown", "lazy")


def turns(*contents: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[at % 2], "content": content} for at, content in enumerate(contents)]


def jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tiny Llama as Hugging Face's folders hold it, imported."""
    given = byte_level(tmp_path / "given")
    tokenizer = json.loads((given / "tokenizer.json").read_text())
    ids = [*tokenizer["model"]["vocab"].values(), *(token["id"] for token in tokenizer["added_tokens"])]
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": max(ids) + 1,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 24,
        "max_position_embeddings": 96,
    }
    (given / "config.json").write_text(json.dumps(config))
    random = np.random.default_rng(0)
    shapes = {part.theirs: part.shape for part in parts(llama_of(config, "config.json"))}
    weights = {name: random.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(weights, given / "model.safetensors")
    import_model(given, tmp_path / "llama")
    return tmp_path / "llama"


@pytest.mark.slow
def test_each_stage_runs_on_an_imported_llama(model: Path, tmp_path: Path) -> None:
    asked = [f"what does the {word} number {at} do" for at in range(20) for word in WORDS]
    jsonl(tmp_path / "messages.jsonl", ({"messages": turns(text, f"it jumps, the {text[14:19]}")} for text in asked))
    pairs = (
        {"chosen": turns(text, "it jumps over"), "rejected": turns(text, "no"), "rating": len(text) % 4}
        for text in asked
    )
    jsonl(tmp_path / "pairs.jsonl", pairs)
    text = CHAIN.format(model=model, folder=tmp_path)
    out = tmp_path / "out"
    results = ChainPipeline(parse_chain(text, "chat.yaml"), text, out, None, lambda *_: None).run()
    assert [result.name for result in results] == ["sft", "reward", "best", "ppo", "dpo"]
    tables = {result.name: pd.read_parquet(result.folder / "runs.parquet").iloc[0] for result in results}
    assert all(row.status == "done" for row in tables.values())
    assert tables["sft"].loss < np.log(400)  # that of tokens drawn evenly
    assert tables["reward"].accuracy > 0.9  # the longer answer is the better one
    for name in ("best", "ppo", "dpo"):
        rewards = pd.read_parquet(out / name / "rewards.parquet")
        assert "gold" not in rewards or rewards.gold.isna().all()
        samples = json.loads((out / name / "samples.json").read_text())
        assert samples
        assert all("<|" not in sample["answer"] for sample in samples)
