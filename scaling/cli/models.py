"""``scaling models``: the published Llamas."""

from typing import Any

import click

from scaling.cli.common import emit, json_option
from scaling.cost import published_mfu
from scaling.llama.counts import count_params
from scaling.llama.zoo import ZOO, ZooEntry
from scaling.quantity import format_quantity


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the published Llamas: shapes, parameters, tokens, device hours.

    Any of these names can stand where a command asks for --model, and as a sweep's target. MFU is the run's
    FLOPs (every matmul, full attention) over what its published device hours could have done at the peak.

    \b
    Examples:
      scaling models
      scaling models --json
    """
    emit({"models": [_row(entry) for entry in ZOO.values()]}, as_json, _table)


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
        "ffn": c.ffn,
        "vocab": c.vocab,
        "seq_len": c.seq_len,
        "tied": c.tie_embeddings,
        "tokens": entry.tokens,
        "flops": entry.flops,
        "gpu_hours": entry.gpu_hours,
        "device": entry.device,
        "mfu": published_mfu(entry),
        "learning_rate": entry.learning_rate,
        "batch_tokens": entry.batch_tokens,
        "source": entry.source,
    }


def _table() -> str:
    lines = [
        f"{'name':<12} {'params':>15} {'width':>6} {'depth':>5} {'heads':>5} {'kv':>3} {'ffn':>6} "
        f"{'vocab':>6} {'context':>7} {'tokens':>7} {'FLOPs':>8} {'hours':>15} {'MFU':>4}"
    ]
    for entry in ZOO.values():
        c = entry.config
        mfu = published_mfu(entry)
        hours = "" if entry.gpu_hours is None else f"{entry.gpu_hours:,.0f} {entry.device}"
        lines.append(
            f"{entry.name:<12} {entry.params:>15,} {c.width:>6} {c.depth:>5} {c.heads:>5} {c.kv_heads:>3} "
            f"{c.ffn:>6} {c.vocab:>6} {c.seq_len:>7} {format_quantity(entry.tokens):>7} {entry.flops:>8.2g} "
            f"{hours:>15} {'' if mfu is None else f'{mfu:.0%}':>4}".rstrip()
        )
    return "\n".join(lines)
