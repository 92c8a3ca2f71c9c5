"""``scaling plot``: draw one figure from a table of runs."""

from collections.abc import Mapping

import click

from scaling.cli.common import emit, json_option
from scaling.cli.folders import TABLE
from scaling.cli.tables import refuse_options, table_options

KINDS = (
    "flops",
    "tokens",
    "isoflop",
    "envelope",
    "optimum",
    "overtraining",
    "backtest",
    "residuals",
    "rates",
    "collapse",
    "domains",
)
# Of stages after pre-training, from a stage's folder or a table of rewards or of models.
STAGE_KINDS = (
    "rewards",
    "best-of-n",
    "reward-accuracy",
    "win-rate",
    "examples",
    "answer-length",
    "reward-flops",
)

# Of comparisons, from a folder with contenders or a frozen comparison.
COMPARISON_KINDS = ("multiplier", "loss-difference", "better")

# Of the choice of a mixture, from a sweep's folder or a frozen choice.
MIXTURE_KINDS = ("mixtures", "mixture-losses", "mixture-laws")

HELP = """Draw one figure from a table of runs.

\b
Kinds:
  flops         loss over training FLOPs; from a sweep's folder, with its forecast and the target's runs
  tokens        loss over training tokens, by size; from a sweep's folder, with the fitted and measured curves
  isoflop       loss over parameters at each budget, with parabolas and their minima
  envelope      loss over training FLOPs by size, with the lowest of the curves
  optimum       the best parameters and tokens over training FLOPs, by the parabolas and by the envelope
  overtraining  loss over tokens per parameter, by size
  backtest      errors of forecasts from the low-compute runs, over how far beyond them the high-compute ones lie
  residuals     how far each run lies from the laws of a sweep's frozen forecast
  rates         what each learning rate loses to the best one, at each size and length of a tuning sweep
  collapse      the loss curves of a sweep's folder on one another, and which runs leave the others'
  domains       loss over training FLOPs on every domain with a column loss_<domain>, with its forecast and the target's
                runs; from a mixture's folder or choice.json, with what was forecast of the chosen mixture

\b
Kinds of stages after pre-training:
  rewards         gold and proxy over the square root of the KL divergence from the start, with the peak
  best-of-n       gold of the best of n over n
  reward-accuracy accuracy and loss of reward models over pairs, by size
  win-rate        win rate against the start over the KL divergence
  examples        loss of fine-tuned models over examples, by size, with the start's
  answer-length   mean length of answers, and the share that stops, over the KL divergence
  reward-flops    reward over the compute of reinforcement learning, with its sigmoid

\b
Kinds of comparisons:
  multiplier      compute multiplier of the best contender over compute, with its forecast and the target
  loss-difference difference of its loss and the others' over compute
  better          probability of each contender to be better than each other

\b
Kinds of mixtures:
  mixtures        where the best mixture lies: the objective over all mixtures of two or three sources, shares of more
  mixture-losses  loss on every domain of the chosen mixture and of others, with intervals and what came of them
  mixture-laws    what each law missed of runs that were left out of its fit, and its weight

TABLE is a sweep's folder, or any CSV, JSON, Parquet or Excel file with parameters, tokens and loss; of stages it is
a stage's folder or a table with kl or n and gold or proxy, or with pairs and accuracy, or examples and loss; of
comparisons it is the folder of a sweep with contenders, or what scaling compare --freeze wrote; of mixtures the folder
of a sweep with mixtures, or what scaling mixture choose --freeze wrote.

\b
Examples:
  scaling plot flops runs/quickstart -o flops.png
  scaling plot isoflop llama3_isoflop.csv -o isoflop.svg
  scaling plot rewards runs/chat/ppo -o rewards.png
  scaling plot multiplier comparison.json -o multiplier.svg
  scaling plot mixtures choice.json -o mixtures.svg
"""


@click.command(help=HELP)
@click.argument("kind", metavar="KIND", type=click.Choice((*KINDS, *STAGE_KINDS, *COMPARISON_KINDS, *MIXTURE_KINDS)))
@click.argument("table", metavar="TABLE", type=TABLE)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Where to: .png, .svg or .pdf.",
)
@table_options
@json_option
def command(
    kind: str, table: str, output: str, where: str | None, columns: Mapping[str, str] | None, best: bool, as_json: bool
) -> None:
    """Draws a figure and says what it shows."""
    from scaling.api.pages import plot

    if kind in COMPARISON_KINDS:
        refuse_options(("where", "columns", "best"), f"plot {kind}", "of a comparison that is made already")
    if kind in MIXTURE_KINDS:
        refuse_options(("where", "columns", "best"), f"plot {kind}", "of a mixture that is chosen already")
    if kind in STAGE_KINDS:
        refuse_options(("best",), f"plot {kind}", "of a stage")
    emit(plot(kind, table, output=output, where=where, columns=columns, best=best), as_json)
