"""``scaling score``: compare a frozen forecast with the runs made after it."""

from typing import TYPE_CHECKING

import click

from scaling.cli.common import emit, json_option
from scaling.cli.folders import CONTENDERS, named_tables, one_table

if TYPE_CHECKING:
    from analysis.comparing.score import ComparisonScore
    from analysis.forecasting.score import Score
    from analysis.mixing.score import ChoiceScore
    from analysis.rewards.forecasting import RewardScore


@click.command()
@click.argument("forecast", metavar="forecast.json|comparison.json|choice.json")
@click.argument("tables", metavar="TABLE ...", type=CONTENDERS, nargs=-1)
@click.option("--write", type=click.Path(dir_okay=False), metavar="FILE", help="Also write the score, as score.json.")
@json_option
def command(forecast: str, tables: tuple[tuple[str | None, str], ...], write: str | None, as_json: bool) -> None:
    """Compare a frozen forecast with the runs made after it, and say whether the actual loss fell inside.

    The actual loss is the mean over the finished target runs of TABLE: rows with role target or, in a table
    without roles, rows at the target's parameters and tokens. Refuses a forecast that was made from other
    runs than TABLE's, or that was changed after it was frozen.

    A comparison is scored by the targets' runs of its contenders: their TABLEs, NAME=TABLE where a name is not the
    file's, are by default those that it was made from, read again.

    The choice of a mixture is scored by the target's runs on its candidates, in the TABLE that it was made from: the
    error on each domain, whether the intervals hold, and whether the chosen mixture was the better one.

    A forecast of rewards is scored by the reward curves of the target's pairs: the error of its peak, whether the
    intervals hold, and the regret, what stopping at the forecast peak loses.

    \b
    Examples:
      scaling score runs/quickstart/forecast.json runs/quickstart
      scaling score f.json all-runs.csv --json
      scaling score comparison.json runs/adamw runs/muon
    """
    from scaling.api.comparing.comparisons import frozen_comparison, score_comparison
    from scaling.api.forecasts import score
    from scaling.api.mixing.choices import frozen_choice, score_mixture
    from scaling.api.rewards import frozen_rewards, score_rewards

    result: Score | RewardScore | ComparisonScore | ChoiceScore
    if (comparison := frozen_comparison(forecast)) is not None:
        result = score_comparison(comparison, *named_tables(tables))
    elif (choice := frozen_choice(forecast)) is not None:
        result = score_mixture(choice, one_table(tables))
    elif (rewards := frozen_rewards(forecast)) is not None:
        result = score_rewards(rewards, one_table(tables))
    else:
        result = score(forecast, one_table(tables, forecast))
    if write:
        result.write(write)
    emit(result, as_json)
