"""``scaling predict``: forecast the loss of a run that has not been made."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from scaling.cli.common import QUANTITY, emit, json_option
from scaling.cli.folders import TABLE
from scaling.cli.tables import parse_columns, refuse_options, table_options
from scaling.errors import InputError
from scaling.quantity import format_quantity

if TYPE_CHECKING:
    from analysis.forecasting.downstream import TaskForecast


@click.command()
@click.argument("table", metavar="TABLE|forecast.json", type=TABLE)
@click.option("--model", metavar="NAME", help="The target: a published Llama; `scaling models` lists them.")
@click.option("--params", type=QUANTITY, metavar="N", help="Or its parameters, counted as in the table.")
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
    help="auto weighs every law that suits the runs by nested extrapolation; or one of chinchilla, chinchilla-tied, "
    "kaplan, overtraining, skaling, farseer, data-constrained, compute or broken.",
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
def command(
    table: str,
    model: str | None,
    params: float | None,
    tokens: float | None,
    flops: float | None,
    law: str,
    task: str | None,
    task_loss: str,
    interval: float,
    seeds: int,
    bootstrap: int,
    freeze: str | None,
    where: str | None,
    columns: str | None,
    best: bool,
    as_json: bool,
) -> None:
    """Forecast the loss of a run that has not been made, with an interval that counts what the law may get wrong.

    TABLE is a sweep's folder, or any CSV, Parquet or JSONL file with parameters, tokens and loss. The interval
    combines resampled fits, the extrapolation error seen inside the table, and the noise of the target's own seeds.
    A frozen forecast.json is printed back; published:NAME (such as published:chinchilla-epoch) takes constants from
    a paper, without an interval. Neither takes the options that only a fit could use.

    \b
    Examples:
      scaling predict runs/quickstart --params 150k --tokens 4M
      scaling predict runs.csv --where "corpus == 'c4'" --model llama3-8b --tokens 1T --freeze f.json
      scaling predict f.json --json
      scaling predict runs.csv --task hellaswag --model llama3-8b --tokens 1T
    """
    from analysis.fitting.published import PREFIX, constants, predict_published
    from analysis.forecasting.forecast import forecast, read_forecast, refuse_known
    from analysis.runs.table import read_table
    from scaling.cli.target import leaves_out_embeddings

    fitting = ("flops", "law", "task", "task_loss", "interval", "seeds", "bootstrap", "where", "columns", "best")
    if task is not None and not table.startswith(PREFIX) and not table.endswith(".json"):
        from analysis.forecasting.downstream import forecast_task

        refuse_options(("law", "seeds", "bootstrap", "freeze"), "--task", "a forecast of one run's accuracy")
        extra = (task, task_loss) if task_loss != "loss" else (task,)
        runs = read_table(table, parse_columns(columns), where, extra, best)
        size, length, _ = _target(model, params, tokens, leaves_out_embeddings(runs))
        foreseen = forecast_task(runs, task, size, length, flops, task_loss, interval)
        emit(foreseen.to_dict(), as_json, lambda: _text_of_task(foreseen))
        return
    refuse_options(() if task is not None else ("task_loss",), "a forecast without --task", "of the loss")
    if table.startswith(PREFIX):
        refuse_options((*fitting, "freeze"), table, "a paper's constants: a loss without an interval")
        size, length, _ = _target(model, params, tokens, constants(table).nonembedding)
        plain = predict_published(table, size, length)
        emit(
            plain,
            as_json,
            f"loss           {plain['loss']:.4f} nats per token, from constants: no interval\n"
            f"constants      {plain['source']}\ncounts         {plain['convention']}",
        )
        return
    if table.endswith(".json"):
        refuse_options(fitting, table, "frozen: forecast anew from its table")
        made = read_forecast(table)
        asked = (
            [_target(model, params, tokens, bare)[:2] for bare in (False, True)] if model or params or tokens else []
        )
        if asked and (made.params, made.tokens) not in asked:
            raise InputError(
                f"{table}: is frozen for {made.params:.6g} parameters and {made.tokens:.6g} tokens; "
                "forecast another target from its table"
            )
    else:
        runs = read_table(table, parse_columns(columns), where, best=best)
        size, length, vocab = _target(model, params, tokens, leaves_out_embeddings(runs))
        if freeze:
            refuse_known(runs, size, length)
        made = forecast(runs, size, length, flops, law, interval, bootstrap, seeds, vocab)
    if freeze:
        made = made.freeze(freeze)
    low, high = made.interval
    emit(
        made.to_dict(),
        as_json,
        lambda: "\n".join(
            [
                f"loss           {made.loss:.4f} nats per token, {100 * made.level:.4g}% interval {low:.4f} to "
                f"{high:.4f} ({low / made.loss - 1:+.1%} {high / made.loss - 1:+.1%})",
                f"target         {format_quantity(made.params)} parameters, {format_quantity(made.tokens)} "
                f"tokens, {made.flops:.3g} FLOPs: {made.extrapolation:.3g} times the largest fitted run",
                "laws           " + ", ".join(f"{name} {weight:.0%}" for name, weight in made.weights.items()),
                _calibration(made.calibration),
                *(f"naive          {loss:.4f} by {name}" for name, loss in made.baselines.items()),
                f"noise          {made.noise['run']:.2%} of one run's loss, from "
                + ("replicates" if made.noise["replicates"] else "residuals"),
                f"fitted         {made.n_runs} runs of {made.source}, table {made.table_hash[:12]}",
                *([f"frozen in      {freeze}, sha256 {made.sha256}"] if freeze else []),
            ]
        ),
    )


def _text_of_task(made: "TaskForecast") -> str:
    low, high = made.interval
    return "\n".join(
        [
            f"accuracy       {made.accuracy:.3f} on {made.task}, {100 * made.level:.4g}% interval {low:.3f} to "
            f"{high:.3f}",
            f"target         {format_quantity(made.params)} parameters, {format_quantity(made.tokens)} "
            f"tokens, {made.flops:.3g} FLOPs: {made.extrapolation:.3g} times the largest fitted run",
            f"loss           {made.loss:.4f} expected of {made.task_loss}",
            "methods        " + ", ".join(f"{name} {weight:.0%}" for name, weight in made.weights.items()),
            f"backtest       misses by {made.backtest_error:.3f} of accuracy on dearer fitted runs; "
            f"repeating the dearest by {made.naive_error:.3f}",
            f"fitted         {made.n_runs} runs of {made.source}, table {made.table_hash[:12]}",
        ]
    )


def _calibration(told: Mapping[str, float]) -> str:
    """How the width of the interval came about."""
    if not told["splits"]:
        return "interval       by prior belief alone: the runs do not suffice to forecast the dearer from the cheaper"
    return (
        f"interval       {told['scale']:.2f} times what laws and resamples tell, {told['form']:.2%} more per factor e "
        f"of compute: by {told['splits']:.0f} forecasts among fitted runs, up to {told['tested']:.3g} times the FLOPs"
    )


def _target(
    model: str | None, params: float | None, tokens: float | None, nonembedding: bool
) -> tuple[float, float, int | None]:
    """Parameters, tokens and, of a published model, the vocabulary."""
    if (model is None) == (params is None):
        raise InputError("give exactly one of --model and --params")
    if tokens is None:
        raise InputError("give --tokens, the length of the target's training")
    if model is not None:
        from scaling.cli.target import params_of
        from scaling.llama.zoo import find

        return params_of(model, nonembedding), tokens, find(model).config.vocab
    assert params is not None
    return params, tokens, None
