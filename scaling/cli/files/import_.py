"""``scaling import``: read a Llama from a Hugging Face folder."""

from dataclasses import asdict
from pathlib import Path

import click

from scaling.cli.common import emit_plain, json_option


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the model is kept.  [default: runs/imported/<name of DIR>]",
)
@json_option
def command(folder: Path, out: Path | None, as_json: bool) -> None:
    """Read a Llama from a Hugging Face folder: config.json and safetensors, in one file or with an index of shards.

    Read are the model types llama (1 to 3), mistral, qwen2 and qwen3 (dense), as versions 4 and 5 of transformers
    save them: any head_dim; attention_bias; tied or not; RoPE plain or scaled (linear, dynamic, yarn, llama3);
    weights in float64, float32, float16 or bfloat16. Special ids, generation_config.json and the tokenizer's files
    are kept as they are. Refused by name, one line each: attention within a sliding window shorter than the context,
    mlp_bias, other activations and RoPE scalings, quantised weights, adapters (LoRA) alone, pickled files. Ids for
    which the embedding has no row are a warning. A reward model is a sequence classifier with num_labels 1. The model
    is kept in float32; `scaling export` writes it again.

    \b
    Examples:
      scaling import Llama-3.2-1B
      scaling import exported --out models/mine --json
    """
    from scaling.hf.folder import import_model
    from scaling.llama.counts import count_params

    out = Path("runs", "imported", folder.resolve().name) if out is None else out
    done = import_model(folder, out)
    model = done.model
    params = count_params(model).total
    shape = (
        f"width {model.width}, depth {model.depth}, heads {model.heads}/{model.kv_heads} of {model.head_dim}, "
        f"vocabulary {model.vocab:,}"
    )
    warnings = [warning._asdict() for warning in done.warnings]
    fields = {**asdict(model), "head_dim": model.head_dim}
    del fields["head_size"]
    kind = "a reward model, " if done.score else ""
    result = {"folder": str(out), "params": params, "reward_model": done.score, "model": fields, "warnings": warnings}
    emit_plain(result, as_json, f"{out}: {kind}{params:,} parameters; {shape}")
