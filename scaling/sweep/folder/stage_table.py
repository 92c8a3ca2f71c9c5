"""The tables of a stage's folder: a row a run, the curves of rewards, and some answers to read."""

import json
from dataclasses import asdict
from typing import Any

import pandas as pd

from scaling.llama.counts import count_params
from scaling.posttrain.config import StageConfig
from scaling.sweep.folder.run_folder import RunFolder

# Of one run, from which the stage's own tables are made.
RUN_REWARDS, RUN_SAMPLES = "rewards.json", "samples.json"
# What a run's own settings are called in the table, where that is not their name.
_NAMES = {"kl": "kl_coefficient", "n": "most_n"}
# Settings that the table has no use for.
_LEFT = ("held_out", "measured", "measurements", "every", "prompts")


def stage_row(config: StageConfig, status: dict[str, Any], role: str, sweep: str) -> dict[str, Any]:
    """Row of a finished run of a stage in the table of runs: values by column.

    Args:
        config: the run.
        status: its last status, with what was measured in ``row``.
        role: ``fit`` or ``target``.
        sweep: name of the sweep.
    """
    model, recipe, counts = config.model, config.recipe, count_params(config.model)
    measured = {name: float("nan") if value is None else value for name, value in status.get("row", {}).items()}
    settings = {_NAMES.get(name, name): value for name, value in config.settings.items() if name not in _LEFT}
    pairs = {"pairs": config.data["pairs"]} if "pairs" in config.data else {}
    return {
        "run_id": config.id,
        "trunk_id": config.id,
        "sweep": sweep,
        "role": role,
        "status": status["state"],
        "stage": config.stage,
        **{f"{_FROM.get(part, part)}_run": source.id for part, source in config.sources.items()},
        "params": counts.total,
        "params_nonembedding": counts.nonembedding,
        "params_active": counts.total,
        **{
            f"{part}_params": count_params(source.model).total
            for part, source in config.sources.items()
            if part != "start"
        },
        "flops": float(config.flops),
        **settings,
        **pairs,
        "loss": float("nan"),
        "lr": recipe.rates.matrix,
        "batch_rows": recipe.batch,
        "schedule": recipe.schedule.kind,
        "decay_fraction": recipe.schedule.decay,
        "weight_decay": recipe.weight_decay,
        "seed": config.seed,
        **{name: value for name, value in asdict(model).items() if name in _SHAPE},
        "tokenizer": config.data["tokenizer"]["name"],
        "dtype": config.dtype,
        "device": status["device"],
        "wall_s": status["wall_s"],
        **measured,
    }


_FROM = {"start": "from"}
_SHAPE = ("width", "depth", "heads", "kv_heads", "ffn", "vocab", "seq_len")


def rewards_of(folders: list[RunFolder]) -> pd.DataFrame:
    """The table of rewards of finished runs: ``run_id``, ``step`` or ``n``, and what was measured there."""
    rows = [{"run_id": folder.path.name, **row} for folder in folders for row in _read(folder, RUN_REWARDS)]
    return pd.DataFrame(rows)


def samples_of(folders: list[RunFolder]) -> list[dict[str, Any]]:
    """Some answers of finished runs: ``run_id``, ``prompt``, ``answer``, and numbers by name."""
    return [{"run_id": folder.path.name, **row} for folder in folders for row in _read(folder, RUN_SAMPLES)]


def _read(folder: RunFolder, name: str) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = json.loads((folder.path / name).read_bytes())
    except FileNotFoundError:
        return []
    return rows
