"""A row of the table of runs, from a run's config and status."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from scaling.hardware import mfu
from scaling.llama.counts import count_params
from scaling.train.config import RunConfig


def run_row(config: RunConfig, status: dict[str, Any], role: str, sweep: str) -> dict[str, Any]:
    """Row of a finished run in the table of runs: values by column.

    Args:
        config: the run.
        status: its last status.
        role: ``fit`` or ``target``.
        sweep: name of the sweep.
    """
    model, recipe, counts = config.model, config.recipe, count_params(config.model)
    return {
        "run_id": config.id,
        "trunk_id": config.trunk_id,
        "sweep": sweep,
        "role": role,
        "status": status["state"],
        "params": counts.total,
        "params_nonembedding": counts.nonembedding,
        "params_active": counts.total,
        "tokens": config.tokens,
        **_passes(config, status),
        "flops": float(config.flops),
        "flops_6nd": 6.0 * counts.total * config.tokens,
        "loss": number_or_nan(status["loss"]),
        "loss_stderr": number_or_nan(status["loss_stderr"]),
        "bits_per_byte": number_or_nan(status["bits_per_byte"]),
        **_losses(status.get("evaluation_sets", {})),
        "lr": recipe.rates.matrix,
        "batch_tokens": recipe.batch_tokens,
        "warmup_tokens": round(recipe.schedule.warmup * config.tokens),
        "schedule": recipe.schedule.kind,
        "decay_fraction": recipe.schedule.decay,
        "weight_decay": recipe.weight_decay,
        "optimizer": recipe.optimizer,
        "seed": config.seed,
        "width": model.width,
        "depth": model.depth,
        "heads": model.heads,
        "kv_heads": model.kv_heads,
        "ffn": model.ffn,
        "vocab": model.vocab,
        "seq_len": model.seq_len,
        "corpus": _corpus(config),
        "tokenizer": config.data.tokenizer["name"],
        **_held_out(status),
        "dtype": config.dtype,
        "device": status["device"],
        "wall_s": status["wall_s"],
        "mfu": mfu(number_or_nan(status["flops_per_s"]), status["device"]),
    }


def _corpus(config: RunConfig) -> str:
    """What a run is trained on: the corpus and its hash, and that of the mixture, so that no two are taken for one."""
    name = f"{config.data.fingerprint['name']}:{config.data.fingerprint['sha256'][:12]}"
    if config.data.mixture is None:
        return name
    mixture = json.dumps({source: share for source, share in config.data.mixture.items() if share}, sort_keys=True)
    return f"{name}@{hashlib.sha256(mixture.encode()).hexdigest()[:8]}"


def _passes(config: RunConfig, status: Mapping[str, Any]) -> dict[str, float]:
    """Columns of how much of the text is seen how often, and of which share each source has in it."""
    if "unique_tokens" in status:  # of a mixture: how often one of its tokens is seen on average
        unique, epochs = status["unique_tokens"], config.tokens / status["unique_tokens"]
    else:
        unique = min(config.tokens, status["tokens_per_epoch"])
        epochs = config.tokens / status["tokens_per_epoch"]
    sources = status.get("sources", {})
    return {
        "unique_tokens": unique,
        "epochs": epochs,
        **{f"mix_{name}": drawn["share"] for name, drawn in sources.items()},
        **{f"epochs_{name}": drawn["epochs"] for name, drawn in sources.items()},
    }


def _losses(evaluation_sets: Mapping[str, dict[str, Any]]) -> dict[str, float]:
    """Columns of the losses on evaluation sets."""
    return {
        column: number_or_nan(found[key])
        for name, found in evaluation_sets.items()
        for column, key in (
            (f"loss_{name}", "loss"),
            (f"loss_{name}_stderr", "loss_stderr"),
            (f"bits_per_byte_{name}", "bits_per_byte"),
        )
    }


def _held_out(status: Mapping[str, Any]) -> dict[str, str]:
    """Columns of the hashes of what the losses are measured on; none for a run that ended before there were any."""
    texts = {"": status, **{f"_{name}": found for name, found in status.get("evaluation_sets", {}).items()}}
    return {
        f"held_out_sha256{end}": found["held_out_sha256"] for end, found in texts.items() if "held_out_sha256" in found
    }


def number_or_nan(value: object) -> float:
    """A number from JSON, which writes NaN as null."""
    return float(value) if isinstance(value, int | float) else math.nan
