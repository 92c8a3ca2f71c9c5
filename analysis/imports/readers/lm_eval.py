"""Results of the Language Model Evaluation Harness: ``results_*.json``, a folder a model.

    {"results": {"hellaswag": {"alias": "hellaswag", "acc,none": 0.3, "acc_stderr,none": 0.01, "acc_norm,none": 0.4}},
     "config": {"model_num_parameters": 70426624, ...}, "model_name": "EleutherAI/pythia-70m", ...}

A task's metric becomes a column such as ``hellaswag/acc_norm``, which ``scaling predict --task`` takes.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from analysis.errors import InputError
from analysis.imports.records import Log, LoggedRun, Note, foreign, listed_names, number_of


def is_results(content: object) -> bool:
    """Whether the content of a JSON file is results of tasks."""
    if not isinstance(content, dict) or not isinstance(content.get("results"), dict):
        return False
    tasks = content["results"].values()
    return (
        bool(tasks) and all(isinstance(task, dict) for task in tasks) and bool({"config", "model_name"} & set(content))
    )


def read_results(files: Iterable[Path], root: Path) -> Log:
    """The models of some results, each with all its tasks; of two results of one task the later file's counts.

    Raises:
        InputError: if no file can be read.
    """
    models: dict[str, dict[str, Any]] = {}
    damaged = []
    for file in sorted(files, key=lambda file: file.name):  # by date, which the name ends in
        try:
            with foreign(file, "file of results"):
                content = json.loads(file.read_bytes())
        except InputError:
            damaged.append(str(file))
            continue
        if not is_results(content):
            damaged.append(str(file))
            continue
        name = _model(content, file, root)
        models.setdefault(name, {}).update(_metrics(content["results"]))
        config = content.get("config")
        if isinstance(config, dict) and (size := number_of(config.get("model_num_parameters"))):
            models[name]["model_num_parameters"] = size
    if not models:
        raise InputError(f"{file}: not a readable file of results" for file in damaged[:5])
    notes = [Note("torn-lines", f"damaged and left out: {listed_names(damaged, 4)}")] if damaged else []
    runs = [LoggedRun(name, name, None, settings) for name, settings in models.items()]
    return Log("lm-evaluation-harness results", "one model a model_name", runs, "model_name", tasks=True, notes=notes)


def _model(content: Mapping[str, Any], file: Path, root: Path) -> str:
    """The model's name, or else what its folder or its file is called."""
    name = content.get("model_name")
    if isinstance(name, str) and name.strip():
        return name.strip().rstrip("/")
    return file.parent.name if file.parent != root else file.stem


def _metrics(results: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    found = {}
    for task, metrics in results.items():
        for key, value in metrics.items():
            metric, _, kind = key.partition(",")
            number = None if isinstance(value, str) else number_of(value)
            if number is not None and not metric.endswith("_stderr") and metric not in ("sample_len", "name"):
                found[f"{task}/{metric}" + (f"/{kind}" if kind not in ("", "none") else "")] = number
    return found
