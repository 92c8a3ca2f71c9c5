"""Exports as transformers loads them, and what transformers saves as we read it: the same logits, gradients, text."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from elsewhere import table
from flax import nnx

from scaling.data.corpus import CorpusSpec
from scaling.hf.folder import export_model, import_model, load_model
from scaling.hf.names import to_hf
from scaling.llama.config import LlamaConfig, RopeScaling
from scaling.llama.loss import cross_entropy
from scaling.llama.model import Llama
from scaling.llama.parameters import llama_with, named_parameters
from scaling.llama.rope_scaling import DynamicScaling, LinearScaling, YarnScaling
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.corpus_text import load_text
from scaling.train.checkpoints.parameters import write_parameters

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("torch"), pytest.mark.usefixtures("transformers")]

BASE = LlamaConfig(vocab=160, width=64, depth=3, heads=4, kv_heads=2, ffn=96, seq_len=160)
CASES = {
    "mha": replace(BASE, kv_heads=4),
    "gqa": BASE,
    "tied": replace(BASE, tie_embeddings=True),
    "long-rope": replace(BASE, rope_theta=500.0, rope_scaling=RopeScaling(4.0, 1.0, 4.0, original_context=64)),
    "qk-norm": replace(BASE, qk_norm=True),
    "head_size": replace(BASE, head_size=24),
    "qwen3": replace(BASE, qk_norm=True, head_size=32, attention_bias="all"),
    "qwen2": replace(BASE, attention_bias="qkv"),
    "mistral": replace(BASE, width=66, head_size=16),
    "linear": replace(BASE, rope_scaling=LinearScaling(4.0)),
    "dynamic": replace(BASE, seq_len=64, rope_scaling=DynamicScaling(4.0)),
    "yarn": replace(BASE, rope_theta=500.0, rope_scaling=YarnScaling(4.0, 64, attention_factor=1.1)),
}


def strong(config: LlamaConfig) -> dict[str, np.ndarray]:
    """Parameters large enough that every part is felt; gains are not 1."""
    random = np.random.default_rng(0)
    fresh = named_parameters(nnx.split(Llama(config, rngs=nnx.Rngs(0)))[1])
    return {
        name: (random.normal(1.5, 0.5, it.shape) * (0.3 if name.endswith("_bias") else it)).astype(np.float32)
        for name, it in fresh.items()
    }


def as_imported(config: LlamaConfig, parameters: dict[str, np.ndarray], folder: Path) -> Path:
    """A folder that ``export_model`` takes."""
    folder.mkdir()
    digest = write_parameters(folder / "parameters.safetensors", parameters)
    (folder / "model.json").write_text(
        json.dumps({"model": asdict(config), "special_ids": {"eos_token_id": 0}, "sha256": digest})
    )
    return folder


def logits_of(model: Any, tokens: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        logits: np.ndarray = model(torch.from_numpy(tokens)).logits.numpy()
    return logits


@pytest.mark.parametrize("case", CASES)
def test_both_directions_give_the_same_logits(case: str, tmp_path: Path, transformers: Any) -> None:
    config = CASES[case]
    tokens = parity.random_tokens(replace(config, seq_len=BASE.seq_len), 1)  # also beyond the old context
    parameters = strong(config)
    ours = np.asarray(llama_with(config, parameters).logits(jnp.asarray(tokens, jnp.int32)))
    assert ours.std() > 0.3
    export_model(as_imported(config, parameters, tmp_path / "mine"), tmp_path / "out")
    model, reported = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(reported.values())
    np.testing.assert_allclose(ours, logits_of(model, tokens), rtol=0, atol=1e-4)

    for precision in ("float32", "bfloat16"):
        saved, back = tmp_path / precision, tmp_path / f"{precision}-back"
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=precision).save_pretrained(
            saved, max_shard_size="20KB"
        )
        assert len(list(saved.glob("*.safetensors"))) > 1
        assert import_model(saved, back).model == config
        again = transformers.AutoModelForCausalLM.from_pretrained(saved, dtype="float32")
        read = np.asarray(llama_with(*load_model(back)).logits(jnp.asarray(tokens, jnp.int32)))
        np.testing.assert_allclose(read, logits_of(again, tokens), rtol=0, atol=1e-4)


def test_gradients_are_the_same(tmp_path: Path, transformers: Any) -> None:
    import torch

    config, tokens = CASES["gqa"], parity.random_tokens(CASES["gqa"], 2)
    parameters = strong(config)
    graph, state = nnx.split(llama_with(config, parameters))
    ids = jnp.asarray(tokens, jnp.int32)

    def loss(state: nnx.State) -> jax.Array:
        model = nnx.merge(graph, state)
        return cross_entropy(model(ids[:, :-1]), model.head, ids[:, 1:]).mean()

    ours = to_hf(config, named_parameters(jax.grad(loss)(state)))
    export_model(as_imported(config, parameters, tmp_path / "mine"), tmp_path / "out")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    model(torch.from_numpy(tokens), labels=torch.from_numpy(tokens)).loss.backward()
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(ours[name], parameter.grad.numpy(), rtol=1e-3, atol=1e-6, err_msg=name)


def test_a_model_trained_here_speaks_through_transformers(tmp_path: Path, quickstart: Path, transformers: Any) -> None:
    import torch

    rows = table(quickstart)
    best = rows[rows.status.eq("done")].sort_values("loss").iloc[0]
    folder = SweepFolder(quickstart).run(best.run_id)
    export_model(folder.path, tmp_path / "out")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")

    config = folder.config()
    text = load_text(CorpusSpec.model_validate(config.data.corpus)).of_run(config)
    windows = torch.from_numpy(np.asarray(text.windows, np.int64))
    with torch.no_grad():
        logits = torch.cat([model(part[:, :-1]).logits for part in windows.split(64)])
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten()).item()
    assert loss == pytest.approx(best.loss, abs=1e-4)

    prompt = tokenizer("The people of the United States", return_tensors="pt")
    assert prompt["input_ids"][0].tolist() == list(b"The people of the United States")
    said = tokenizer.decode(model.generate(**prompt, max_new_tokens=40, do_sample=False, pad_token_id=0)[0])
    assert said.startswith("The people of the United States")
    assert len(said) > len("The people of the United States")
