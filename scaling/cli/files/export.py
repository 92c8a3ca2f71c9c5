"""``scaling export``: write a trained run as a folder for Hugging Face's transformers."""

from pathlib import Path

import click

from scaling.cli.common import emit_plain, json_option
from scaling.cli.folders import SWEEP_FOLDER


@click.command()
@click.argument("run", metavar="RUN", type=SWEEP_FOLDER)
@click.option("--to", "form", type=click.Choice(["hf"]), required=True, help="The form of the folder.")
@click.argument("out", metavar="DIR", type=click.Path(path_type=Path))
@json_option
def command(run: Path, form: str, out: Path, as_json: bool) -> None:  # noqa: ARG001  # there is one form
    """Write a trained run as a folder that transformers.AutoModelForCausalLM.from_pretrained loads.

    A reward model is for AutoModelForSequenceClassification, with one label. A policy keeps its chat template.

    RUN is the folder of a run that is done, runs/NAME/runs/ID; that of a sweep, for its target run; or one that
    `scaling import` has made. DIR gets config.json, model.safetensors in float32, and the tokenizer.

    \b
    Examples:
      scaling export runs/quickstart/runs/0a1b2c3d4e5f --to hf exported
      scaling export runs/quickstart --to hf exported
    """
    from scaling.hf.folder import export_model
    from scaling.llama.counts import count_params

    done = export_model(run, out)
    params = count_params(done.model).total
    warnings = [] if done.without is None else [{"code": "no-tokenizer", "message": done.without}]
    kind = "a reward model, " if done.score else ""
    result = {"folder": str(out), "params": params, "reward_model": done.score, "warnings": warnings}
    emit_plain(result, as_json, f"{out}: {kind}{params:,} parameters")
