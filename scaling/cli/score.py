"""``scaling score``: compare a frozen forecast with the runs made after it."""

import click

from scaling.cli.common import emit, json_option
from scaling.cli.folders import TABLE


@click.command()
@click.argument("forecast", metavar="forecast.json")
@click.argument("table", metavar="TABLE", type=TABLE)
@click.option("--write", type=click.Path(dir_okay=False), metavar="FILE", help="Also write the score, as score.json.")
@json_option
def command(forecast: str, table: str, write: str | None, as_json: bool) -> None:
    """Compare a frozen forecast with the runs made after it, and say whether the actual loss fell inside.

    The actual loss is the mean over the finished target runs of TABLE: rows with role target or, in a table
    without roles, rows at the target's parameters and tokens. Refuses a forecast that was made from other
    runs than TABLE's, or that was changed after it was frozen.

    \b
    Examples:
      scaling score runs/quickstart/forecast.json runs/quickstart
      scaling score f.json all-runs.csv --json
    """
    from analysis.forecasting.forecast import read_forecast
    from analysis.forecasting.score import score
    from analysis.runs.table import read_table

    frozen = read_forecast(forecast)
    result = score(frozen, read_table(table, frozen.columns, frozen.where, best=frozen.best))
    if write:
        result.write(write)
    low, high = result.interval
    verdict = "inside" if result.covered else "outside"
    emit(
        result.to_dict(),
        as_json,
        lambda: "\n".join(
            [
                f"predicted      {result.predicted:.4f} nats per token",
                f"actual         {result.actual:.4f}: "
                + ", ".join(f"{run.loss:.4f}" for run in result.actuals)
                + ("" if result.seed_std is None else f" (seed standard deviation {result.seed_std:.2%})"),
                f"error          {result.error:+.2%}, {result.extrapolation:.3g} times the largest fit",
                f"interval       {low:.4f} to {high:.4f} ({result.level:.0%}): the actual lies {verdict}",
                *(
                    f"naive          {baseline.predicted:.4f} by {name}: {baseline.error:+.2%}"
                    for name, baseline in result.baselines.items()
                ),
                f"forecast       sha256 {result.forecast_sha256}",
            ]
        ),
    )
