"""``scaling recipe``: the laws of the best learning rate and batch, and whether a sweep's recipe is near it."""

from collections.abc import Mapping
from pathlib import Path

import click

from scaling.cli.common import emit, json_option, stoppable, workers_option
from scaling.cli.folders import TABLE
from scaling.cli.tables import column_options


@click.group()
def command() -> None:
    """Tune and check the recipe of a sweep: how learning rate and batch follow model size and length.

    \b
    Examples:
      scaling recipe check sweeps/quickstart.yaml
      scaling recipe fit runs/tune
    """


@command.command()
@click.argument("table", metavar="TABLE", type=TABLE)
@column_options
@json_option
def fit(table: str, where: str | None, columns: Mapping[str, str] | None, as_json: bool) -> None:
    """Fit laws of the best learning rate and batch to the runs of a grid.

    TABLE is a sweep's folder, or any CSV, JSON, Parquet or Excel file with parameters, tokens, loss (nats per token),
    and lr, batch_tokens (tokens per step) or both, at three values or more for each of several sizes and lengths.
    Seeds, where the table has them, are paired.

    Two forms are fitted: Step Law's, lr = c N^a D^b and batch = d D^e, and DeepSeek's, both powers of the training
    FLOPs C. N, D and C are counted as the table counts them.

    Where warmup_tokens or weight_decay were varied, at three values or more with all else alike, the best share of
    warm-up and the best weight decay of each size and length are reported as well. There is no law of these.

    \b
    Examples:
      scaling recipe fit runs/tune
      scaling recipe fit theirs.csv --columns params=n_nonemb,lr=max_lr
      scaling recipe fit theirs.csv --where "corpus == 'c4'" --json
    """
    from scaling.api.running.recipes import fit_recipe

    emit(fit_recipe(table, where=where, columns=columns), as_json)


@command.command()
@click.argument("sweep", metavar="SWEEP.yaml")
@click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder of the check's runs.  [default: runs/<sweep name>-check]",
)
@workers_option
@json_option
@stoppable
def check(sweep: str, overrides: tuple[str, ...], out: Path | None, workers: int | None, as_json: bool) -> None:
    """Try other learning rates at both ends of a sweep, before it is run.

    Half, once and twice the recipe's rate are trained at the smallest and the largest fitted size with paired seeds,
    for a tenth of the sweep's FLOPs, where that pays for a seed or two. Reported are what the recipe loses to the best
    rate at each, whether the best rate drifts between them, and by how much that would bias the forecast of the
    target. Batch and warm-up are taken as they are: tune those by a sweep with a grid.

    A recipe changed after a check needs another folder: --out.

    \b
    Examples:
      scaling recipe check sweeps/quickstart.yaml
      scaling recipe check sweeps/quickstart.yaml recipe.learning_rate=0.02
    """
    from scaling.api.running.recipes import check_recipe
    from scaling.cli.sweeps.run import shown

    emit(check_recipe(sweep, overrides=overrides, out=out, workers=workers, progress=shown), as_json)
