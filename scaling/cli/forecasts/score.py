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

    A forecast of rewards is scored by the reward curves of the target's pairs: the error of its peak, whether the
    intervals hold, and the regret, what stopping at the forecast peak loses.

    \b
    Examples:
      scaling score runs/quickstart/forecast.json runs/quickstart
      scaling score f.json all-runs.csv --json
    """
    from scaling.api.forecasts import score
    from scaling.api.rewards import frozen_rewards, score_rewards

    rewards = frozen_rewards(forecast)
    result = score(forecast, table) if rewards is None else score_rewards(rewards, table)
    if write:
        result.write(write)
    emit(result, as_json)
