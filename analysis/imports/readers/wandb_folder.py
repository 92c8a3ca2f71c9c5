"""W&B's local folders: ``wandb/run-*`` and ``wandb/offline-run-*``.

A run that was synced keeps ``files/config.yaml`` and ``files/wandb-summary.json``. The binary ``run-*.wandb`` has its
whole history and how it ended; its messages are those of the wandb package.
"""

import json
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from analysis.errors import InputError
from analysis.imports.records import Log, LoggedRun, Note, Points, flat, foreign, listed_names, needed, number_of

_MAGIC = b":W&B"
# LevelDB's log format: blocks of records, each with checksum, length and kind; a message may need several records.
_BLOCK, _HEADER = 32768, struct.Struct("<IHB")
_START = 7  # bytes of the file's own header
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_EXTRA = 'pip install "scaling-law-toolkit[wandb]"'


def is_run_folder(folder: Path) -> bool:
    """Whether a folder is that of one run."""
    if next(folder.glob("run-*.wandb"), None) is not None:
        return True
    return (folder / "files" / "config.yaml").is_file() and (folder / "files" / "wandb-summary.json").is_file()


def is_binary(path: Path) -> bool:
    """Whether a file is a run's binary log."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read_runs(folders: Iterable[Path], root: Path) -> Log:
    """The runs of some folders, or of binary files, one a run's id: what was logged when it was resumed is its own.

    Args:
        folders: of runs, sorted by time.
        root: the source.

    Raises:
        InputError: if there are only binary files, and the wandb package is not installed.
    """
    runs: dict[str, LoggedRun] = {}
    torn: list[str] = []
    unknown: list[str] = []
    for folder in folders:
        binary = folder if folder.is_file() else next(iter(sorted(folder.glob("run-*.wandb"))), None)
        files = folder / "files"
        run = None
        if binary is not None and (_installed() or not files.is_dir() or not (files / "wandb-summary.json").is_file()):
            run = _of_binary(binary, root, torn)
        elif files.is_dir():
            run = _of_files(folder)
            unknown.append(run.name)
        if run is not None:
            runs[run.key] = _joined(runs[run.key], run) if run.key in runs else run
    notes = [Note("torn-lines", f"torn ends of W&B files are left out: {listed_names(torn, 4)}")] if torn else []
    if unknown:
        missing = "there is no run-*.wandb" if _installed() else f"reading run-*.wandb needs {_EXTRA}"
        line = f"whether these have finished is not known, as {missing}: {listed_names(unknown, 4)}"
        notes.append(Note("no-states", line))
    named = (
        "W&B run folders",
        "one run an id",
        list(runs.values()),
        "run id" if unknown else "display_name",
        "exit_code",
    )
    return Log(*named, counts_steps=False, notes=notes)


def _installed() -> bool:
    import importlib.util

    return importlib.util.find_spec("wandb") is not None


def _joined(first: LoggedRun, later: LoggedRun) -> LoggedRun:
    """A run that was resumed: its later points and settings count."""
    series = {
        name: [*first.series.get(name, []), *later.series.get(name, [])] for name in {**first.series, **later.series}
    }
    return LoggedRun(later.name, later.key, later.state, {**first.settings, **later.settings}, series)


def _of_files(folder: Path) -> LoggedRun:
    """A run of what was synced of it."""
    from ruamel.yaml import YAML, YAMLError

    files = folder / "files"
    settings: dict[str, Any] = {}
    config, summary = files / "config.yaml", files / "wandb-summary.json"
    if config.is_file():
        try:
            content = YAML(typ="safe").load(config.read_text("utf-8", "replace"))
        except (YAMLError, ValueError, RecursionError):
            raise InputError(f"{config}: not a readable config of W&B") from None
        items = content.items() if isinstance(content, dict) else ()
        plain = {str(k): v["value"] for k, v in items if isinstance(v, dict) and "value" in v and k != "_wandb"}
        settings |= dict(flat(plain))
    if summary.is_file():
        with foreign(summary, "summary of W&B"):
            content = json.loads(summary.read_bytes())
        if not isinstance(content, dict):
            raise InputError(f"{summary}: not a readable summary of W&B")
        settings |= dict(flat({k: v for k, v in content.items() if k != "_wandb"}))
    name = folder.resolve().name
    key = name.rpartition("-")[2]
    return LoggedRun(key, key, None, settings)


def _of_binary(path: Path, root: Path, torn: list[str]) -> LoggedRun | None:
    """A run of its binary log; None if a crash left nothing of it."""
    messages = needed("wandb.proto.wandb_internal_pb2", root, "wandb")
    settings: dict[str, Any] = {}
    series: defaultdict[str, Points] = defaultdict(list)
    name = key = state = None
    count = 0
    with foreign(path, "file of W&B"):
        for part in _records(path, torn):
            record = messages.Record.FromString(part)
            kind = record.WhichOneof("record_type")
            count += 1
            if kind == "run":
                key, name = record.run.run_id or key, record.run.display_name or name
                settings |= {k: v for k, v in (("project", record.run.project), ("group", record.run.run_group)) if v}
                settings |= _items(record.run.config.update)
            elif kind == "config":
                settings |= _items(record.config.update)
            elif kind == "summary":
                settings |= _items(record.summary.update)
            elif kind == "history":
                _append(series, _items(record.history.item), record.history.step.num)
            elif kind == "exit":
                state = "finished" if record.exit.exit_code == 0 else "failed"
    if count == 0:
        return None
    key = key or path.stem.removeprefix("run-")
    return LoggedRun(name or key, key, state or "running", settings, dict(series))


def _records(path: Path, torn: list[str]) -> Iterator[bytes]:
    """The whole messages of a file; a crash tore whatever follows them."""
    data, at, parts = path.read_bytes(), _START, b""
    if not data.startswith(_MAGIC):
        raise InputError(f"{path}: not a file of W&B")
    while at + _HEADER.size <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < _HEADER.size:
            at += left
            continue
        _, length, kind = _HEADER.unpack_from(data, at)
        at += _HEADER.size + length
        if at > len(data) or kind not in (_FULL, _FIRST, _MIDDLE, _LAST):
            torn.append(path.name)
            return
        parts = (b"" if kind in (_FULL, _FIRST) else parts) + data[at - length : at]
        if kind in (_FULL, _LAST):
            yield parts
            parts = b""
    if at < len(data) or parts:
        torn.append(path.name)


def _items(updates: Iterable[Any]) -> dict[str, Any]:
    """Values by name of a record's updates, nested ones under their path."""
    values: dict[str, Any] = {}
    for update in updates:
        name = "/".join(update.nested_key) or update.key
        if name.startswith("_wandb"):
            continue
        try:
            value = json.loads(update.value_json)
        except (ValueError, RecursionError):
            continue
        values |= dict(flat({name: value}))
    return values


def _append(series: defaultdict[str, Points], values: dict[str, Any], step: float) -> None:
    at = number_of(values.get("_step", step))
    for name, value in values.items():
        if not isinstance(value, str) and (number := number_of(value)) is not None and at is not None:
            series[name].append((at, number))
