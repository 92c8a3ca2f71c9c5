"""Models in and out of Hugging Face's folders."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError
from safetensors.numpy import save_file

from scaling.errors import InputError
from scaling.files import write_text
from scaling.hf.config import config_of, llama_of
from scaling.hf.names import from_hf, to_hf
from scaling.hf.tensors import SINGLE, Tensors, read_json
from scaling.hf.tokenizer import FILE, SETTINGS, write_tokenizer
from scaling.llama.config import LlamaConfig
from scaling.sweep.folder.file_names import PLAN
from scaling.sweep.folder.run_folder import RunFolder
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.locks.local import LocalLocks
from scaling.sweep.storage.folder_locks import locks_of
from scaling.train.checkpoints.parameters import PARAMETERS, read_parameters, write_parameters

CONFIG, MODEL = "config.json", "model.json"
_ADAPTER = TypeAdapter(LlamaConfig)


@dataclass(frozen=True)
class Exported:
    """A model that was written to a folder.

    Attributes:
        model: its shape.
        without: why it has no tokenizer; None if it has one.
    """

    model: LlamaConfig
    without: str | None


def export_model(place: Path, out: Path) -> Exported:
    """Writes a run that is done, or an imported model, as a folder that ``AutoModelForCausalLM`` loads.

    Args:
        place: a run's folder, that of a sweep with one target run, which is meant then, or an imported model's.
        out: made; not there yet, or empty.

    Raises:
        InputError: there is no such run, it is not done, its parameters were not kept or are damaged, or ``out`` is
            taken. Nothing is left behind.
    """
    if (place / MODEL).exists():
        return _export_imported(place, out)
    run = _run_at(place)
    if not isinstance(run.locks, LocalLocks):  # of shared storage; whoever holds a run has all of it
        with run.locked():
            pass
    config, parameters = run.config(), run.parameters()
    with _written(out) as folder:
        end, without = write_tokenizer(config.data, config.model.seq_len, folder)
        _write_model(config.model, parameters, end, folder)
    return Exported(config.model, without)


def import_model(place: Path, out: Path) -> LlamaConfig:
    """Reads a Hugging Face folder of a Llama's architecture into a folder that ``load_model`` reads.

    Args:
        place: with ``config.json`` and safetensors, in one file or in shards.
        out: made; not there yet, or empty.

    Raises:
        InputError: a line for everything that is missing or cannot be held. Nothing is left behind.
    """
    model = llama_of(read_json(place / CONFIG), str(place / CONFIG))
    tensors = Tensors(place)
    tensors.check(model)
    with _written(out) as folder:
        digest = write_parameters(folder / PARAMETERS, from_hf(model, tensors.read))
        kept = [name for name in (FILE, SETTINGS) if (place / name).is_file()]
        for name in kept:
            shutil.copyfile(place / name, folder / name)
        end = read_json(place / CONFIG).get("eos_token_id")
        content = {"model": asdict(model), "end": end if isinstance(end, int) else None, "sha256": digest}
        write_text(folder / MODEL, json.dumps(content, indent=1))
    return model


def load_model(place: Path) -> tuple[LlamaConfig, dict[str, np.ndarray]]:
    """The shape of an imported model, and its parameters by our names, as ``llama_with`` takes them.

    Raises:
        InputError: it is not what was written.
    """
    content = read_json(place / MODEL)
    try:
        model = _ADAPTER.validate_python(content.get("model"))
    except ValidationError:
        raise InputError(f"{place / MODEL}: not an imported model's") from None
    return model, read_parameters(place / PARAMETERS, content.get("sha256"))


def _export_imported(place: Path, out: Path) -> Exported:
    model, parameters = load_model(place)
    end = read_json(place / MODEL).get("end")
    with _written(out) as folder:
        _write_model(model, parameters, end, folder)
        for name in (FILE, SETTINGS):
            if (place / name).is_file():
                shutil.copyfile(place / name, folder / name)
        without = None if (folder / FILE).exists() else f"{place} has no {FILE}"
    return Exported(model, without)


def _write_model(model: LlamaConfig, parameters: dict[str, np.ndarray], end: int | None, folder: Path) -> None:
    write_text(folder / CONFIG, json.dumps(config_of(model, end), indent=1))
    save_file(to_hf(model, parameters), folder / SINGLE, metadata={"format": "pt"})
    (folder / SINGLE).chmod(0o644)  # the library would keep others from reading it


def _run_at(place: Path) -> RunFolder:
    """The run that a path names: a run's folder, or that of a sweep with one finished target."""
    if (place / PLAN).exists():
        sweep = SweepFolder(place)
        targets = [run_id for run_id in sweep.runs("target") if sweep.run(run_id).status()["state"] == "done"]
        if len(targets) == 1:
            return sweep.run(targets[0])
        found = f"{len(targets)} target runs that are done" + (f": {', '.join(targets)}" if targets else "")
        raise InputError(f"{place}: has {found}; name one run's folder, such as {place / 'runs'}/ID")
    if not (place / CONFIG).exists():
        raise InputError(f"{place}: not a run's folder, such as runs/NAME/runs/ID")
    place = place.absolute()  # as the locks of a mirror name what they hold
    return RunFolder(place, locks_of(place.parent.parent))


@contextmanager
def _written(out: Path) -> Iterator[Path]:
    """A context with a temporary folder to fill, renamed to ``out`` at the end; nothing is left after an error."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there already, and not empty")
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield folder
        folder.chmod(0o755)
        os.replace(folder, out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
