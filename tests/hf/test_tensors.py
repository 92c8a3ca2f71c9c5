"""Weights as they lie in folders: the index and its files, types that are no weights, and folders of another kind."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from scaling.hf.folder import import_model, load_model
from scaling.hf.names import to_hf
from scaling.hf.tensors import INDEX, SINGLE

Make = Callable[..., Path]
Refused = Callable[[Path], list[str]]
ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
LAST = "model.norm.weight"


def sharded(folder: Path) -> dict[str, str]:
    """Splits a folder's weights in two, with an index; returns the file of each tensor."""
    weights = load_file(folder / SINGLE)
    names = sorted(weights)
    weight_map = {name: ONE if number < len(names) // 2 else TWO for number, name in enumerate(names)}
    for file in (ONE, TWO):
        save_file({name: weights[name] for name in names if weight_map[name] == file}, folder / file)
    (folder / SINGLE).unlink()
    write_index(folder, weight_map)
    return weight_map


def write_index(folder: Path, weight_map: Any) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def read_back(folder: Path, out: Path) -> dict[str, np.ndarray]:
    import_model(folder, out)
    return to_hf(*load_model(out))


@pytest.mark.parametrize("stale_in", [ONE, TWO])
def test_each_tensor_is_taken_from_the_file_that_the_index_names(made: Make, tmp_path: Path, stale_in: str) -> None:
    folder = made()
    weights = load_file(folder / SINGLE)
    weight_map = sharded(folder)
    stale = {name: np.zeros_like(it) for name, it in weights.items() if weight_map[name] != stale_in}
    save_file({**load_file(folder / stale_in), **stale}, folder / stale_in)
    # Files that the index does not name at all, as Mistral's folders have them.
    save_file({name: np.ones_like(it) for name, it in weights.items()}, folder / "consolidated.safetensors")
    save_file({name: np.ones_like(it) for name, it in weights.items()}, folder / SINGLE)
    warnings = import_model(folder, tmp_path / "imported").warnings
    assert [warning.code for warning in warnings] == ["unread-weights"]
    found = to_hf(*load_model(tmp_path / "imported"))
    assert found.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    "value", [np.float32(np.nan), np.float16(np.inf), np.float64(1e300)], ids=["NaN", "infinite", "beyond float32"]
)
def test_weights_that_are_no_numbers_are_refused(made: Make, refused: Refused, value: np.floating) -> None:
    folder = made()
    weights = load_file(folder / SINGLE)
    norm = np.ones(8, value.dtype)
    norm[3] = value
    save_file({**weights, LAST: norm}, folder / SINGLE)
    assert refused(folder) == [f"error: {folder}: tensor {LAST}: 1 of 8 values are NaN or infinite"]


def test_what_is_computed_needs_no_entry_in_the_index(made: Make, tmp_path: Path) -> None:
    folder = made()
    sharded(folder)
    computed = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(2, np.float32)}
    save_file({**load_file(folder / TWO), **computed}, folder / TWO)
    assert import_model(folder, tmp_path / "imported").warnings == ()


def test_an_index_that_is_not_that_of_its_files(made: Make, refused: Refused) -> None:
    folder = made()
    weight_map = sharded(folder)

    def line(weight_map: Any) -> str:
        write_index(folder, weight_map)
        (reported,) = refused(folder)
        return reported

    assert f"{INDEX}: names tensors that are not there: {LAST} in {ONE}" in line({**weight_map, LAST: ONE})
    without = {name: file for name, file in weight_map.items() if name != LAST}
    assert f"{INDEX}: does not name tensors that are there: {LAST} in {TWO}" in line(without)
    assert "and 8 more" in line(dict.fromkeys(list(weight_map), TWO))
    assert f"{INDEX}: weight_map must map tensors to files" in line([ONE])
    assert "'' is not a file of the folder" in line({**weight_map, LAST: ""})
    (folder / ONE).unlink()
    assert f"{INDEX}: {ONE}: no such file" in line(weight_map)
    (folder / TWO).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "a pointer of Git LFS, not the file" in line({name: f for name, f in weight_map.items() if f == TWO})


def written(file: Path, types: dict[str, tuple[str, list[int], int]]) -> None:
    """A safetensors file of zeros: a type, a shape and bytes by name; of types too that numpy does not know."""
    header, end = {}, 0
    for name, (kind, shape, size) in types.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))


def as_type(folder: Path, kind: str, bits: int) -> None:
    """Gives the folder's matrices a type; norms stay as they are."""
    types: dict[str, tuple[str, list[int], int]] = {}
    for name, array in load_file(folder / SINGLE).items():
        is_matrix = array.ndim == 2
        size = array.size * bits // 8 if is_matrix else array.nbytes
        types[name] = (kind if is_matrix else "F32", list(array.shape), size)
    written(folder / SINGLE, types)


@pytest.mark.parametrize(
    ("kind", "bits"),
    [("F8_E4M3", 8), ("F8_E5M2", 8), ("F8_E8M0", 8), ("F4", 4), ("I8", 8), ("U8", 8), ("I32", 32), ("BOOL", 8)],
)
def test_weights_that_need_scales_are_refused(made: Make, refused: Refused, kind: str, bits: int) -> None:
    folder = made()
    as_type(folder, kind, bits)
    (line,) = refused(folder)
    assert f".weight is {kind}, as are 15 more; only F64, F32, F16, BF16 can be read" in line


PACKED = {
    "gptq": ("qweight", "I32", "qzeros", "I32", "scales", "F16"),
    "awq": ("qweight", "I32", "qzeros", "I32", "scales", "F16"),
    "bitsandbytes": ("weight", "U8", "weight.absmax", "F32", "weight.quant_map", "F32"),
    "fp8": ("weight", "F8_E4M3", "weight_scale_inv", "F32"),
    "compressed-tensors": ("weight_packed", "I32", "weight_scale", "BF16"),
}
SIZES = {"I32": 4, "U8": 1, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1}


@pytest.mark.parametrize("method", PACKED)
def test_packed_weights_are_refused_by_name(made: Make, refused: Refused, method: str) -> None:
    folder = made(quantization_config={"quant_method": method, "bits": 4})
    types: dict[str, tuple[str, list[int], int]] = {
        name: ("F32", list(array.shape), array.nbytes) for name, array in load_file(folder / SINGLE).items()
    }
    replaced, *_ = (name for name in types if name.endswith("down_proj.weight"))
    del types[replaced]
    of_method = PACKED[method]
    for suffix, kind in zip(of_method[::2], of_method[1::2], strict=True):
        types[replaced.replace("weight", suffix)] = (kind, [2, 3], 6 * SIZES[kind])
    written(folder / SINGLE, types)
    (line,) = refused(folder)
    name = replaced.replace("weight", of_method[0])
    assert f"tensor {name} is {of_method[1]} (quantised by {method})" in line


def test_weights_that_would_be_quantised_are_refused(made: Make, refused: Refused) -> None:
    (line,) = refused(made(quantization_config={"quant_method": "fbgemm_fp8"}))
    assert "quantization_config is {'quant_method': 'fbgemm_fp8'}; only None can be read" in line


def test_weights_in_double_precision_are_read(made: Make, tmp_path: Path) -> None:
    folder = made()
    weights = {name: array.astype(np.float64) for name, array in load_file(folder / SINGLE).items()}
    save_file(weights, folder / SINGLE)
    for name, array in read_back(folder, tmp_path / "imported").items():
        np.testing.assert_array_equal(array, weights[name])


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["adapter_config.json", "adapter_model.safetensors"], "holds an adapter such as LoRA's alone"),
        (["config.json", "adapter_config.json", "adapter_model.bin"], "holds an adapter such as LoRA's alone"),
        (["config.json", "model-00001-of-00002.safetensors"], "has shards such as model-00001-of-00002.safetensors"),
        (["params.json", "consolidated.safetensors"], "under Mistral's own names (consolidated.safetensors)"),
        (["params.json", "consolidated.00.pth"], "has Meta's own pickled weights (consolidated.00.pth)"),
        (["config.json", "pytorch_model-00001-of-00002.bin"], "pickled files are not read"),
        (["config.json", "weights.pt"], "has weights.pt; pickled files are not read"),
        (["llama.Q4_K_M.gguf"], "has llama.Q4_K_M.gguf, of llama.cpp"),
        (["config.json", "mine.safetensors"], "has mine.safetensors, but no model.safetensors"),
        (["config.json"], "has neither model.safetensors nor model.safetensors.index.json"),
        (["model.safetensors"], "config.json: No such file"),
    ],
)
def test_folders_of_another_kind(files: list[str], expected: str, tmp_path: Path, refused: Refused) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    for name in files:
        (folder / name).write_text("{}")
    (line,) = refused(folder)
    assert expected in line


def test_a_name_of_the_hub_is_no_folder(tmp_path: Path, refused: Refused) -> None:
    (line,) = refused(tmp_path / "meta-llama" / "Llama-3.2-1B")
    assert "no such folder" in line
