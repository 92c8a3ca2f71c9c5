"""Small Hugging Face folders, made as other programs write them."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from scaling.cli import main
from scaling.hf.config import llama_of
from scaling.hf.names import parts

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 12,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 6,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
Refused = Callable[..., list[str]]


@pytest.fixture(scope="module")
def transformers() -> Any:
    """Skips where the extra ``parity`` is not installed; warnings at import are not ours to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("torch", reason='needs pip install -e ".[parity]"')
        return pytest.importorskip("transformers", reason='needs pip install -e ".[parity]"')


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """A function of a config's fields that makes a folder of one file of random weights."""

    def make(**fields: Any) -> Path:
        folder = tmp_path / "given"
        folder.mkdir()
        config = {**CONFIG, **fields}
        (folder / "config.json").write_text(json.dumps(config))
        random = np.random.default_rng(0)
        shapes = {part.theirs: part.shape for part in parts(llama_of(config, "config.json"))}
        weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        save_file(weights, folder / "model.safetensors")
        return folder

    return make


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """A function of a folder: the lines with which its import is refused; nothing is left behind."""

    def lines_of(folder: Path) -> list[str]:
        with pytest.raises(SystemExit) as exit_info:
            main(["import", str(folder), "--out", str(tmp_path / "imported")])
        captured = capsys.readouterr()
        assert (exit_info.value.code, captured.out) == (2, "")
        assert not list(tmp_path.glob("*imported*"))
        lines: list[str] = captured.err.splitlines()
        assert all(line.startswith("error: ") for line in lines)
        return lines

    return lines_of
