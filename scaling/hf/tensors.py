"""The tensors of a Hugging Face folder: one safetensors file, or several with an index. Nothing is unpickled."""

import json
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  # by which numpy knows bfloat16
import numpy as np
from safetensors import SafetensorError, safe_open

from scaling.errors import InputError
from scaling.hf.names import parts
from scaling.llama.config import LlamaConfig

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_MOST_VIOLATIONS = 10
# Of old versions: computed, not learnt.
_COMPUTED = "rotary_emb.inv_freq"


class Tensors:
    """A folder's tensors by name, each read when it is requested.

    Args:
        folder: where they are.

    Raises:
        InputError: there are none, a file is missing or damaged, or the index leads out of the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = {name: _opened(folder / name) for name in _file_names(folder)}
        self._holder = {tensor: file for file in self._files.values() for tensor in file.keys()}  # noqa: SIM118

    def read(self, name: str) -> np.ndarray:
        """The tensor of a name as float32."""
        try:
            return np.asarray(self._holder[name].get_tensor(name)).astype(np.float32)
        except (SafetensorError, TypeError) as error:
            raise InputError(f"{self.folder}: tensor {name}: {error}") from None

    def check(self, config: LlamaConfig) -> None:
        """Raises InputError with a line for each tensor that is missing, of another shape, or not the model's."""
        wanted = {part.theirs: part.shape for part in parts(config)}
        given = {name: tuple(file.get_slice(name).get_shape()) for name, file in self._holder.items()}
        violations = [f"tensor {name} is missing" for name in wanted if name not in given]
        for name, shape in given.items():
            if name in wanted and shape != wanted[name]:
                violations.append(f"tensor {name} has shape {list(shape)}; config.json says {list(wanted[name])}")
            elif name == "lm_head.weight" and config.tie_embeddings:
                if not violations and not np.array_equal(self.read(name), self.read("model.embed_tokens.weight")):
                    violations.append("tensor lm_head.weight is not the embedding, as tie_word_embeddings says")
            elif name not in wanted and not name.endswith(_COMPUTED):
                violations.append(f"tensor {name} is none of such a model's")
        if len(violations) > _MOST_VIOLATIONS:
            violations[_MOST_VIOLATIONS:] = [f"and {len(violations) - _MOST_VIOLATIONS} more tensors"]
        if violations:
            raise InputError([f"{self.folder}: {violation}" for violation in violations])


def _file_names(folder: Path) -> list[str]:
    index = folder / INDEX
    if not index.exists():
        if (folder / SINGLE).exists():
            return [SINGLE]
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt*"))
        why = "; pickled files are not read: save it with safe_serialization" if pickled else ""
        raise InputError(f"{folder}: has neither {SINGLE} nor {INDEX}{why}")
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise InputError(f"{index}: weight_map must map tensors to files")
    files = sorted(set(names.values()))
    if outside := [name for name in files if name != Path(name).name or not name]:
        raise InputError([f"{index}: {name!r} is not a file of the folder" for name in outside])
    return files


def _opened(file: Path) -> Any:
    try:
        return safe_open(file, framework="np")
    except FileNotFoundError:
        raise InputError(f"{file}: no such file") from None
    except (SafetensorError, OSError) as error:
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
