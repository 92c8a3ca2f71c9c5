"""``scaling models``: the published Llamas."""

import click

from scaling.cli.common import emit, json_option


@click.command()
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the published Llamas, or tell all about one: shape, parameters, tokens, recipe, device hours.

    Any of these names can stand where a command asks for --model, and as a sweep's target. MFU is the run's
    FLOPs (every matmul, full attention) over what its published device hours could have done at the peak. With
    NAME, also the training FLOPs per token in every convention.

    \b
    Examples:
      scaling models
      scaling models llama3-8b
      scaling models --json
    """
    from scaling.api.hardware.models import models

    emit(models(name), as_json)
