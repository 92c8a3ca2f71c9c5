"""Hugging Face's Trainer: ``trainer_state.json`` of runs and their checkpoints, with the model's files beside it.

Parameters are counted from ``config.json``, or else in the headers of the safetensors files. Tokens are those that the
Trainer has counted (``include_num_input_tokens_seen``), or else its FLOPs, which are 6 (N - embedding) tokens of the
input, padding included (``Trainer.floating_point_ops``).
"""

import json
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from analysis.errors import InputError
from analysis.imports.records import Log, LoggedRun, Note, Points, foreign, listed_names, number_of

STATE = "trainer_state.json"
_COUNTED, _BY_FLOPS = "num_input_tokens_seen", "total_flos / 6 (N - embedding)"
_PARAMS = "parameters of the model's files"
_HINTS = {
    "params": "or put the model's config.json or safetensors beside trainer_state.json",
    "tokens": "the Trainer counts them with include_num_input_tokens_seen=True",
}
_LARGEST_HEADER = 100 * 2**20


class Count(NamedTuple):
    """Parameters of a model: all, and those of its input embedding."""

    total: int
    embedding: int


# Counts the parameters of the model that a config.json describes; InputError for one that it does not know.
Counter = Callable[[Mapping[str, Any], str], Count]


def is_trainer_state(content: object) -> bool:
    """Whether the content of a JSON file is a Trainer's state."""
    return isinstance(content, dict) and isinstance(content.get("log_history"), list) and "global_step" in content


def read_trainers(files: Iterable[Path], root: Path, count: Counter) -> Log:
    """The runs of some states, of which the last checkpoint of each run is read.

    Args:
        files: all states that lie below the root.
        root: the source.
        count: counts a model's parameters.

    Raises:
        InputError: for a state that cannot be read.
    """
    newest: dict[Path, tuple[float, Path, dict[str, Any]]] = {}
    damaged: list[Path] = []
    for file in sorted(files):
        home = file.parent.parent if file.parent.name.startswith("checkpoint-") else file.parent
        try:
            state = _state(file)
        except InputError:
            damaged.append(file)
            continue
        step = number_of(state["global_step"]) or 0.0
        if home not in newest or step >= newest[home][0]:
            newest[home] = (step, file, state)
    if damaged and not newest:
        raise InputError(f"{file}: not a readable {STATE}" for file in damaged[:5])
    notes = [Note("torn-lines", f"damaged and left out: {listed_names(map(str, damaged), 4)}")] if damaged else []
    runs = [_run(home, file, state, root, count) for home, (_, file, state) in sorted(newest.items())]
    return Log(
        "Hugging Face Trainer",
        "one run a folder",
        runs,
        "folder",
        "global_step of max_steps",
        meanings={"params": _PARAMS, "tokens": _COUNTED if _all_have(runs, _COUNTED) else _BY_FLOPS},
        hints=_HINTS,
        notes=notes,
    )


def _all_have(runs: list[LoggedRun], name: str) -> bool:
    return all(name in run.settings or name in run.series for run in runs)


def _state(file: Path) -> dict[str, Any]:
    with foreign(file, STATE):
        state = json.loads(file.read_bytes())
    if not is_trainer_state(state):
        raise InputError(f"{file}: not a Trainer's state")
    assert isinstance(state, dict)
    return state


def _run(home: Path, file: Path, state: dict[str, Any], root: Path, count: Counter) -> LoggedRun:
    series: defaultdict[str, Points] = defaultdict(list)
    for row in state["log_history"]:
        step = number_of(row.get("step")) if isinstance(row, dict) else None
        for name, value in row.items() if step is not None else ():
            number = None if isinstance(value, str) or name == "step" else number_of(value)
            if step is not None and number is not None:
                series[name].append((step, number))
    settings = {
        k: v for k, v in state.items() if isinstance(v, int | float | str) and k not in (_COUNTED, "total_flos")
    }
    config = _config(file.parent, home)
    settings |= {} if config is None else _shape(config[0])
    counted = _counted(file.parent, home, config, count)
    if counted is not None:
        settings[_PARAMS] = counted.total
    step, flops = number_of(state["global_step"]), number_of(state.get("total_flos"))
    if not any(value > 0 for _, value in series.get(_COUNTED, [])):
        series.pop(_COUNTED, None)
        if step and (tokens := number_of(state.get(_COUNTED))):
            series[_COUNTED] = [(0.0, 0.0), (step, tokens)]
    if counted is not None and step and flops and counted.total > counted.embedding:
        tokens = flops / 6 / (counted.total - counted.embedding)
        series[_BY_FLOPS] = [(0.0, 0.0), (step, tokens)]
    for metric, value in _evaluated(home).items():
        if step is not None and metric not in series:
            series[metric] = [(step, value)]
    total = number_of(state.get("max_steps"))
    known = None if step is None or not total or total < 0 else ("finished" if step >= total else "incomplete")
    name = home.relative_to(root).as_posix() if home != root and root in home.parents else home.resolve().name
    return LoggedRun(name, str(home), known, settings, dict(series))


def _evaluated(home: Path) -> dict[str, float]:
    """What ``Trainer.save_metrics`` kept of an evaluation after the training, which the state does not have."""
    file = next((file for name in ("eval", "all") if (file := home / f"{name}_results.json").is_file()), None)
    if file is None:
        return {}
    with foreign(file, "file of results"):
        content = json.loads(file.read_bytes())
    found = content.items() if isinstance(content, dict) else ()
    numbers = {name: number_of(value) for name, value in found if name.startswith("eval_")}
    return {name: number for name, number in numbers.items() if number is not None}


def _config(*folders: Path) -> tuple[dict[str, Any], Path] | None:
    """The model's ``config.json`` in the first of some folders that has one.

    Raises:
        InputError: it is not readable.
    """
    file = next((file for folder in folders if (file := folder / "config.json").is_file()), None)
    if file is None:
        return None
    with foreign(file, "config.json"):
        content = json.loads(file.read_bytes())
    if not isinstance(content, dict):
        raise InputError(f"{file}: not a readable config.json (it holds no object)")
    return content, file


def _shape(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a model: widths and depths."""
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size")
    return {name: config[name] for name in (*names, "vocab_size") if isinstance(config.get(name), int)}


def _counted(here: Path, home: Path, config: tuple[dict[str, Any], Path] | None, count: Counter) -> Count | None:
    """Parameters of a run's model; None where neither its config nor its tensors tell them."""
    if config is not None:
        try:
            return count(config[0], str(config[1]))
        except InputError:  # another architecture: its tensors are counted
            pass
    files = sorted(here.glob("*.safetensors")) or sorted(home.glob("*.safetensors"))
    if not files:
        return None
    shapes: dict[str, int] = {}
    for file in files:
        with foreign(file, "safetensors file"):
            shapes |= _sizes(file)
    embedding = sum(
        size for name, size in shapes.items() if name.endswith(("embed_tokens.weight", "wte.weight", "wpe.weight"))
    )
    return Count(sum(shapes.values()), embedding)


def _sizes(file: Path) -> dict[str, int]:
    """Numbers in each tensor of a safetensors file, by its header; shared tensors are there once."""
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        if length > _LARGEST_HEADER:
            raise ValueError("its header is too long")
        header = json.loads(opened.read(length))
    sizes = {}
    for name, tensor in header.items():
        if name != "__metadata__":
            size = 1
            for side in tensor["shape"]:
                size *= int(side)
            sizes[str(name)] = size
    return sizes
