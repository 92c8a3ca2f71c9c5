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
    """Read a Llama from a Hugging Face folder: config.json and safetensors, in one file or in shards.

    Llamas 1 to 3 are read, with Llama 3.1's RoPE scaling, tied or not, in float32, float16 or bfloat16, and Qwen3's
    dense models, as saved by versions 4 and 5 of transformers. Whatever our model cannot
    represent is an error, one line each. The model is kept in float32; `scaling export` writes it again.

    \b
    Examples:
      scaling import Llama-3.2-1B
      scaling import exported --out models/mine --json
    """
    from scaling.hf.folder import import_model
    from scaling.llama.counts import count_params

    out = Path("runs", "imported", folder.resolve().name) if out is None else out
    model = import_model(folder, out)
    params = count_params(model).total
    shape = (
        f"width {model.width}, depth {model.depth}, heads {model.heads}/{model.kv_heads}, vocabulary {model.vocab:,}"
    )
    result = {"folder": str(out), "params": params, "model": asdict(model)}
    emit_plain(result, as_json, f"{out}: {params:,} parameters; {shape}")
