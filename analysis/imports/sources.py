"""Which tool wrote a source, by its layout and content, and so which reader it is for."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from analysis.errors import InputError
from analysis.imports.readers import (
    json_lines,
    lm_eval,
    mlflow_store,
    tables,
    tensorboard,
    text_logs,
    trainer,
    verl,
    wandb_api,
    wandb_folder,
)
from analysis.imports.records import Log, Note
from analysis.runs.readers.jsonl import rows_of

_KINDS = (
    "a W&B export, wandb/ folder or wandb:ENTITY/PROJECT, mlruns/ or mlflow.db, TensorBoard event files, "
    "trainer_state.json, Levanter's, verl's or another JSON log, a nanoGPT-style or verl's text log, an Excel or CSV "
    "table, results of lm-evaluation-harness"
)
_MOST_FILES = 200_000
_LARGEST_JSON = 200 * 2**20
_SKIPPED = {".git", "__pycache__", "node_modules", ".venv", "site-packages"}


class Folder:
    """The files below a folder, and what could read them.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def files(self) -> list[Path]:
        """All files, without what links lead to: W&B's ``latest-run`` is one."""
        found: list[Path] = []
        for place, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if name not in _SKIPPED)
            found += [Path(place, name) for name in sorted(names) if not name.startswith(".")]
            if len(found) > _MOST_FILES:
                raise InputError(f"{self.root}: more than {_MOST_FILES:,} files; give the folder of the logs")
        return [file for file in found if file.is_file() and not file.is_symlink()]

    @cached_property
    def wandb_runs(self) -> list[Path]:
        homes = {file.parent for file in self.files if file.match("run-*.wandb")}
        homes |= {file.parents[1] for file in self.files if file.match("files/wandb-summary.json")}
        homes |= {file.parents[1] for file in self.files if file.match("run-*/files/config.yaml")}
        return sorted(homes, key=lambda home: home.name)

    @cached_property
    def databases(self) -> list[Path]:
        return [f for f in self.files if f.suffix in (".db", ".sqlite", ".sqlite3") and mlflow_store.is_database(f)]

    @cached_property
    def file_stores(self) -> list[Path]:
        places = (self.root, self.root / "mlruns")
        return [place for place in places if place.is_dir() and mlflow_store.is_file_store(place)]

    def ending(self, suffixes: Sequence[str]) -> list[Path]:
        return [file for file in self.files if file.suffix.lower() in suffixes and not file.name.startswith("samples_")]

    def results(self, named: bool) -> list[Path]:
        """Files of results, of the usual name or of any."""
        files = [f for f in self.files if f.match("results*.json" if named else "*.json")]
        return [file for file in files if file.stat().st_size and lm_eval.is_results(_json(file))]


def read_source(source: str, count: trainer.Counter) -> Log:
    """The runs of a source, by the reader of the tool that wrote it.

    Args:
        source: a file, a folder, or ``wandb:ENTITY/PROJECT``.
        count: counts the parameters of a model by its ``config.json``.

    Raises:
        InputError: for a source that is missing, that no reader is for, or that its reader cannot read.
    """
    if source.startswith(wandb_api.PREFIX):
        return wandb_api.read_project(source)
    path = Path(source)
    if path.is_dir():
        return _of_folder(Folder(path), count)
    if not path.is_file():
        raise InputError(f"{source}: no such file or folder")
    if path.stat().st_size == 0:
        raise InputError(f"{source}: the file is empty")
    return _of_file(path, count)


def _of_file(path: Path, count: trainer.Counter) -> Log:
    if {suffix.lower() for suffix in path.suffixes} & {*tables.SUFFIXES}:  # perhaps compressed
        return tables.read_export(path)
    if wandb_folder.is_binary(path):
        return wandb_folder.read_runs([path], path)
    if mlflow_store.is_database(path):
        return mlflow_store.read_database(path)
    if tensorboard.is_event_file(path):
        return tensorboard.read_events([path], path.parent)
    content = _json(path) if path.suffix.lower() == ".json" else None
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        return tables.read_export(path)
    if trainer.is_trainer_state(content):
        return trainer.read_trainers([path], path.parent, count)
    if lm_eval.is_results(content):
        return lm_eval.read_results([path], path.parent)
    if isinstance(content, dict) and rows_of(content):
        return tables.read_export(path)
    if content is None and verl.is_verl(path):
        return verl.read_verl([path])
    if content is None and json_lines.is_json_lines(path):
        return json_lines.read_json_lines([path])
    if text_logs.is_text_log(path):
        return text_logs.read_text_logs([path])
    raise InputError(f"{path}: not a log that is known: {_KINDS}")


def _of_folder(folder: Folder, count: trainer.Counter) -> Log:
    """The first kind of log that a folder holds; the others are named."""
    root = folder.root
    if (root / "plan.json").is_file() and (root / "runs").is_dir():
        raise InputError(f"{root}: is a sweep's own folder, which `scaling fit` and the others read as it is")
    states = [file for file in folder.files if file.name == trainer.STATE]
    events = [file for file in folder.files if tensorboard.is_event_file(file)]
    results = folder.results(named=True)
    kinds: list[tuple[str, list[Path], Callable[[], Log]]] = [
        ("W&B run folders", folder.wandb_runs, lambda: wandb_folder.read_runs(folder.wandb_runs, root)),
        ("an MLflow database", folder.databases, lambda: mlflow_store.read_database(_only(folder.databases, root))),
        ("an MLflow file store", folder.file_stores, lambda: mlflow_store.read_file_store(folder.file_stores[0])),
        ("states of Hugging Face's Trainer", states, lambda: trainer.read_trainers(states, root, count)),
        ("TensorBoard event files", events, lambda: tensorboard.read_events(events, root)),
        ("results of lm-evaluation-harness", results, lambda: lm_eval.read_results(results, root)),
    ]
    present = [(name, read) for name, files, read in kinds if files]
    if present:
        log = present[0][1]()
        return _with_others(log, [name for name, _ in present[1:]])
    return _of_single_files(folder)


def _of_single_files(folder: Folder) -> Log:
    """Logs of one file a run, which are known by their content; lines of any JSON come last, as they may be data."""
    lines, texts = folder.ending(json_lines.SUFFIXES), folder.ending(text_logs.SUFFIXES)
    if levanter := [file for file in (*lines, *texts) if json_lines.is_levanter(file)]:
        return json_lines.read_json_lines(levanter)
    if trained := [file for file in folder.ending(verl.SUFFIXES) if verl.is_verl(file)]:
        return verl.read_verl(trained)
    if printed := [file for file in texts if text_logs.is_text_log(file)]:
        return text_logs.read_text_logs(printed)
    if objects := [file for file in lines if json_lines.is_json_lines(file)]:
        return json_lines.read_json_lines(objects)
    if results := folder.results(named=False):
        return lm_eval.read_results(results, folder.root)
    found = folder.ending(tables.SUFFIXES)
    if len(found) == 1:
        return tables.read_export(found[0])
    raise InputError(f"{folder.root}: no log that is known: {_KINDS}")


def _with_others(log: Log, others: list[str]) -> Log:
    if not others:
        return log
    line = f"read as {log.tool}; {' and '.join(others)} there were not read: give their own folder for those"
    return replace(log, notes=[*log.notes, Note("other-logs", line)])


def _only(files: list[Path], root: Path) -> Path:
    if len(files) > 1:
        raise InputError(f"{root}: {len(files)} databases; give one: {', '.join(map(str, files[:4]))}")
    return files[0]


def _json(path: Path) -> Any:
    """The content of a JSON file; None where it is none."""
    if path.stat().st_size > _LARGEST_JSON:
        return None
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
