"""TensorBoard's event files, with tensorboardX's messages: scalars and hyperparameters, a run a folder.

What folders below a run's folder hold is the same run's: PyTorch's ``add_hparams`` and ``add_scalars`` make such, and
Keras keeps ``train`` and ``validation`` apart.
"""

import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.imports.names import loss_name
from analysis.imports.records import Log, LoggedRun, Note, Points, flat, foreign, listed_names, needed

_HEADER, _CHECKSUM = struct.Struct("<QI"), 4  # of a record: its length, a checksum of that; then of its bytes
_PARTS = {"train", "training", "validation", "val", "eval", "test"}
_SESSION = "_hparams_/session_start_info"
_END = "_hparams_/session_end_info"
_ENDS = {1: "success", 2: "failure", 3: "running"}  # tensorboard.hparams.Status
_PACKED = {1: "<f", 2: "<d", 3: "<i", 9: "<q"}  # tensorflow.DataType of a scalar in bytes


def is_event_file(path: Path) -> bool:
    """Whether a file is one of events, by the name that TensorBoard looks for."""
    return ".tfevents." in path.name


def read_events(files: list[Path], root: Path) -> Log:
    """The runs of some event files.

    Args:
        files: all that lie below the root.
        root: the source.

    Raises:
        InputError: if tensorboardX is not installed, or there is no event in any file.
    """
    needed("tensorboardX", root, "tensorboard")
    folders: defaultdict[Path, list[Path]] = defaultdict(list)
    homes = {file.parent for file in files}
    for file in files:
        folders[_run_folder(file.parent, homes)].append(file)
    torn: list[str] = []
    runs = [_run(folder, sorted(group), root, torn) for folder, group in sorted(folders.items())]
    if any(run.state for run in runs):
        runs = [run if run.state else replace(run, state="running") for run in runs]
    notes = [Note("torn-lines", f"torn ends of event files are left out: {listed_names(torn, 4)}")] if torn else []
    return Log("TensorBoard event files", "one run a folder", runs, "folder", "session_end_info", notes=notes)


def _run_folder(folder: Path, homes: set[Path]) -> Path:
    """The uppermost folder with events on the way to a folder; of ``train`` and ``validation``, the one they lie in."""
    above = [parent for parent in folder.parents if parent in homes]
    if above:
        return above[-1]
    beside = {home.name for home in homes if home.parent == folder.parent}
    return folder.parent if folder.name in _PARTS and beside <= _PARTS else folder


def _run(folder: Path, files: list[Path], root: Path, torn: list[str]) -> LoggedRun:
    series: defaultdict[str, Points] = defaultdict(list)
    settings: dict[str, Any] = _lightning(folder)
    copies: dict[str, Any] = {}
    state = None
    for file in files:
        below = file.parent.relative_to(folder).as_posix()
        before = "" if below == "." else f"{below}/"
        with foreign(file, "event file"):
            values = [(event.step, value) for event in _events(file, torn) for value in event.summary.value]
            chosen = {name: setting for _, value in values for name, setting in _hyperparameters(value)}
            settings |= chosen
            for step, value in values:
                # PyTorch's add_hparams marks a session as ended at once, at step 0.
                state = (_end(value) if step > 0 else None) or state
                number = _scalar(value)
                if number is not None and chosen and before:
                    copies[value.tag] = number  # PyTorch's add_hparams repeats the last metrics in a folder of its own
                elif number is not None:
                    series[f"{before}{value.tag}"].append((float(step), number))
    if not any(loss_name(name) for name in series):
        settings |= copies
    name = folder.relative_to(root).as_posix() if folder != root and root in folder.parents else folder.name
    return LoggedRun(name, str(folder), state, settings, dict(series))


def _events(file: Path, torn: list[str]) -> Iterator[Any]:
    """The whole events of a file; a crash tore whatever follows them."""
    from google.protobuf.message import DecodeError
    from tensorboardX.proto.event_pb2 import Event

    data, at = file.read_bytes(), 0
    while at + _HEADER.size <= len(data):
        length, _ = _HEADER.unpack_from(data, at)
        begin = at + _HEADER.size
        at = begin + length + _CHECKSUM
        if at > len(data):
            break
        try:
            yield Event.FromString(data[begin : begin + length])
        except DecodeError:
            break
    if at != len(data):
        torn.append(file.name)


def _scalar(value: Any) -> float | None:
    """A value's number: a simple one, or TensorFlow 2's tensor of one."""
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return float(value.simple_value)
    if kind != "tensor" or value.metadata.plugin_data.plugin_name not in ("scalars", ""):
        return None
    tensor = value.tensor
    for values in (tensor.float_val, tensor.double_val, tensor.int_val, tensor.int64_val):
        if len(values) == 1:
            return float(values[0])
    pattern = _PACKED.get(tensor.dtype)
    if pattern is None or len(tensor.tensor_content) != struct.calcsize(pattern):
        return None
    return float(struct.unpack(pattern, tensor.tensor_content)[0])


def _hyperparameters(value: Any) -> Iterator[tuple[str, Any]]:
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    if value.tag == _SESSION:
        session = HParamsPluginData.FromString(value.metadata.plugin_data.content).session_start_info
        for name, setting in session.hparams.items():
            kind = setting.WhichOneof("kind")
            if kind in ("number_value", "string_value", "bool_value"):
                yield name, getattr(setting, kind)


def _end(value: Any) -> str | None:
    """The word for how a session ended."""
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    if value.tag != _END:
        return None
    return _ENDS.get(HParamsPluginData.FromString(value.metadata.plugin_data.content).session_end_info.status)


def _lightning(folder: Path) -> dict[str, Any]:
    """The settings that Lightning keeps in ``hparams.yaml`` beside the events."""
    from ruamel.yaml import YAML, YAMLError

    file = folder / "hparams.yaml"
    if not file.is_file():
        return {}
    try:
        found = YAML(typ="safe").load(file.read_text("utf-8", "replace"))
    except (YAMLError, ValueError, RecursionError):  # also for tags of Python's own classes, which are never made
        return {}
    return dict(flat(found)) if isinstance(found, dict) else {}
