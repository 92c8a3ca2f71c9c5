"""Names under which tools log parameters, tokens, loss and settings.

Names are compared as words: ``eval/loss``, ``eval.loss``, ``Eval Loss`` and ``evalLoss`` are the same. A setting is
also found by the end of its path, as in ``model.config.n_params``.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from analysis.runs.recognition.spelling import without_unit
from analysis.runs.schema import ALIASES, FURTHER, NUMBERS, TEXTS

_BORDER = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
# Beside the schema's own names and aliases. Levanter: parameter_count, throughput/total_tokens; Hugging Face:
# num_input_tokens_seen, model/num_parameters; MosaicML's Composer: time/token; nanoGPT: tokens per iteration will be.
MORE_NAMES: dict[str, tuple[str, ...]] = {
    "params": (
        *("params_count", "number_of_parameters", "num_total_params", "model_num_parameters", "params_total"),
        *("trainable_params", "num_trainable_params", "trainable_parameters"),
    ),
    "params_nonembedding": (
        *("non_embedding_params", "nonembedding_params", "n_params_non_embedding", "num_non_embedding_params"),
        *("params_non_embedding", "non_embedding_parameters", "params_nonemb", "n_nonemb", "non_emb_params"),
        *("num_params_non_embedding", "params_no_embedding", "n_params_nonemb", "nonemb_params"),
    ),
    "tokens": (
        *("tokens_processed", "consumed_tokens", "seen_tokens", "num_tokens_seen", "n_tokens_seen", "time_token"),
        *("total_tokens_seen", "total_train_tokens", "train_tokens_seen", "trained_tokens"),
    ),
    "batch_tokens": (
        *("tokens_per_iter", "tokens_per_iteration", "tokens_per_step", "tokens_per_batch", "global_batch_tokens"),
        *("batch_size_tokens", "global_batch_size_tokens", "total_batch_size_tokens", "batch_size_in_tokens"),
    ),
    "bits_per_byte": ("bpb",),
    "lr": ("base_lr",),
    "seed": ("random_seed", "rng_seed"),
    "width": ("hidden_size", "d_model", "n_embd", "hidden_dim", "embed_dim", "model_dim", "n_embed"),
    "depth": ("num_hidden_layers", "num_layers", "n_layers", "n_layer", "layers"),
    "heads": ("num_attention_heads", "num_heads", "n_heads", "n_head"),
    "kv_heads": ("num_key_value_heads", "n_kv_heads", "num_kv_heads", "n_kv_head"),
    "ffn": ("intermediate_size", "intermediate_dim", "d_ff", "ffn_dim"),
    "vocab": ("vocab_size", "padded_vocab_size", "n_vocab"),
    "seq_len": ("sequence_length", "seq_length", "max_seq_len", "block_size", "context_length", "train_seq_len"),
    "wall_s": ("runtime", "train_runtime"),
    "sweep": ("experiment", "project", "group"),
    "corpus": ("dataset_name",),
}
STEPS = (
    *("global_step", "step", "steps", "iter", "iteration", "iterations", "iters", "train_steps", "num_train_steps"),
    *("training_steps", "n_steps", "num_steps", "num_iterations", "max_steps", "max_iters"),
)
STATES = ("state", "status", "run_state")
COUNTS = ("params", "params_nonembedding", "params_active", "tokens", "unique_tokens", "batch_tokens", "flops")
_HELD_OUT = {"eval", "evaluation", "val", "valid", "validation", "test", "dev", "heldout"}
_LOSSES = {"loss", "nll", "xent", "crossentropy"}
# An average over data sets, or words that say no more than that it is a loss.
_AVERAGES = {"macro", "micro", "avg", "average", "mean"}
_PLAIN = {
    "log",
    "ln",
    "ppl",
    "perplexity",
    "lm",
    "ce",
    "cross",
    "entropy",
    "metrics",
    "epoch",
    "language",
    "held",
    "out",
    "final",
    "per",
    "token",
}
# A part of a loss, or a figure about it; not the loss of the last evaluation.
_OTHER = {
    *("best", "min", "max", "std", "stderr", "aux", "auxiliary", "z", "router", "balance", "balancing", "load", "reg"),
    *(
        "kl",
        "grad",
        "scale",
        "spike",
        "spikes",
        "time",
        "count",
        "ratio",
        "delta",
        "scaler",
        "weight",
        "target",
        "lowest",
    ),
    *("initial", "init", "first", "curriculum", "distill", "loading"),
}
_BITS = re.compile(r"(?:^|_)(?:bpb|bits_?(?:per_?)?byte|bits_per_byte)(?:_|$)")
_UNITS = (
    ("bits_per_byte", _BITS),
    ("bits_per_character", re.compile(r"(?:^|_)(?:bpc|bits_per_char(?:acter)?)(?:_|$)")),
    ("bits_per_token", re.compile(r"(?:^|_)(?:bpt|bits_per_token|log2_(?:ppl|perplexity))(?:_|$)")),
    ("perplexity", re.compile(r"(?:^|_)(?<!log_)(?<!ln_)(?<!log2_)(?<!log10_)(?:ppl|perplexity)(?:_|$)")),
)
_LOGARITHM = re.compile(r"(?:^|_)(?:log|ln)_(?:ppl|perplexity)(?:_|$)")  # nats


@lru_cache(maxsize=100_000)
def worded(name: str) -> str:
    """A name in lower case, its words joined by ``_``."""
    return "_".join(word for word in _BORDER.split(name.strip()) if word).lower()


def own_names(column: str) -> tuple[str, ...]:
    """All names of a column of the schema, its own first."""
    return (column, *ALIASES.get(column, ()), *FURTHER.get(column, ()), *MORE_NAMES.get(column, ()))


_OWN = {column: own_names(column) for column in (*NUMBERS, *TEXTS)}


def rank(name: str, column: str) -> int | None:
    """How well a tool's name suits a column: 0 as a whole, 1 by the end of its path, 2 with a unit, None not at all."""
    found = rank_among(name, _OWN[column])
    if column == "wall_s" and found != 0:  # an evaluation has a runtime too
        return None
    return 2 if found is None and scale(name, column) > 1 else found


def scale(name: str, column: str) -> float:
    """Size of the unit in which a tool's name says it counts, as in ``tokens (B)``; 1 without one."""
    stem, unit = without_unit(worded(re.split(r"[/.]", name)[-1]))
    return unit if column in COUNTS and len(stem) > 1 and stem in _OWN[column] else 1.0


def rank_among(name: str, names: tuple[str, ...]) -> int | None:
    """As :func:`rank`, among some names."""
    whole = worded(name)
    if whole in names or name.strip().lower() in names:
        return 0
    end = worded(re.split(r"[/.]", name)[-1])
    return 1 if end in names and len(end) > 1 else None  # n, d and c are names only as a whole


@dataclass(frozen=True)
class LossName:
    """What the name of a loss says.

    Attributes:
        held_out: whether it is evaluated on held-out data.
        place: 0 for the loss of a whole evaluation, 1 for an average over its data sets, 2 for one data set's.
        unit: None for nats, otherwise the name of the unit, such as ``bits_per_byte``.
    """

    held_out: bool
    place: int
    unit: str | None


def loss_name(name: str) -> LossName | None:
    """What a name says of a loss; None if it is no loss's."""
    whole = worded(name)
    words = whole.split("_")
    unit = next((unit for unit, pattern in _UNITS if pattern.search(whole)), None)
    is_loss = bool(_LOSSES & set(words)) or "cross_entropy" in whole or bool(_LOGARITHM.search(whole))
    if not (is_loss or unit) or _OTHER & set(words):
        return None
    held_out = bool(_HELD_OUT & set(words)) or "held_out" in whole or whole in ALIASES["loss"]
    left = [word for word in words if word not in _HELD_OUT | _LOSSES | _PLAIN]
    if unit is not None or not left:
        return LossName(held_out, 0, unit)
    return LossName(held_out, 1 if set(left) <= _AVERAGES else 2, unit)
