"""Models in and out of Hugging Face's folders."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError
from safetensors.numpy import save_file

from scaling.errors import InputError
from scaling.files import write_text
from scaling.hf.config import config_of, has_score, llama_of
from scaling.hf.kept import MODEL, copy_kept, without_tokenizer
from scaling.hf.names import from_hf, to_hf
from scaling.hf.special_ids import BEGIN, END, PADDING, Warned, beyond_the_embedding, special_ids
from scaling.hf.tensors import INDEX, SINGLE, Tensors, check_kind, read_json
from scaling.hf.tokenizer import write_tokenizer
from scaling.llama.config import LlamaConfig, canonical
from scaling.posttrain.config import SCORE, StageConfig
from scaling.sweep.folder.file_names import PLAN
from scaling.sweep.folder.run_folder import RunFolder
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.locks.local import LocalLocks
from scaling.sweep.storage.folder_locks import locks_of
from scaling.train.checkpoints.parameters import PARAMETERS, read_parameters, write_parameters

CONFIG = "config.json"
_ADAPTER = TypeAdapter(LlamaConfig)


@dataclass(frozen=True)
class Exported:
    """A model that was written to a folder.

    Attributes:
        model: its shape.
        without: why it has no tokenizer; None if it has one.
        score: whether it is a reward model.
    """

    model: LlamaConfig
    without: str | None
    score: bool = False


@dataclass(frozen=True)
class Imported:
    """A model that was read from a Hugging Face folder.

    Attributes:
        model: its shape.
        warnings: what is odd about the folder.
        score: whether it is a reward model.
    """

    model: LlamaConfig
    warnings: tuple[Warned, ...]
    score: bool = False


def export_model(place: Path, out: Path) -> Exported:
    """Writes a run that is done, or an imported model, as a folder that ``AutoModelForCausalLM`` loads.

    A reward model is a folder for ``AutoModelForSequenceClassification``, with one label. Its ``pad_token_id`` is one
    that no text has, or none: without it transformers scores one row at a time.

    Args:
        place: a run's folder, that of a sweep with one target run, which is meant then, or an imported model's.
        out: made; not there yet, or empty.

    Raises:
        InputError: there is no such run, it is not done, its parameters were not kept or are damaged, or ``out`` is
            taken. Nothing is left behind.
    """
    if (place / MODEL).exists():
        return _export_imported(place, out)
    run = run_of(place)
    if not isinstance(run.locks, LocalLocks):  # of shared storage; whoever holds a run has all of it
        with run.locked():
            pass
    config, parameters = run.config(), run.parameters()
    with _written(out) as folder:
        if isinstance(config, StageConfig):
            from scaling.hf.stage_tokenizer import write_stage_tokenizer  # late: it takes JAX

            special, without = write_stage_tokenizer(config, folder)
        else:
            end, without = write_tokenizer(config.data, config.model.seq_len, folder)
            # A document begins after the token that closes the one before.
            special = {BEGIN: end, END: end, PADDING: None}
        _write_model(config.model, parameters, special, folder)
    return Exported(config.model, without, SCORE in parameters)


def import_model(place: Path, out: Path) -> Imported:
    """Reads a Hugging Face folder of a Llama's architecture into a folder that ``load_model`` reads.

    Of a reward model, a sequence classifier with one label, the scalar head is the parameter ``score``; it has no head
    for tokens, so its shape is that of a tied one.

    Args:
        place: with ``config.json`` and safetensors, in one file or in shards; the tokenizer's files and
            ``generation_config.json`` are kept as they are.
        out: made; not there yet, or empty.

    Raises:
        InputError: a line for everything that is missing or cannot be held. Nothing is left behind.
    """
    check_kind(place)
    config = read_json(place / CONFIG)
    model, score = llama_of(config, str(place / CONFIG)), has_score(config, str(place / CONFIG))
    if score:
        model = replace(model, tie_embeddings=True)
    special = special_ids(config, place / CONFIG)
    tensors = Tensors(place)
    tensors.check_types(config.get("quantization_config"))
    tensors.check(model, score)
    warnings = [*_unread(place), *beyond_the_embedding(place, config, model.vocab)]
    with _written(out) as folder:
        digest = write_parameters(folder / PARAMETERS, from_hf(model, tensors.read, score))
        copy_kept(place, folder)
        content = {"model": canonical(model), "special_ids": special, "sha256": digest}
        write_text(folder / MODEL, json.dumps(content, indent=1))
    return Imported(model, tuple(warnings), score)


def _unread(place: Path) -> Iterator[Warned]:
    """A warning of a whole model beside an index of shards, which transformers would read in their place."""
    both = (place / INDEX).exists() and (place / SINGLE).exists()
    if both and SINGLE not in read_json(place / INDEX)["weight_map"].values():
        line = f"{INDEX} names other files, which are read; {SINGLE} is not, and transformers would read it"
        yield Warned("unread-weights", f"{place}: {line}")


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
    special = read_json(place / MODEL).get("special_ids")
    if not isinstance(special, dict):
        raise InputError(f"{place / MODEL}: has no special_ids; import the model again")
    with _written(out) as folder:
        _write_model(model, parameters, special, folder)
        copy_kept(place, folder)
        without = without_tokenizer(folder, place)
    return Exported(model, without, SCORE in parameters)


def _write_model(
    model: LlamaConfig, parameters: dict[str, np.ndarray], special: Mapping[str, Any], folder: Path
) -> None:
    write_text(folder / CONFIG, json.dumps(config_of(model, special, SCORE in parameters), indent=1))
    save_file(to_hf(model, parameters), folder / SINGLE, metadata={"format": "pt"})
    (folder / SINGLE).chmod(0o644)  # the library would keep others from reading it


def run_of(place: Path) -> RunFolder:
    """The run that a path names: a run's folder, or that of a sweep with one finished target.

    Raises:
        InputError: there is none, or there are several.
    """
    if (place / PLAN).exists():
        sweep = SweepFolder(place)
        targets = [run_id for run_id in sweep.runs("target") if sweep.run(run_id).status()["state"] == "done"]
        if len(targets) == 1:
            return _with_model(sweep.run(targets[0]), place)
        found = f"{len(targets)} target runs that are done" + (f": {', '.join(targets)}" if targets else "")
        raise InputError(f"{place}: has {found}; name one run's folder, such as {place / 'runs'}/ID")
    if not (place / CONFIG).exists():
        raise InputError(f"{place}: not a run's folder, such as runs/NAME/runs/ID")
    whole = place.absolute()  # as the locks of a mirror name what they hold
    return _with_model(RunFolder(whole, locks_of(whole.parent.parent)), place)


def _with_model(run: RunFolder, place: Path) -> RunFolder:
    config = run.config()
    if isinstance(config, StageConfig) and config.stage == "best_of_n":
        raise InputError(f"{place}: best-of-n chooses among answers and trains no model; name its policy's run")
    return run


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
