"""``scaling predict``: forecast the loss of a run that has not been made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from scaling.cli.common import QUANTITY, collected, emit, json_option
from scaling.cli.folders import TABLE
from scaling.cli.tables import refuse_options, table_options

if TYPE_CHECKING:
    from analysis.forecasting.forecast import Forecast
    from analysis.result import Result

HELP = """Forecast the loss of a run that has not been made, with an interval that counts what the law may get wrong.

TABLE is a sweep's folder, or any CSV, JSON, Parquet or Excel file with parameters, tokens and loss. The interval
combines resampled fits, the extrapolation error seen inside the table, and the noise of the target's own seeds.
A frozen forecast.json is printed back; published:NAME (such as published:chinchilla-epoch) takes constants from
a paper, without an interval. Neither takes the options that only a fit could use.

With --pairs, TABLE holds reward curves (run_id, n or kl, gold, pairs; see `scaling fit`) or is a stage's folder, and
the forecast is of a policy against a reward model of so many preference pairs: the most gold it gains, where, and the
gain at each n or KL. It is refused where a naive forecast missed less on the fitted reward models of more pairs.

\b
Examples:
  scaling predict runs/quickstart --params 150k --tokens 4M
  scaling predict runs.csv --where "corpus == 'c4'" --model llama3-8b --tokens 1T --freeze f.json
  scaling predict runs/sweep --params 150k --tokens 4M --columns loss=loss_code
  scaling predict f.json --json
  scaling predict runs.csv --task hellaswag --model llama3-8b --tokens 1T
  scaling predict runs/chat/best --pairs 32k --n 64
"""
_OF_LOSSES = ("flops", "law", "task", "task_loss", "seeds", "bootstrap", "best")
_FITTING = ("flops", "law", "task", "task_loss", "interval", "seeds", "bootstrap", "where", "columns", "best")


@dataclass(frozen=True)
class Request:
    """The options of the command."""

    table: str
    model: str | None
    params: float | None
    tokens: float | None
    flops: float | None
    law: str
    task: str | None
    task_loss: str
    pairs: float | None
    n: int | None
    kl: float | None
    interval: float
    seeds: int
    bootstrap: int
    freeze: str | None
    where: str | None
    columns: Mapping[str, str] | None
    best: bool


@click.command(help=HELP)
@click.argument("table", metavar="TABLE|forecast.json", type=TABLE)
@click.option("--model", metavar="NAME", help="The target: a published Llama; `scaling models` lists them.")
@click.option(
    "--params",
    type=QUANTITY,
    metavar="N",
    help="Or its parameters, counted as in the table; with --pairs, of the reward model.",
)
@click.option("--tokens", type=QUANTITY, metavar="D", help="Its training tokens.")
@click.option(
    "--flops",
    type=QUANTITY,
    metavar="C",
    help="Its training FLOPs.  [default: per parameter and token, what the table's runs nearest in size need]",
)
@click.option(
    "--law",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="auto weighs six laws, if they suit the runs, by rolling-origin folds. Or one: chinchilla-tied, chinchilla, "
    "kaplan, overtraining, skaling, farseer, data-constrained, compute or broken; after fine-tuning: finetuning, "
    "rectified, finetuning-rectified or data.",
)
@click.option(
    "--task",
    metavar="COLUMN",
    help="Forecast this column of accuracies, between 0 and 1, instead of the loss; refused if it does not scale.",
)
@click.option(
    "--task-loss",
    default="loss",
    show_default=True,
    metavar="COLUMN",
    help="The loss that the task's accuracy is taken to follow.",
)
@click.option("--pairs", type=QUANTITY, metavar="COUNT", help="Preference pairs of a target reward model.")
@click.option("--n", type=click.IntRange(min=1), metavar="COUNT", help="With --pairs: the gain of best of this many.")
@click.option("--kl", type=QUANTITY, metavar="NATS", help="With --pairs: the gain at this KL from the start.")
@click.option(
    "--interval",
    type=QUANTITY,
    default="90%",
    show_default=True,
    metavar="SHARE",
    help="Level of the interval.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="COUNT",
    help="Runs at the target, whose mean loss is forecast.",
)
@click.option(
    "--bootstrap",
    type=click.IntRange(min=20),
    default=1000,
    show_default=True,
    metavar="COUNT",
    help="Resamples of whole trunks.",
)
@click.option(
    "--freeze",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write the forecast, with the table's hash, for `scaling score`; never overwrites another.",
)
@table_options
@json_option
@collected(Request)
def command(request: Request, as_json: bool) -> None:
    """Makes or reads a forecast and prints it."""
    from analysis.fitting.published import PREFIX
    from scaling.api.forecasts import Frozen, forecast_published, frozen_forecast

    target = (request.params, request.model, request.tokens)
    if (found := _rewards(request)) is not None:
        emit(found, as_json)
        return
    if request.task is not None and not request.table.startswith(PREFIX) and not request.table.endswith(".json"):
        emit(_task(request), as_json)
        return
    refuse_options(() if request.task is not None else ("task_loss",), "a forecast without --task", "of the loss")
    if request.table.startswith(PREFIX):
        reason = "a paper's constants: a loss without an interval"
        refuse_options((*_FITTING, "freeze"), request.table, reason)
        emit(forecast_published(request.table, *target), as_json)
        return
    if request.table.endswith(".json"):
        refuse_options(_FITTING, request.table, "frozen: forecast anew from its table")
        made = frozen_forecast(request.table, *target)
    else:
        made = _loss(request)
    emit(Frozen.at(made, request.freeze) if request.freeze else made, as_json)


def _rewards(request: Request) -> "Result | None":
    """The forecast of a table of rewards, or one that is frozen; None for a forecast of losses or tasks."""
    from scaling.api.rewards import forecast_rewards, frozen_rewards

    if request.pairs is None:
        refuse_options(("n", "kl"), "a forecast without --pairs", "not of rewards")
        frozen = frozen_rewards(request.table) if request.table.endswith(".json") else None
        if frozen is not None:
            refuse_options((*_FITTING, "model", "params", "tokens"), request.table, "frozen: forecast anew")
        return frozen.freeze(request.freeze) if frozen is not None and request.freeze else frozen
    refuse_options((*_OF_LOSSES, "model", "tokens"), "--pairs", "a forecast of rewards")
    made = forecast_rewards(
        request.table,
        pairs=request.pairs,
        reward_params=request.params,
        n=request.n,
        kl=request.kl,
        interval=request.interval,
        where=request.where,
        columns=request.columns,
    ).accepted()
    return made.freeze(request.freeze) if request.freeze else made


def _task(request: Request) -> "Result":
    from scaling.api.forecasts import forecast_task

    assert request.task is not None
    refuse_options(("law", "seeds", "bootstrap", "freeze"), "--task", "a forecast of one run's accuracy")
    return forecast_task(
        request.table,
        task=request.task,
        task_loss=request.task_loss,
        params=request.params,
        model=request.model,
        tokens=request.tokens,
        flops=request.flops,
        interval=request.interval,
        where=request.where,
        columns=request.columns,
        best=request.best,
    )


def _loss(request: Request) -> "Forecast":
    from scaling.api.forecasts import forecast

    return forecast(
        request.table,
        params=request.params,
        model=request.model,
        tokens=request.tokens,
        flops=request.flops,
        law=request.law,
        interval=request.interval,
        seeds=request.seeds,
        bootstrap=request.bootstrap,
        where=request.where,
        columns=request.columns,
        best=request.best,
        unseen=request.freeze is not None,
    )
