"""``scaling allocate``: how many parameters and tokens."""

import textwrap
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scaling.cli.common import QUANTITY, emit_plain, json_option
from scaling.cli.folders import TABLE
from scaling.cli.tables import refuse_options, table_options
from scaling.errors import InputError
from scaling.quantity import format_quantity

if TYPE_CHECKING:
    from analysis.allocation.approaches import FrontierAllocation
    from analysis.allocation.results import Allocation, LawAllocation, OptimalSplit

_SUFFIXES = (".png", ".svg", ".pdf")
_WIDTH, _INDENT = 110, 15
_ROUNDING = 1e-6


@click.command()
@click.argument("table", metavar="TABLE|published:NAME", type=TABLE)
@click.option("--flops", type=QUANTITY, metavar="C", help="The training budget, in FLOPs.")
@click.option("--loss", type=QUANTITY, metavar="L", help="Or the loss to be reached, nats per token.")
@click.option("--params", type=QUANTITY, metavar="N", help="Fixes the parameters.")
@click.option("--model", metavar="NAME", help="Likewise, to those of a published Llama; `scaling models` lists them.")
@click.option("--tokens", type=QUANTITY, metavar="D", help="Fixes the training tokens.")
@click.option(
    "--inference-tokens",
    type=QUANTITY,
    metavar="T",
    help="Tokens to serve over the model's life, each at a third of a training token's FLOPs. --flops then stands for "
    "the loss of the compute-optimal model that it pays for.  [default: none]",
)
@click.option(
    "--unique-tokens",
    type=QUANTITY,
    metavar="U",
    help="Training tokens before they repeat; repeats count for less and less.  [default: no limit]",
)
@click.option(
    "--approach",
    type=click.Choice(["law", "isoflop", "envelope"]),
    default="law",
    show_default=True,
    help="law: fit laws (approach 3). isoflop: a parabola at each budget (approach 2). envelope: the lowest of the "
    "sizes' curves over compute (approach 1).",
)
@click.option(
    "--law",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="auto weighs every law that tells parameters from tokens, as `scaling predict` does; or one of them.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Draw what other sizes would lose or cost: .png, .svg or .pdf.",
)
@table_options
@json_option
def command(
    table: str,
    flops: float | None,
    loss: float | None,
    params: float | None,
    model: str | None,
    tokens: float | None,
    inference_tokens: float | None,
    unique_tokens: float | None,
    approach: str,
    law: str,
    plot: str | None,
    where: str | None,
    columns: Mapping[str, str] | None,
    best: bool,
    as_json: bool,
) -> None:
    """How many parameters, on how many tokens: for a training budget, for a loss, or for a model given.

    \b
    --flops C                       the least loss that C buys
    --flops C --inference-tokens T  the least FLOPs, training and serving, for that loss
    --loss L                        the least FLOPs for a loss, those of serving included
    with --params or --tokens       the other one, and what it costs beside the best split
    --params and --tokens           what over-training (or under-training) that model costs

    TABLE is a sweep's folder, or any CSV, Parquet or JSONL file with parameters, tokens and loss. Training costs, per
    parameter and token, what the table's runs nearest in size cost: 6 FLOPs where it has no flops. published:NAME
    takes a paper's constants instead, and 6: chinchilla-epoch, chinchilla-hoffmann, chinchilla-sardana, kaplan,
    muennighoff, gadre-c4, gadre-redpajama, gadre-refinedweb.

    Brackets hold 90 % intervals, and the last lines say what these cover. Sizes called near-optimal lose at most
    0.25 % more for the same FLOPs.

    Approaches 1 and 2 assume no form of the loss: they find the best size at the computes that were trained, leave out
    those that do not bracket it, and continue a power law. They need a grid of sizes, and --flops alone.

    \b
    Examples:
      scaling allocate published:chinchilla-epoch --flops 5.76e23
      scaling allocate runs/quickstart --flops 1e15 --plot split.svg
      scaling allocate llama3_isoflop.csv --flops 3.8e25 --approach isoflop
      scaling allocate published:chinchilla-sardana --loss 1.947 --inference-tokens 2T
      scaling allocate published:chinchilla-epoch --model llama3-8b --tokens 15T
      scaling allocate published:muennighoff --flops 1e24 --unique-tokens 500B
    """
    from analysis.allocation.allocate import allocate
    from analysis.allocation.approaches import allocate_by
    from analysis.allocation.estimate import estimate_surface, published_surface
    from analysis.allocation.results import Request
    from analysis.fitting.published import PREFIX, constants
    from analysis.runs.table import read_table
    from scaling.api.targets import leaves_out_embeddings, one_of

    if plot is not None and Path(plot).suffix.lower() not in _SUFFIXES:
        raise InputError(f"--plot {plot}: write .png, .svg or .pdf")
    if table.startswith(PREFIX):
        refuse_options(("approach", "law", "where", "columns", "best"), table, "a paper's fit")
    if approach != "law":
        refuse_options(
            ("loss", "params", "model", "tokens", "law", "inference_tokens", "unique_tokens", "plot"),
            f"--approach {approach}",
            "of a training budget alone",
        )
        if flops is None:
            raise InputError(f"--approach {approach}: give --flops, the training budget")
        runs = read_table(table, columns, where, best=best)
        along = allocate_by(approach, runs, flops)
        emit_plain(
            along.to_dict(), as_json, lambda: _joined(along, _text(along, runs.convention), _frontier_text(along))
        )
        return
    rows = None if table.startswith(PREFIX) else read_table(table, columns, where, best=best)
    bare = constants(table).nonembedding if rows is None else leaves_out_embeddings(rows)
    # Before any fit, as that takes seconds.
    request = Request(flops, loss, one_of(params, model, bare), tokens, inference_tokens or 0.0)
    fresh = inf if unique_tokens is None else unique_tokens
    known = published_surface(table, fresh) if rows is None else estimate_surface(rows, law, fresh)
    made = allocate(known, request)
    if plot is not None:
        from analysis.plots.allocation import plot_allocation

        plot_allocation(known, made, plot)
    counts = known.convention + (f"; {model} without its embeddings" if model is not None and bare else "")
    emit_plain(made.to_dict(), as_json, lambda: _joined(made, _text(made, counts), _beside(made, model)))


def _text(made: "Allocation", convention: str) -> list[str]:
    """What is told of every answer."""
    low, high = map(format_quantity, made.near_optimal["params"])
    few, many = map(format_quantity, made.near_optimal["tokens_per_param"])
    ratio = format_quantity(made.tokens_per_param)
    return [
        f"parameters     {format_quantity(made.params)}{_span(made, 'params')}",
        f"tokens         {format_quantity(made.tokens)}{_span(made, 'tokens')}: {ratio} per parameter",
        f"loss           {made.loss:.4f}{_span(made, 'loss', '.4f')} nats per token",
        f"training       {made.flops:.4g}{_span(made, 'flops', '.3g')} FLOPs: {made.extrapolation:.3g} times the "
        "largest run's",
        f"near-optimal   {low} to {high} parameters, {few} to {many} tokens per parameter: within 0.25 %",
        f"counts         {convention}",
    ]


def _beside(made: "LawAllocation", model: str | None) -> list[str]:
    """The laws, what serving takes, and the answer beside the compute-optimal model of the same loss."""
    laws = sorted(made.weights.items(), key=lambda pair: -pair[1])
    lines = [_wrapped("law", ", ".join(f"{name} {weight:.0%}" for name, weight in laws) if laws[1:] else made.law)]
    if made.inference_tokens:
        lines.append(
            f"serving        {made.inference_flops:.4g} FLOPs for {format_quantity(made.inference_tokens)} tokens; "
            f"{made.total_flops:.4g}{_span(made, 'total_flops', '.3g')} FLOPs in all"
        )
    best = made.optimum
    if best is None:
        return lines
    if made.excess_loss > _ROUNDING:
        over = f"{made.excess_loss:.2%}{_span(made, 'excess_loss', '.2%')}"
        lines.append(f"excess loss    {over} over the best split of as many FLOPs")
    lines.append(
        _wrapped(
            "optimum",
            f"{format_quantity(best.params)}{_span(made, 'optimum_params')} on {format_quantity(best.tokens)}"
            f"{_span(made, 'optimum_tokens')} tokens, {best.flops:.4g}{_span(made, 'optimum_flops', '.3g')} FLOPs: the "
            "compute-optimal model of the same loss",
        )
    )
    costs = _costs(made, best)
    told = [f"{model or format_quantity(made.params)} on {format_quantity(made.tokens)}: {costs or 'as the optimum'}"]
    if costs and best.break_even_tokens is not None:
        even = f"{format_quantity(best.break_even_tokens)}{_span(made, 'break_even_tokens')}"
        told.append(f"breaks even after {even} tokens of inference")
    if made.inference_tokens and (total := _less(best.total_saving, 2)):
        span = _span(made, "total_saving", ".2%") if best.total_saving > 0 else ""
        told.append(f"what is served counted in, {total}{span} FLOPs")
    return [*lines, _wrapped("beside it", "; ".join(told))]


def _costs(made: "LawAllocation", best: "OptimalSplit") -> str:
    """What training and serving cost beside the optimum; empty where that is the same."""
    told = []
    if best.training_ratio > 1.005:
        span = _span(made, "training_ratio", ".3g")
        told.append(f"{best.training_ratio:.3g}{span} times the training compute of the optimum")
    if serving := _less(best.inference_saving, 1):
        told.append(f"{serving} inference FLOPs per token")
    return " and ".join(told)


def _less(saving: float, digits: int) -> str:
    """'12.0% less', '50.0% more' or '34 times the' of what another takes; empty for nothing."""
    if abs(saving) < 0.5 * 10 ** -(digits + 2):
        return ""
    if saving < -1:
        return f"{1 - saving:.3g} times the"
    return f"{abs(saving):.{digits}%} {'less' if saving > 0 else 'more'}"


def _frontier_text(split: "FrontierAllocation") -> list[str]:
    lines = []
    for label, name, exponent, coefficient in (
        ("N*(C)", "exponent", split.exponent, split.coefficient),
        ("D*(C)", "tokens_exponent", split.tokens_exponent, split.tokens_coefficient),
    ):
        lines.append(f"{label:<14} {coefficient:.3g} C^{exponent:.3f}{_span(split, name, '.3f')}")
    if split.skew is not None:
        lines.append("skew           {:.2g} +- {:.2g}, taken out; an even parabola has 0".format(*split.skew))
    used, out = split.budgets.used, split.budgets.left_out
    lines.append(f"budgets        {min(used):.3g} to {max(used):.3g} FLOPs; left out: {len(out) or 'none'}")
    return lines


def _joined(made: "Allocation", *parts: list[str]) -> str:
    lines = [line for part in parts for line in part]
    return "\n".join([*lines, _wrapped("source", made.source), _wrapped("intervals", f"90 %: {made.covers}")])


def _span(made: "Allocation", name: str, form: str | None = None) -> str:
    """The 90 % interval of a number in brackets, if it has one that shows."""
    if made.interval is None or name not in made.interval:
        return ""
    low, high = ("" if x is None else format(x, form) if form else format_quantity(x) for x in made.interval[name])
    if low and high:
        return f" [{low} to {high}]" if low != high else ""
    return f" [at least {low}]" if low else f" [at most {high}]" if high else " [no limit either way]"


def _wrapped(label: str, text: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=f"{label:<{_INDENT}}",
        subsequent_indent=" " * _INDENT,
        break_on_hyphens=False,
        break_long_words=False,
    )
