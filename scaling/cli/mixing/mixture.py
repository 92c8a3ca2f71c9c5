"""``scaling mixture``: laws of data mixtures, and the best one for a target."""

from collections.abc import Mapping
from dataclasses import dataclass

import click

from scaling.cli.common import QUANTITY, collected, emit, json_option
from scaling.cli.folders import TABLE
from scaling.cli.mixing.values import EPOCHS, VALUES, pattern_options
from scaling.cli.tables import column_options, refuse_options

_LAWS = "inverse, inverse-joint, exponential, exponential-joint or bimix"
_CHOOSING = (
    *("params", "model", "tokens", "flops", "objective", "most", "unique", "law", "kl", "interval", "seeds"),
    *("mix", "losses", "where", "columns"),
)
CHOOSE_HELP = """Choose the mixture of sources for a target, by runs of small models on many mixtures.

TABLE is a sweep's folder, or any CSV, JSON, Parquet or Excel file: one row a run, with parameters, tokens, the share of
each source (mix_code, ...; they sum to 1 or 100) and the loss on each domain (loss_code, ...). Or choice.json, what
--freeze wrote.

The level of each loss is forecast like that of any run; what a mixture changes is told by laws of mixtures, weighed by
what they missed of mixtures and larger runs left out of their fit. The choice lies within the convex hull of the
mixtures tried, repeats no source more than its limit, and leans to the proportional mixture where the runs do not say
otherwise. The ranges hold the mixtures that cannot be told from it.

\b
Examples:
  scaling mixture choose runs/mixture --params 150k --tokens 7M --for code=30%,docs=70%
  scaling mixture choose runs.csv --mix 'weight_*' --losses '*_loss' --model llama3-8b --tokens 1T --freeze choice.json
  scaling mixture choose runs.csv --params 1B --tokens 1T --unique code=30B,web=15T --most code=10epochs
"""


@dataclass(frozen=True)
class Request:
    """The options of ``choose``."""

    table: str
    params: float | None
    model: str | None
    tokens: float | None
    flops: float | None
    objective: Mapping[str, float] | None
    most: Mapping[str, float] | None
    unique: Mapping[str, float] | None
    law: str
    kl: float
    interval: float
    seeds: int
    mix: str | None
    losses: str | None
    where: str | None
    columns: Mapping[str, str] | None
    freeze: str | None


@click.group()
def command() -> None:
    """Choose the mixture of data for a target, by runs on many mixtures.

    \b
    Examples:
      scaling mixture design sweeps/mixture.yaml
      scaling mixture fit runs/mixture
      scaling mixture choose runs/mixture --params 150k --tokens 7M --for code=30%,docs=70%
    """


@command.command()
@click.argument("sweep", metavar="SWEEP.yaml")
@click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1)
@json_option
def design(sweep: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """List the mixtures of a sweep's runs, what they span and how well they fill the space; spends nothing.

    \b
    Examples:
      scaling mixture design sweeps/mixture.yaml
      scaling mixture design sweeps/mixture.yaml mixtures.count=30 mixtures.around=uniform
    """
    from scaling.api.mixing.designs import design_mixtures

    emit(design_mixtures(sweep, overrides=overrides), as_json)


@command.command()
@click.argument("table", metavar="TABLE", type=TABLE)
@click.option("--law", default="auto", show_default=True, metavar="NAME", help=f"auto fits all; or one: {_LAWS}.")
@pattern_options
@column_options
@json_option
def fit(
    table: str,
    law: str,
    mix: str | None,
    losses: str | None,
    where: str | None,
    columns: Mapping[str, str] | None,
    as_json: bool,
) -> None:
    """Fit the laws of what a mixture changes, and show what each missed of mixtures and larger runs left out.

    TABLE is as for `scaling mixture choose`. With --json also the parameters of every law on every domain.

    \b
    Examples:
      scaling mixture fit runs/mixture
      scaling mixture fit runs.csv --mix 'weight_*' --losses '*_loss' --law inverse --json
    """
    from scaling.api.mixing.choices import fit_mixture

    emit(fit_mixture(table, law=law, mix=mix, losses=losses, where=where, columns=columns), as_json)


@command.command(help=CHOOSE_HELP)
@click.argument("table", metavar="TABLE|choice.json", type=TABLE)
@click.option("--params", type=QUANTITY, metavar="N", help="The target's parameters, counted as in the table.")
@click.option("--model", metavar="NAME", help="Or a published Llama; `scaling models` lists them.")
@click.option("--tokens", type=QUANTITY, metavar="D", help="The target's training tokens.")
@click.option(
    "--flops",
    type=QUANTITY,
    metavar="C",
    help="Its training FLOPs.  [default: per parameter and token, what the table's largest runs need]",
)
@click.option(
    "--for",
    "objective",
    type=VALUES,
    metavar="DOMAIN=WEIGHT,...",
    help="Weights of the domains' losses, such as code=30%,docs=70%.  [default: all alike]",
)
@click.option(
    "--most",
    type=EPOCHS,
    metavar="SOURCE=EPOCHS,...",
    help="Passes over a source at most, such as web=4epochs.  [default: 4, or as many as some run has made]",
)
@click.option(
    "--unique",
    type=VALUES,
    metavar="SOURCE=TOKENS,...",
    help="Training tokens that each source has, such as code=30B,web=15T.  [default: as epochs_<source> tells]",
)
@click.option("--law", default="auto", show_default=True, metavar="NAME", help=f"auto weighs all; or one: {_LAWS}.")
@click.option(
    "--kl",
    type=click.FloatRange(min=0),
    default=0.05,
    show_default=True,
    metavar="WEIGHT",
    help="Pull towards the proportional mixture, a share of what the objective differs by between mixtures.",
)
@click.option(
    "--interval", type=QUANTITY, default="90%", show_default=True, metavar="SHARE", help="Level of the intervals."
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
    "--freeze",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write the choice, with the table's hash, for `scaling score`; never overwrites another.",
)
@pattern_options
@column_options
@json_option
@collected(Request)
def choose(request: Request, as_json: bool) -> None:
    """Makes or reads a choice and prints it."""
    from dataclasses import asdict

    from scaling.api.mixing.choices import FrozenChoice, choose_mixture, frozen_choice

    made = frozen_choice(request.table) if request.table.endswith(".json") else None
    if made is not None:
        refuse_options(_CHOOSING, request.table, "frozen: choose anew from its table")
    else:
        options = {name: value for name, value in asdict(request).items() if name not in ("table", "freeze")}
        made = choose_mixture(request.table, unseen=request.freeze is not None, **options)
    emit(FrozenChoice.at(made, request.freeze) if request.freeze else made, as_json)
