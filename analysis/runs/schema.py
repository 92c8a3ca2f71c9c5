"""The schema of a table of runs: its columns, their aliases and their meanings."""

import re
from collections.abc import Collection, Mapping

import pandas as pd

from analysis.errors import InputError
from analysis.runs.filter import closest

NUMBERS = (
    "params",
    "params_nonembedding",
    "params_active",
    "tokens",
    "unique_tokens",
    "epochs",
    "flops",
    "flops_6nd",
    "loss",
    "loss_stderr",
    "bits_per_byte",
    "lr",
    "batch_tokens",
    "warmup_tokens",
    "decay_fraction",
    "weight_decay",
    "seed",
    "width",
    "depth",
    "heads",
    "kv_heads",
    "ffn",
    "vocab",
    "seq_len",
    "wall_s",
    "mfu",
)
TEXTS = (
    "run_id",
    "trunk_id",
    "sweep",
    "role",
    "status",
    "schedule",
    "optimizer",
    "recipe",
    "corpus",
    "tokenizer",
    "dtype",
    "device",
)
REQUIRED = ("params", "tokens", "loss")
NATS = "nats per token"
_BITS = re.compile(r"\b(?:bits?\W*(?:per|/)\W*(byte|char|token)|bp([bct])\b)")
_PER = {"b": "byte", "c": "character", "t": "token", "char": "character"}
ALIASES = {
    "params": ("n", "n_params", "model_size"),
    "tokens": ("d", "n_tokens", "train_tokens"),
    "loss": ("val_loss", "final_loss", "eval_loss"),
    "flops": ("c", "compute"),
    "run_id": ("run",),
    "trunk_id": ("trunk",),
    "corpus": ("train_data", "dataset", "data", "training_data", "train_set"),
    "lr": ("learning_rate", "peak_lr", "max_lr"),
    "weight_decay": ("wd",),
    "optimizer": ("optim", "opt"),
    "epochs": ("n_epochs",),
}
# What a sweep may vary at one size and length, looking for the least loss; a seed is not looked for.
RECIPE = (
    "lr",
    "batch_tokens",
    "warmup_tokens",
    "schedule",
    "decay_fraction",
    "weight_decay",
    "optimizer",
    "recipe",
    "width",
    "depth",
    "heads",
    "kv_heads",
    "ffn",
    "dtype",
)


def loss_unit(columns: Mapping[str, str] | None) -> str:
    """Unit of a table's loss: nats per token unless the name of the column it is taken from says bits.

    Args:
        columns: the user's mapping from the schema's names to the file's.
    """
    found = _BITS.search((columns or {}).get("loss", "").lower().replace("_", " "))
    if found is None:
        return NATS
    per = found[1] or found[2]
    return f"bits per {_PER.get(per, per)}"


def renamed(
    frame: pd.DataFrame, source: str, columns: Mapping[str, str] | None, extra: Collection[str]
) -> pd.DataFrame:
    """A file's frame with the schema's names of its columns.

    Args:
        frame: as :func:`analysis.runs.readers.read_columns` gives it.
        source: for messages.
        columns: the schema's name -> the file's name, where the aliases do not suffice.
        extra: names of the file that stay in the frame besides the schema's.

    Raises:
        InputError: one line per name that is missing or not clear.
    """
    known = frame.attrs["known"]
    errors = []
    chosen: dict[str, str] = {}
    for name, own in (columns or {}).items():
        if name not in NUMBERS and name not in TEXTS:
            errors.append(f"`columns` {name}={own}: no such name in a table of runs{closest(name, [*NUMBERS, *TEXTS])}")
        elif own not in known:
            errors.append(f"`columns` {name}={own}: {source} has no column {own!r}{closest(own, known)}")
        else:
            chosen[name] = own
    lowered: dict[str, list[str]] = {}
    for own in map(str, frame.columns):
        lowered.setdefault(own.lower(), []).append(own)
    for name in (*NUMBERS, *TEXTS):
        if name in frame.columns or name in chosen:
            continue
        found = [own for alias in (name, *ALIASES.get(name, ())) for own in lowered.get(alias, [])]
        if len(found) > 1 and name in (*REQUIRED, "flops"):
            errors.append(f"{source}: columns {found} could all be {name!r}; choose with `columns` {name}=...")
        elif found:
            chosen[name] = found[0]
    for name in REQUIRED:
        if name not in frame.columns and name not in chosen and not any(name in error for error in errors):
            errors.append(f"{source}: no column {name!r}{closest(name, known)}; choose with `columns` {name}=...")
    if errors:
        raise InputError(errors)
    values = {name: frame[own] for name, own in chosen.items()}
    left = [own for own in frame.columns if own not in chosen.values() or own in extra]
    frame = frame[left]
    return frame.assign(**values)
