"""The models that a stage's runs begin from or use: runs of other folders, and imported models."""

import hashlib
import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.posttrain.config import Source, StageConfig
from scaling.posttrain.stage import Model
from scaling.sweep.folder.run_folder import RunFolder
from scaling.sweep.storage.folder_locks import locks_of
from scaling.train.checkpoints.parameters import PARAMETERS, read_parameters
from scaling.train.recipe import Rates

# Of an imported model: its shape, as JSON.
MODEL = "model.json"
_ADAPTER = TypeAdapter(LlamaConfig)


def source_at(place: Path) -> tuple[Source, Rates | None]:
    """The model of a run's folder or of an imported model's, and the rates that it was trained with, if known.

    Of a model trained with Muon they are those that AdamW would have had.

    Raises:
        InputError: there is neither.
    """
    if (place / MODEL).is_file():
        try:
            model = _ADAPTER.validate_python(json.loads((place / MODEL).read_bytes())["model"])
        except (ValidationError, ValueError, KeyError, TypeError):
            raise InputError(f"{place / MODEL}: not an imported model's") from None
        return Source(str(place), _digest(place / PARAMETERS), model), None
    if (place / "config.json").is_file():
        config = run_at(place).config()
        rates = config.recipe.rates if isinstance(config, StageConfig) else config.adamw_rates
        return Source(str(place), config.id, config.model), rates
    raise InputError(f"{place}: neither a run's folder nor an imported model's (`scaling import` makes one)")


def run_at(place: Path) -> RunFolder:
    """The files of a run, from its folder below a sweep's."""
    return RunFolder(place, locks_of(place.parent.parent))


def read_source(chain: Path, source: Source) -> Model:
    """Reads a model.

    Args:
        chain: the folder that the stages' folders are in, from which ``source.folder`` is.
        source: which.

    Raises:
        InputError: it is not there, not done, or not what it was when the run was planned.
    """
    place = chain / source.folder
    if (place / MODEL).is_file():
        if _digest(place / PARAMETERS) != source.id:
            raise InputError(f"{place}: the model has changed since the run was planned")
        return Model(source.model, read_parameters(place / PARAMETERS, None))
    return Model(source.model, run_at(place).parameters())


def stage_of(place: Path) -> StageConfig | None:
    """The config of a stage's run in a folder; None for any other folder."""
    if not (place / "config.json").is_file():
        return None
    config = run_at(place).config()
    return config if isinstance(config, StageConfig) else None


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None
