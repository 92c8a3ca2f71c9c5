"""Reward models, and runs after pre-training, as transformers' folders and back: the same scores, tokens and chats."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flax import nnx
from posttraining.chat_tokenizers import byte_level
from safetensors.numpy import load_file, save_file

from scaling.data.answers.formats.jinja import BUILT_IN
from scaling.data.tokenizer import BYTES
from scaling.hf.config import config_of, has_score
from scaling.hf.folder import export_model, import_model, load_model
from scaling.llama.config import LlamaConfig, canonical
from scaling.llama.model import Llama
from scaling.llama.parameters import named_parameters
from scaling.posttrain.config import SCORE, Source, StageConfig, StageRecipe
from scaling.posttrain.rewards.rewarding import RewardScorer
from scaling.posttrain.stage import Model
from scaling.sweep.folder.run_folder import RunFolder
from scaling.sweep.storage.folder_locks import locks_of
from scaling.train.checkpoints.parameters import write_parameters
from scaling.train.recipe import Rates, Schedule

TINY = LlamaConfig(vocab=256, width=16, depth=2, heads=2, kv_heads=1, ffn=24, seq_len=64, tie_embeddings=True)

WIDE = LlamaConfig(vocab=160, width=64, depth=3, heads=4, kv_heads=2, ffn=96, seq_len=160)
CASES = {
    "tied": replace(WIDE, tie_embeddings=True),
    "gqa": WIDE,
    "qwen2": replace(WIDE, attention_bias="qkv"),
    "qwen3": replace(WIDE, qk_norm=True, head_size=32, attention_bias="all"),
    "mistral": replace(WIDE, width=66, head_size=16),
}


def strong(model: LlamaConfig) -> dict[str, np.ndarray]:
    """Parameters large enough that every part is felt; gains are not 1."""
    random = np.random.default_rng(0)
    fresh = named_parameters(nnx.split(Llama(model, rngs=nnx.Rngs(0)))[1])
    return {
        name: (random.normal(1.5, 0.5, it.shape) * (0.3 if name.endswith("_bias") else it)).astype(np.float32)
        for name, it in fresh.items()
    }


def with_score(model: LlamaConfig) -> dict[str, np.ndarray]:
    head = np.random.default_rng(1).normal(size=model.width).astype(np.float32)
    return {**strong(model), SCORE: head}


def as_imported(model: LlamaConfig, parameters: dict[str, np.ndarray], folder: Path, **special: Any) -> Path:
    folder.mkdir()
    digest = write_parameters(folder / "parameters.safetensors", parameters)
    content = {"model": canonical(model), "special_ids": {"eos_token_id": 0, **special}, "sha256": digest}
    (folder / "model.json").write_text(json.dumps(content))
    return folder


def as_run(
    folder: Path, stage: Any, model: LlamaConfig, parameters: dict[str, np.ndarray], data: dict[str, Any]
) -> Path:
    """The folder of a stage's run that is done."""
    recipe = StageRecipe("tiny", 8, Rates(*[1e-3] * 8), 0.0, 0.9, 0.95, 1.0, Schedule("wsd", 0.0, 0.5, 0.0))
    settings = {"examples": 8} if stage == "sft" else {"pairs": 8}
    source = Source("base/runs/0", "0", model)
    config = StageConfig(stage, model, {"start": source}, data, settings, recipe, 1, 1, 0)
    run = RunFolder(folder / "runs" / config.id, locks_of(folder))
    run.path.mkdir(parents=True)
    (run.path / "config.json").write_text(config.to_json())
    run.finish({"state": "done", "parameters_sha256": run.keep(parameters)})
    return run.path


def data_of(place: Path | None = None, **answers: Any) -> dict[str, Any]:
    tokenizer = {"name": "bytes", "hash": BYTES.hash, "place": None if place is None else str(place)}
    return {"answers": answers or {"name": "sentences"}, "sha256": "0", "tokenizer": tokenizer}


@pytest.mark.slow
@pytest.mark.xdist_group("torch")
@pytest.mark.parametrize("case", ["tied", "gqa", "qwen2"])
def test_scores_are_those_of_transformers(case: str, tmp_path: Path, transformers: Any) -> None:
    """Bug 8, against its reference: rows of unlike lengths in one batch, each scored at its last token."""
    import torch

    model = CASES[case]
    ours = Model(model, with_score(model))
    export_model(as_imported(model, dict(ours.parameters), tmp_path / "mine", pad_token_id=159), tmp_path / "out")
    theirs, reported = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not any(reported.values())
    random = np.random.default_rng(2)
    lengths = np.array([5, 40, 17, 64], np.int32)
    tokens = np.full((4, 64), 159, np.int32)
    for row, length in enumerate(lengths):
        tokens[row, :length] = random.integers(0, 150, length)
    scores = RewardScorer(ours).score(tokens, lengths)
    with torch.no_grad():
        found = theirs(torch.from_numpy(tokens).long()).logits.numpy()[:, 0]
    assert scores.std() > 0.3
    np.testing.assert_allclose(scores, found, atol=1e-4)
    assert abs(RewardScorer(ours).score(tokens, lengths - 1) - found).max() > 1e-2, "one token early: the seeded fault"

    for precision in ("float32", "bfloat16"):
        saved, back = tmp_path / precision, tmp_path / f"{precision}-back"
        kind = transformers.AutoModelForSequenceClassification
        kind.from_pretrained(tmp_path / "out", dtype=precision).save_pretrained(saved, max_shard_size="20KB")
        done = import_model(saved, back)
        assert done.score
        assert done.model == replace(model, tie_embeddings=True)
        with torch.no_grad():
            again = kind.from_pretrained(saved, dtype="float32")(torch.from_numpy(tokens).long()).logits.numpy()[:, 0]
        np.testing.assert_allclose(RewardScorer(Model(*load_model(back))).score(tokens, lengths), again, atol=1e-4)


@pytest.mark.slow
@pytest.mark.xdist_group("torch")
def test_a_stages_reward_model_scores_text(tmp_path: Path, transformers: Any) -> None:
    """Bug 9: through the exported tokenizer, a batch of texts with their ends is scored as it was trained."""
    import torch

    ours = Model(TINY, with_score(TINY))
    place = as_run(tmp_path / "reward", "reward", TINY, dict(ours.parameters), data_of())
    assert export_model(place, tmp_path / "out").score
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    texts = ["We are", "We are strong and free."]
    rows = [np.append(np.frombuffer(text.encode(), np.uint8), 0).astype(np.int32) for text in texts]
    ids = [tokenizer(text + tokenizer.eos_token, add_special_tokens=False).input_ids for text in texts]
    assert ids == [row.tolist() for row in rows]
    tokens = np.full((2, 32), theirs.config.pad_token_id)
    for at, row in enumerate(ids):
        tokens[at, : len(row)] = row
    with torch.no_grad():
        found = theirs(torch.from_numpy(tokens).long()).logits.numpy()[:, 0]
    np.testing.assert_allclose(RewardScorer(ours).score_rows(rows), found, atol=1e-4)


@pytest.mark.slow
@pytest.mark.xdist_group("torch")
def test_a_policy_keeps_its_chat_template(tmp_path: Path, transformers: Any) -> None:
    parameters = strong(TINY)
    place = as_run(tmp_path / "sft", "sft", TINY, parameters, data_of(path="chats.jsonl", template=None))
    export_model(place, tmp_path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    messages = [
        {"role": "user", "content": "Who are you?"},
        {"role": "assistant", "content": "A Llama."},
        {"role": "user", "content": "Where?"},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    theirs = tokenizer(text, add_special_tokens=False).input_ids
    assert theirs == list(b"\x01Who are you?\x02A Llama.\x00\x01Where?\x02")
    named = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").num_parameters()
    assert named == sum(array.size for array in parameters.values())


@pytest.mark.parametrize("untied", [False, True])
def test_a_reward_model_comes_back(untied: bool, tmp_path: Path) -> None:
    model = replace(TINY, tie_embeddings=not untied)
    parameters = with_score(model)
    place = as_run(tmp_path / "reward", "reward", model, parameters, data_of())
    export_model(place, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == ["LlamaForSequenceClassification"]
    assert config["id2label"] == {"0": "LABEL_0"}
    assert (config["eos_token_id"], config["pad_token_id"]) == (0, 255)
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    assert "lm_head.weight" not in tensors
    assert tensors["score.weight"].shape == (1, 16)
    done = import_model(tmp_path / "out", tmp_path / "back")
    assert done.score
    read = load_model(tmp_path / "back")[1]
    assert read.keys() == parameters.keys() - {"output"}
    for name, array in read.items():
        np.testing.assert_array_equal(array, parameters[name])
    export_model(tmp_path / "back", tmp_path / "again")
    assert load_file(tmp_path / "again" / "model.safetensors").keys() == tensors.keys()
    assert (tmp_path / "again" / "tokenizer.json").read_bytes() == (tmp_path / "out" / "tokenizer.json").read_bytes()


def test_a_language_model_has_no_score(tmp_path: Path) -> None:
    place = as_run(tmp_path / "sft", "sft", TINY, strong(TINY), data_of())
    assert not export_model(place, tmp_path / "out").score
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert "id2label" not in config
    assert not import_model(tmp_path / "out", tmp_path / "back").score
    assert SCORE not in load_model(tmp_path / "back")[1]
    assert "chat_template" not in json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())


def test_an_imported_models_tokenizer_and_template_are_kept(tmp_path: Path) -> None:
    """A run that began from an imported folder has its files, and no padding that is an end."""
    start = as_imported(TINY, strong(TINY), tmp_path / "start", bos_token_id=1, eos_token_id=[2, 3], pad_token_id=2)
    (start / "tokenizer.json").write_text("{}")
    (start / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}", "eos_token": "</s>"}')
    (start / "chat_template.jinja").write_text("{{ messages }}")
    place = as_run(tmp_path / "reward", "reward", TINY, with_score(TINY), data_of(start, path="pairs.jsonl"))
    export_model(place, tmp_path / "out")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (tmp_path / "out" / name).read_bytes() == (start / name).read_bytes()
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (1, [2, 3], None)

    own = as_run(tmp_path / "own", "sft", TINY, strong(TINY), data_of(start, path="chats.jsonl", template="chatml"))
    export_model(own, tmp_path / "other")
    settings = json.loads((tmp_path / "other" / "tokenizer_config.json").read_text())
    assert settings == {"chat_template": BUILT_IN["chatml"], "eos_token": "</s>"}


def reward_folder(folder: Path, **fields: Any) -> Path:
    model = replace(TINY, vocab=12)
    export_model(as_imported(model, with_score(model), folder / "mine"), folder / "given")
    file = folder / "given" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))
    return folder / "given"


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, "num_labels is 3; a reward model has one score, num_labels 1"),
        ({"num_labels": 5}, "num_labels is 5; a reward model has one score, num_labels 1"),
        ({"id2label": None}, "num_labels is 2; a reward model has one score, num_labels 1"),
        (
            {"architectures": ["LlamaForTokenClassification"]},
            "architectures is LlamaForTokenClassification; only classes ForCausalLM and ForSequenceClassification are "
            "read",
        ),
        ({"architectures": "Llama"}, "architectures is 'Llama'; it must be a list of names"),
    ],
    ids=["three labels", "num_labels", "no labels", "of tokens", "no list"],
)
def test_other_heads_are_refused(
    fields: dict[str, Any], line: str, tmp_path: Path, refused: Callable[[Path], list[str]]
) -> None:
    place = reward_folder(tmp_path, **fields)
    assert refused(place) == [f"error: {place / 'config.json'}: {line}"]


@pytest.mark.parametrize(
    ("name", "shape", "line"),
    [
        ("score.bias", (1,), "tensor score.bias: a score with a bias cannot be read"),
        ("score.weight", (2, 16), "tensor score.weight has shape [2, 16]; config.json says [1, 16]"),
        ("score.weight", None, "tensor score.weight is missing"),
    ],
    ids=["bias", "shape", "missing"],
)
def test_other_scores_are_refused(
    name: str, shape: tuple[int, ...] | None, line: str, tmp_path: Path, refused: Callable[[Path], list[str]]
) -> None:
    place = reward_folder(tmp_path)
    tensors = load_file(place / "model.safetensors")
    tensors.pop(name, None)
    if shape is not None:
        tensors[name] = np.ones(shape, np.float32)
    save_file(tensors, place / "model.safetensors")
    assert refused(place) == [f"error: {place}: {line}"]


def test_a_language_model_with_a_score_is_refused(tmp_path: Path, refused: Callable[[Path], list[str]]) -> None:
    place = reward_folder(tmp_path, architectures=["LlamaForCausalLM"])
    assert refused(place) == [f"error: {place}: tensor score.weight is none of such a model's"]


def test_the_class_of_each_architecture() -> None:
    for case, kind in (("qwen2", "Qwen2"), ("qwen3", "Qwen3"), ("mistral", "Mistral"), ("gqa", "Llama")):
        config = config_of(CASES[case], {}, score=True)
        assert config["architectures"] == [f"{kind}ForSequenceClassification"]
        assert has_score(config, "config.json")


def test_the_end_of_an_answer_is_an_end_of_the_policy(tmp_path: Path) -> None:
    """Of chatml the end of a turn, where the tokenizer closes a document with another id."""
    model = replace(TINY, vocab=400)
    start = as_imported(model, strong(model), tmp_path / "start")
    byte_level(start, template=None)
    ends = json.loads((start / "tokenizer.json").read_text())["added_tokens"]
    turn = next(token["id"] for token in ends if token["content"] == "<|im_end|>")
    place = as_run(tmp_path / "sft", "sft", model, strong(model), data_of(start, path="chats.jsonl", template="chatml"))
    export_model(place, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["eos_token_id"] == [0, turn]
    assert turn != 0
