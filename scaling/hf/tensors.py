"""The tensors of a Hugging Face folder: one safetensors file, or several with an index. Nothing is unpickled."""

import json
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  # by which numpy knows bfloat16
import numpy as np
from safetensors import SafetensorError, safe_open

from scaling.errors import InputError
from scaling.files import GIT_LFS
from scaling.hf.names import parts
from scaling.llama.config import LlamaConfig

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_MOST_VIOLATIONS = 10
# Of old versions: computed, not learnt.
_COMPUTED = "rotary_emb.inv_freq"
# The types that hold weights by themselves. The others, integers and floats of 8 bits and less, need scales.
_TYPES = ("F64", "F32", "F16", "BF16")


class Tensors:
    """A folder's tensors by name, each read when it is requested.

    With an index, each is taken from the file that the index names for it, whatever the other files hold.

    Args:
        folder: where they are.

    Raises:
        InputError: there are none, a file is missing or damaged, or the index is not that of its files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if (folder / INDEX).exists():
            self._holder = _indexed(folder)
        else:
            check_kind(folder)
            file = _opened(folder / SINGLE)
            self._holder = dict.fromkeys(file.keys(), file)

    def read(self, name: str) -> np.ndarray:
        """The tensor of a name as float32.

        Raises:
            InputError: it is damaged, or has values that are not finite.
        """
        try:
            with np.errstate(over="ignore"):  # of float64
                values = np.asarray(self._holder[name].get_tensor(name)).astype(np.float32)
        except (SafetensorError, TypeError) as error:
            raise InputError(f"{self.folder}: tensor {name}: {error}") from None
        if not np.isfinite(values).all():
            count = int(values.size - np.isfinite(values).sum())
            raise InputError(f"{self.folder}: tensor {name}: {count} of {values.size} values are NaN or infinite")
        return values

    def check_types(self, quantization: Any) -> None:
        """Checks that every tensor holds weights by itself.

        Args:
            quantization: the config's ``quantization_config``, or None.

        Raises:
            InputError: a line that names the first that does not, or says that the weights would be quantised.
        """
        types = {name: file.get_slice(name).get_dtype() for name, file in self._holder.items()}
        packed = [name for name, kind in types.items() if kind not in _TYPES and not name.endswith(_COMPUTED)]
        method = quantization.get("quant_method") if isinstance(quantization, dict) else None
        if packed:
            more = f", as are {len(packed) - 1} more" if len(packed) > 1 else ""
            by = f" (quantised by {method})" if method else ""
            line = f"tensor {packed[0]} is {types[packed[0]]}{by}{more}; only {', '.join(_TYPES)} can be read"
            raise InputError(f"{self.folder}: {line}: save the model without quantisation")
        if quantization is not None:
            raise InputError(f"{self.folder}: quantization_config is {quantization!r}; only None can be read")

    def check(self, config: LlamaConfig, score: bool = False) -> None:
        """Raises InputError with a line for each tensor that is missing, of another shape, or not the model's.

        Args:
            config: the model's shape.
            score: whether it is a reward model.
        """
        wanted = {part.theirs: part.shape for part in parts(config, score)}
        given = {name: tuple(file.get_slice(name).get_shape()) for name, file in self._holder.items()}
        violations = [f"tensor {name} is missing" for name in wanted if name not in given]
        for name, shape in given.items():
            if name in wanted and shape != wanted[name]:
                violations.append(f"tensor {name} has shape {list(shape)}; config.json says {list(wanted[name])}")
            elif name == "lm_head.weight" and config.tie_embeddings:
                if not violations and not np.array_equal(self.read(name), self.read("model.embed_tokens.weight")):
                    violations.append("tensor lm_head.weight is not the embedding, as tie_word_embeddings says")
            elif name == "score.bias":
                violations.append("tensor score.bias: a score with a bias cannot be read")
            elif name not in wanted and not name.endswith(_COMPUTED):
                violations.append(f"tensor {name} is none of such a model's")
        if len(violations) > _MOST_VIOLATIONS:
            violations[_MOST_VIOLATIONS:] = [f"and {len(violations) - _MOST_VIOLATIONS} more tensors"]
        if violations:
            raise InputError([f"{self.folder}: {violation}" for violation in violations])


# What else a folder of weights may hold, and what to do about it; the first that is found is reported.
_OTHERS = {
    "adapter_*": "holds an adapter such as LoRA's alone ({}); merge it into its base model, and save that",
    "model-*-of-*.safetensors": "has shards such as {}, but no " + INDEX,
    "consolidated*.safetensors": "has weights under Mistral's own names ({}); convert it for transformers first",
    "consolidated*.pth": "has Meta's own pickled weights ({}); pickled files are not read: convert it for transformers",
    "*.bin": "has {}; pickled files are not read: save it with safe_serialization",
    "*.pt": "has {}; pickled files are not read: save it with safe_serialization",
    "*.pth": "has {}; pickled files are not read: save it with safe_serialization",
    "*.ckpt": "has {}; pickled files are not read: save it with safe_serialization",
    "*.gguf": "has {}, of llama.cpp; only safetensors are read",
    "*.h5": "has {}, of TensorFlow; only safetensors are read",
    "*.msgpack": "has {}, of Flax; only safetensors are read",
    "*.safetensors": "has {}, but no " + SINGLE,
}


def check_kind(folder: Path) -> None:
    """Checks that a folder holds safetensors under the names of transformers, in one file or with an index.

    Raises:
        InputError: what it holds instead.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    if (folder / SINGLE).exists() or (folder / INDEX).exists():
        return
    for pattern, why in _OTHERS.items():
        if found := sorted(file.name for file in folder.glob(pattern)):
            raise InputError(f"{folder}: {why.format(found[0])}")
    raise InputError(f"{folder}: has neither {SINGLE} nor {INDEX}")


def _indexed(folder: Path) -> dict[str, Any]:
    """The file of each tensor, as the index has it."""
    index = folder / INDEX
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise InputError(f"{index}: weight_map must map tensors to files")
    names = sorted(set(weight_map.values()))
    if outside := [name for name in names if name != Path(name).name or not name]:
        raise InputError([f"{index}: {name!r} is not a file of the folder" for name in outside])
    if missing := [name for name in names if not (folder / name).exists()]:
        raise InputError(f"{index}: {_few(missing)}: no such file")
    files = {name: _opened(folder / name) for name in names}
    held = {name: set(file.keys()) for name, file in files.items()}
    if lacking := [f"{tensor} in {name}" for tensor, name in weight_map.items() if tensor not in held[name]]:
        raise InputError(f"{index}: names tensors that are not there: {_few(lacking)}")
    more = sorted(
        f"{tensor} in {name}"
        for name, tensors in held.items()
        for tensor in tensors - weight_map.keys()
        if not tensor.endswith(_COMPUTED)
    )
    if more:
        raise InputError(f"{index}: does not name tensors that are there: {_few(more)}")
    return {tensor: files[name] for tensor, name in weight_map.items()}


def _few(names: list[str]) -> str:
    return ", ".join(names[:2]) + (f", and {len(names) - 2} more" if len(names) > 2 else "")


def _opened(file: Path) -> Any:
    try:
        return safe_open(file, framework="np")
    except FileNotFoundError:
        raise InputError(f"{file}: no such file") from None
    except (SafetensorError, OSError) as error:
        if file.is_file():
            with file.open("rb") as start:
                if start.read(len(GIT_LFS)) == GIT_LFS:
                    raise InputError(f"{file}: a pointer of Git LFS, not the file: run git lfs pull") from None
        raise InputError(f"{file}: not a safetensors file, or damaged: {error}") from None


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        InputError: there is none.
    """
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{file}: not a JSON object")
    return content
