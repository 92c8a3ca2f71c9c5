"""``scaling fit``: fit scaling laws to a table of runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from scaling.cli.common import collected, emit, json_option
from scaling.cli.folders import TABLE
from scaling.cli.tables import refuse_options, table_options

if TYPE_CHECKING:
    from analysis.result import Result

HELP = """Fit scaling laws to a table of runs and print their parameters with standard errors.

TABLE is a sweep's folder, or any CSV, JSON, Parquet or Excel file with parameters, tokens and loss (nats per
token). The fit minimises the summed Huber loss (delta 1e-3) of the log loss over many starts, in float64.

published:NAME prints a paper's constants instead, with their source: published:chinchilla-epoch, for example.

With --law annealing, TABLE holds curves of one model: run_id, step, lr and loss; or it is a sweep's folder. With
rl-sigmoid, rl-power or intrinsic it holds curves of reinforcement learning: run_id, flops or step, params, and gold,
accuracy, reward, win_rate or proxy; or it is the folder of a stage.

With overoptimization-bon or overoptimization-rl (or overoptimization, for the one that suits) it holds curves of
rewards: run_id, n or kl, gold or proxy, and what is known of each proxy: pairs, reward_params, loss. Or it holds
samples: prompt, proxy and gold of each answer. Peaks have 90% intervals, from prompts where samples are given.

\b
Examples:
  scaling fit runs/quickstart
  scaling fit chinchilla.csv --law chinchilla --where "excluded_by_epoch == 0"
  scaling fit theirs.csv --columns params=n_nonemb,loss=c4_loss --json
  scaling fit curves.csv --law annealing
  scaling fit rl.csv --law rl-sigmoid --columns reward=critic/score/mean
  scaling fit runs/chat/best --law overoptimization-bon
"""


@dataclass(frozen=True)
class Request:
    """The options of the command."""

    table: str
    law: str
    bootstrap: int
    where: str | None
    columns: Mapping[str, str] | None
    best: bool


@click.command(help=HELP)
@click.argument("table", metavar="TABLE|published:NAME", type=TABLE)
@click.option(
    "--law",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="auto fits six laws, if they suit the runs, and weighs them by rolling-origin folds. Of endpoints: "
    "chinchilla, chinchilla-tied, kaplan, overtraining, skaling, farseer, data-constrained, compute or broken; of "
    "fine-tuning: finetuning, rectified, finetuning-rectified or data; of whole loss curves: annealing; of "
    "reinforcement learning: rl-sigmoid, rl-power, intrinsic; of rewards: "
    "overoptimization-bon, overoptimization-rl.",
)
@click.option(
    "--bootstrap",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    metavar="COUNT",
    help="Resamples of whole trunks, for standard errors; 0 for none.",
)
@table_options
@json_option
@collected(Request)
def command(request: Request, as_json: bool) -> None:
    """Fits a law and prints it."""
    from analysis.fitting.annealing import ANNEALING
    from analysis.fitting.published import PREFIX
    from scaling.api.fits import fit, fit_curves, published

    if request.table.startswith(PREFIX):
        refuse_options(("law", "bootstrap", "where", "columns", "best"), request.table, "a paper's fit")
        emit(published(request.table), as_json)
        return
    where, columns = request.where, request.columns
    if (found := _of_rewards(request)) is not None:
        emit(found, as_json)
        return
    if request.law == ANNEALING:
        refuse_options(("best",), f"--law {ANNEALING}", "of whole curves")
        emit(fit_curves(request.table, bootstrap=request.bootstrap, where=where, columns=columns), as_json)
        return
    fitted = fit(
        request.table,
        law=request.law,
        bootstrap=request.bootstrap,
        where=where,
        columns=columns,
        best=request.best,
    )
    emit(fitted, as_json)


def _of_rewards(request: Request) -> "Result | None":
    """The fit of a law of rewards; None for another law."""
    from scaling.api.rewards import OVEROPTIMIZATION, fit_rewards
    from scaling.api.rl_fits import RL_LAWS, fit_rl

    if request.law not in (*OVEROPTIMIZATION, *RL_LAWS):
        return None
    refuse_options(("best",), f"--law {request.law}", "of curves of reward")
    fitted = fit_rewards if request.law in OVEROPTIMIZATION else fit_rl
    return fitted(
        request.table, law=request.law, bootstrap=request.bootstrap, where=request.where, columns=request.columns
    )
