"""The published Llamas, as a result."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.result import Result
from analysis.table_text import table_text
from scaling.api.hardware.cost_text import hours_text
from scaling.costing import implied_mfu, published_mfu
from scaling.llama.counts import CONVENTIONS, count_params, flops_per_token
from scaling.llama.zoo import ZOO, ZooEntry, find
from scaling.quantity import format_quantity

_WIDTH = 110


@dataclass(frozen=True)
class Models(Result):
    """Published Llamas: all of them in a table, or everything about one.

    Attributes:
        entries: the models.
        warnings: none.
    """

    entries: tuple[ZooEntry, ...]
    warnings: tuple[Diagnostic, ...] = ()

    def __str__(self) -> str:
        return _detail(self.entries[0]) if len(self.entries) == 1 else _table(self.entries)

    def to_dict(self) -> dict[str, Any]:
        return {"models": [_row(entry) for entry in self.entries]}

    def to_frame(self) -> pd.DataFrame:
        """One row per model, by its name."""
        return pd.DataFrame(self.to_dict()["models"]).drop(columns="flops_per_token").set_index("name")


def models(name: str | None = None) -> Models:
    """The published Llamas.

    Args:
        name: one of them; by default all.

    Raises:
        InputError: with the closest name, if there is none.
    """
    return Models(tuple(ZOO.values()) if name is None else (find(name),))


def _row(entry: ZooEntry) -> dict[str, Any]:
    c = entry.config
    return {
        "name": entry.name,
        "params": entry.params,
        "params_nonembedding": count_params(c).nonembedding,
        "width": c.width,
        "depth": c.depth,
        "heads": c.heads,
        "kv_heads": c.kv_heads,
        "head_dim": c.head_dim,
        "ffn": c.ffn,
        "vocab": c.vocab,
        "seq_len": c.seq_len,
        "tied": c.tie_embeddings,
        "tokens": entry.tokens,
        "flops": entry.flops,
        "flops_per_token": {
            convention: {
                "full": flops_per_token(c, c.seq_len, convention),
                "causal": flops_per_token(c, c.seq_len, convention, causal=True),
            }
            for convention in CONVENTIONS
        },
        "gpu_hours": entry.gpu_hours,
        "gpu_hours_31": entry.gpu_hours_31,
        "device": entry.device,
        "mfu": published_mfu(entry),
        "mfu_6nd": implied_mfu(entry.flops_6nd, entry.gpu_hours, entry.device),
        "distilled": entry.distilled,
        "learning_rate": entry.learning_rate,
        "batch_tokens": entry.batch_tokens,
        "source": entry.source,
    }


def _table(entries: Sequence[ZooEntry]) -> str:
    numbers = {source: number for number, source in enumerate(dict.fromkeys(entry.source for entry in entries), 1)}
    columns = ("name", "params", "width", "depth", "heads", "ffn", "vocab", "context", "tokens", "lr", "batch")
    rows = (
        (
            entry.name,
            f"{entry.params:,}",
            str(entry.config.width),
            str(entry.config.depth),
            f"{entry.config.heads}/{entry.config.kv_heads}",
            str(entry.config.ffn),
            str(entry.config.vocab),
            str(entry.config.seq_len),
            format_quantity(entry.tokens),
            _rate(entry.learning_rate) or "-",
            "-" if entry.batch_tokens is None else format_quantity(entry.batch_tokens),
            f"{entry.gpu_hours:,.0f} {entry.device}",
            f"{published_mfu(entry):.0%}",
            f"[{numbers[entry.source]}]",
        )
        for entry in entries
    )
    table = table_text("lrrrrrrrrrrrrl", (*columns, "hours", "MFU", "source"), rows, gap=1)
    notes = [textwrap.fill(s, _WIDTH, initial_indent=f"[{n}] ", subsequent_indent="    ") for s, n in numbers.items()]
    return "\n".join([table, "", "heads: query/key-value; lr and batch: peak, tokens; -: not published", *notes])


def _rate(learning_rate: float | None) -> str:
    """As people write it: ``1.5e-4``; empty if it is not published."""
    if learning_rate is None:
        return ""
    digits, exponent = f"{learning_rate:.1e}".split("e")
    return f"{float(digits):g}e{int(exponent)}"


def _detail(entry: ZooEntry) -> str:
    c, count = entry.config, count_params(entry.config)
    batch = "not published" if entry.batch_tokens is None else f"{format_quantity(entry.batch_tokens)} tokens"
    facts = {
        "parameters": f"{entry.params:,}; without embedding and head {count.nonembedding:,}",
        "shape": f"width {c.width}, depth {c.depth}, {c.heads} heads, {c.kv_heads} key-value heads, ffn {c.ffn}, "
        f"vocab {c.vocab}, {'tied' if c.tie_embeddings else 'untied'} head",
        "training": f"{format_quantity(entry.tokens)} tokens at context {c.seq_len}, batch {batch}, peak learning rate "
        f"{_rate(entry.learning_rate) or 'not published'}",
        "hours": hours_text(entry),
        "source": entry.source,
    }
    lines = [entry.name]
    lines += [
        textwrap.fill(text, _WIDTH, initial_indent=f"{label:<12}", subsequent_indent=" " * 12)
        for label, text in facts.items()
    ]
    lines += ["", f"{'training FLOPs per token':<26} {'full':>9} {'causal':>9}"]
    for name, convention in CONVENTIONS.items():
        full, causal = (flops_per_token(c, c.seq_len, name, masked) for masked in (False, True))
        lines.append(f"  {name:<24} {full:>9.3e} {causal:>9.3e}  {convention.formula}")
        lines.append(f"  {'':<24} {'':>9} {'':>9}  {convention.meaning}")
    lines.append(
        "W matmul weights of the layers, N parameters, V vocab, d width, L depth, h heads, s positions attended to: "
        "the context,\nor with a causal mask half of it on average."
    )
    return "\n".join(lines)
