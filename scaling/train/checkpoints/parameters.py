"""The last parameters of a run as a file: safetensors, float32, by their names in the model."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from scaling.errors import InputError
from scaling.files import write_bytes

PARAMETERS = "parameters.safetensors"


def write_parameters(file: Path, parameters: Mapping[str, np.ndarray]) -> str:
    """Writes parameters to a file, atomically; returns its digest."""
    content = save({name: np.ascontiguousarray(array, np.float32) for name, array in parameters.items()})
    write_bytes(file, content)
    return hashlib.sha256(content).hexdigest()


def read_parameters(file: Path, digest: str | None) -> dict[str, np.ndarray]:
    """Reads parameters from a file: arrays by name.

    Args:
        file: as ``write_parameters`` has written it.
        digest: which that has returned; None if it is not known.

    Raises:
        InputError: there is no such file, or it is not what was written.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{file}: the run's parameters were not kept") from None
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None
    if digest is not None and hashlib.sha256(content).hexdigest() != digest:
        raise InputError(f"{file}: changed since it was written, or damaged")
    try:
        return load(content)
    except SafetensorError as error:
        raise InputError(f"{file}: {error}") from None
