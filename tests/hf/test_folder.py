"""Hugging Face's folders, written and read without transformers: names, shapes, tokenizers, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import parity
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file
from tiny import make_run

from scaling.cli import main
from scaling.data.tokenizer import BYTES
from scaling.hf.config import config_of, llama_of
from scaling.hf.folder import export_model, import_model, load_model
from scaling.hf.names import from_hf, parts, to_hf
from scaling.llama.config import LlamaConfig, RopeScaling
from scaling.llama.model import Llama
from scaling.llama.parameters import named_parameters
from scaling.llama.rope_scaling import DynamicScaling, LinearScaling, YarnScaling
from scaling.sweep.folder.run_folder import RunFolder
from scaling.sweep.locks.local import LocalLocks

GQA = parity.CASES["gqa"]
OURS = {
    "qk-norm": replace(GQA, qk_norm=True),
    "head_size": replace(GQA, head_size=12),
    "norms, head_size and biases": replace(GQA, qk_norm=True, head_size=12, attention_bias="all"),
    "biases of queries, keys and values": replace(GQA, attention_bias="qkv"),
    "all biases": replace(GQA, attention_bias="all"),
    "a width that heads do not divide": replace(GQA, width=34, head_size=12),
    "linear": replace(GQA, rope_scaling=LinearScaling(4.0)),
    "dynamic": replace(GQA, rope_scaling=DynamicScaling(4.0)),
    "yarn": replace(GQA, rope_scaling=YarnScaling(4.0, 8, attention_factor=1.2, beta_slow=2.0, truncate=False)),
}
CASES = {**parity.CASES, **OURS}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def fresh(config: LlamaConfig) -> dict[str, np.ndarray]:
    return named_parameters(nnx.split(Llama(config, rngs=nnx.Rngs(0)))[1])


def finished(folder: Path) -> RunFolder:
    """A run's folder as it is when the run is done; its parameters are those it began with."""
    config = make_run()
    config = replace(config, data=replace(config.data, tokenizer={"name": "bytes", "hash": BYTES.hash}))
    run = RunFolder(folder / config.id, LocalLocks())
    run.path.mkdir(parents=True)
    (run.path / "config.json").write_text(config.to_json())
    digest = run.keep(fresh(config.model))
    run.finish({"state": "done", "step": 1, "steps": 1, "loss": 1.0, "parameters_sha256": digest})
    return run


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    run = finished(tmp_path)
    assert export_model(run.path, tmp_path / "exported").without is None
    return tmp_path / "exported"


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> list[str]:
    """The lines of a command that refuses its input."""
    with pytest.raises(SystemExit) as exit_info:
        main([str(arg) for arg in args])
    captured = capsys.readouterr()
    assert (exit_info.value.code, captured.out) == (2, "")
    lines: list[str] = captured.err.splitlines()
    assert all(line.startswith("error: ") for line in lines)
    return lines


@pytest.mark.parametrize("case", CASES)
def test_names_there_and_back_are_the_same_parameters(case: str) -> None:
    config = CASES[case]
    parameters = fresh(config)
    theirs = to_hf(config, parameters)
    assert {part.theirs: part.shape for part in parts(config)} == {name: it.shape for name, it in theirs.items()}
    back = from_hf(config, theirs.__getitem__)
    assert back.keys() == parameters.keys()
    for name, array in parameters.items():
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize("case", sorted(parity.CASES))
def test_names_are_those_that_the_stored_logits_were_made_with(case: str) -> None:
    config = CASES[case]
    weights = parity.random_weights(config, 0)
    mine = from_hf(config, lambda name: weights[name].astype(np.float32))
    model = named_parameters(nnx.split(parity.load(config, weights))[1])
    for name, array in model.items():
        np.testing.assert_array_equal(mine[name], array)


@pytest.mark.parametrize("case", CASES)
def test_a_shape_there_and_back_is_the_same(case: str) -> None:
    written = json.loads(json.dumps(config_of(CASES[case], {})))
    assert llama_of(written, "config.json") == CASES[case]
    # As version 4 has it.
    assert llama_of({**written, "rope_parameters": None}, "config.json") == CASES[case]
    # As version 5 has it.
    assert llama_of({**written, "rope_scaling": None, "rope_theta": None}, "config.json") == CASES[case]


def test_old_config_files_are_read() -> None:
    llama1 = {
        "model_type": "llama",
        "vocab_size": 32000,
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "intermediate_size": 11008,
    }
    model = llama_of(llama1, "config.json")
    assert (model.kv_heads, model.rope_theta, model.norm_eps, model.tie_embeddings) == (32, 10000.0, 1e-6, False)
    old = {**LLAMA3, "type": "llama3"}
    del old["rope_type"]
    scaled = llama_of({**llama1, "rope_scaling": old, "rope_theta": 500000.0}, "config.json")
    assert (scaled.rope_scaling, scaled.rope_theta) == (RopeScaling(), 500000.0)


def test_a_run_is_exported_imported_and_exported_the_same(tmp_path: Path, exported: Path) -> None:
    model = import_model(exported, tmp_path / "imported").model
    config, parameters = load_model(tmp_path / "imported")
    assert model == config == make_run().model
    for name, array in fresh(config).items():
        np.testing.assert_array_equal(parameters[name], array)
    assert export_model(tmp_path / "imported", tmp_path / "again").without is None
    for file in exported.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_shards_and_half_precision_are_read(tmp_path: Path, exported: Path) -> None:
    tensors = load_file(exported / "model.safetensors")
    expected = {name: array.astype(ml_dtypes.bfloat16) for name, array in tensors.items()}
    sharded, weight_map = tmp_path / "sharded", {}
    sharded.mkdir()
    (sharded / "config.json").write_bytes((exported / "config.json").read_bytes())
    for number, name in enumerate(expected):
        weight_map[name] = f"model-{number}.safetensors"
        save_file({name: expected[name]}, sharded / weight_map[name])
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    model = import_model(sharded, tmp_path / "imported").model
    _, parameters = load_model(tmp_path / "imported")
    for name, array in to_hf(model, parameters).items():
        np.testing.assert_array_equal(array, expected[name].astype(np.float32))


def test_the_bytes_tokenizer_gives_our_ids(exported: Path) -> None:
    library = pytest.importorskip("tokenizers", reason='needs pip install -e ".[tokenizers]"')
    tokenizer = library.Tokenizer.from_file(str(exported / "tokenizer.json"))
    every = "".join(map(chr, range(1, 0x3000))) + "東京 🦙 <|end of text|>\r\n\t  x"
    assert tokenizer.encode(every).ids == BYTES.encode(every.encode()).tolist()
    assert tokenizer.decode(tokenizer.encode(every).ids) == every
    assert tokenizer.get_vocab_size() == BYTES.vocab
    assert tokenizer.token_to_id("<|endoftext|>") == BYTES.end
    assert json.loads((exported / "config.json").read_text())["eos_token_id"] == BYTES.end


def test_export_refuses_what_is_not_there_or_not_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = finished(tmp_path / "runs"), tmp_path / "out"

    def line(*args: object) -> str:
        (reported,) = refused(capsys, "export", *args)
        return reported

    (tmp_path / "empty").mkdir()
    assert "not a run's folder" in line(tmp_path / "empty", "--to", "hf", out)
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").touch()
    assert "is there already, and not empty" in line(run.path, "--to", "hf", taken)
    assert "'gguf' is not 'hf'" in line(run.path, "--to", "gguf", out)

    kept = run.path / "parameters.safetensors"
    content = kept.read_bytes()
    kept.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    assert "changed since it was written, or damaged" in line(run.path, "--to", "hf", out)
    kept.unlink()
    assert "the run's parameters were not kept" in line(run.path, "--to", "hf", out)
    run.write_status({"state": "running", "step": 1, "steps": 2})
    assert "the run is running, not done" in line(run.path, "--to", "hf", out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "runs", "taken"]


def _without(folder: Path, name: str) -> None:
    (folder / name).unlink()


def _changed(folder: Path, **fields: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def _rewritten(folder: Path, **tensors: np.ndarray | None) -> None:
    file = folder / "model.safetensors"
    kept = {**load_file(file), **{name.replace("__", "."): array for name, array in tensors.items()}}
    save_file({name: array for name, array in kept.items() if array is not None}, file)


REFUSED: dict[str, tuple[Any, list[str]]] = {
    "no config": (lambda f: _without(f, "config.json"), ["config.json: No such file or directory"]),
    "config not JSON": (lambda f: (f / "config.json").write_text("{"), ["config.json: not JSON"]),
    "config a list": (lambda f: (f / "config.json").write_text("[]"), ["config.json: not a JSON object"]),
    "no tensors": (lambda f: _without(f, "model.safetensors"), ["has neither model.safetensors nor"]),
    "pickled": (
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
        ["has pytorch_model.bin; pickled files are not read: save it with safe_serialization"],
    ),
    "truncated": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-1]),
        ["model.safetensors: not a safetensors file, or damaged"],
    ),
    "garbage": (
        lambda f: (f / "model.safetensors").write_bytes(bytes(range(256)) * 9),
        ["model.safetensors: not a safetensors file, or damaged"],
    ),
    "index leads away": (
        lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../a.safetensors"}}'),
        ["'../a.safetensors' is not a file of the folder"],
    ),
    "shard missing": (
        lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "a.safetensors"}}'),
        ["a.safetensors: no such file"],
    ),
    "another architecture": (lambda f: _changed(f, model_type="mixtral"), ["model_type is 'mixtral'; only llama"]),
    "what it cannot hold": (
        lambda f: _changed(f, mlp_bias=True, hidden_act="gelu", rope_parameters={"rope_type": "longrope"}),
        ["mlp_bias is True", "hidden_act is 'gelu'", "rope_type is 'longrope'"],
    ),
    "numbers that are none": (
        lambda f: _changed(f, hidden_size="16", rms_norm_eps=-1, rope_parameters={**LLAMA3, "factor": None}),
        ["hidden_size is '16'", "rms_norm_eps is -1", "factor is None"],
    ),
    "another head_dim": (
        lambda f: _changed(f, head_dim=6),
        ["_proj.weight has shape"] * 8,
    ),
    "impossible": (lambda f: _changed(f, num_attention_heads=3), ["width 16 is not a multiple of heads 3"]),
    "tensor missing": (lambda f: _rewritten(f, model__norm__weight=None), ["tensor model.norm.weight is missing"]),
    "another shape": (
        lambda f: _rewritten(f, model__norm__weight=np.ones(15, np.float32)),
        ["tensor model.norm.weight has shape [15]; config.json says [16]"],
    ),
    "tensor too many": (lambda f: _rewritten(f, bias=np.ones(2)), ["tensor bias is none of such a model's"]),
    "tied to another": (
        lambda f: _rewritten(f, lm_head__weight=np.ones((256, 16), np.float32)),
        ["tensor lm_head.weight is not the embedding, as tie_word_embeddings says"],
    ),
    "quantized": (lambda f: _changed(f, quantization_config={"bits": 4}), ["quantization_config is {'bits': 4}"]),
}


@pytest.mark.parametrize("violation", REFUSED)
def test_import_refuses(violation: str, tmp_path: Path, exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, expected = REFUSED[violation]
    spoil(exported)
    lines = refused(capsys, "import", exported, "--out", tmp_path / "imported")
    assert len(lines) == len(expected), lines
    for line, part in zip(lines, expected, strict=True):
        assert part in line
    assert not list(tmp_path.glob("*imported*"))


def test_the_commands_tell_what_they_did(
    tmp_path: Path, exported: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main_ok(["import", str(exported), "--json"])
    reported = json.loads(capsys.readouterr().out)
    assert reported["folder"] == "runs/imported/exported"
    assert reported["params"] == sum(array.size for array in load_file(exported / "model.safetensors").values())
    (tmp_path / reported["folder"] / "tokenizer.json").unlink()
    main_ok(["export", reported["folder"], "--to", "hf", "again", "--json"])
    reported = json.loads(capsys.readouterr().out)
    assert [warning["code"] for warning in reported["warnings"]] == ["no-tokenizer"]


def main_ok(args: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(args)
    assert exit_info.value.code == 0
