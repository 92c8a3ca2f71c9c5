"""``scaling plan``: what a sweep would train, and what that takes."""

from dataclasses import dataclass
from pathlib import Path

import click

from scaling.cli.common import collected, emit, json_option, note, out_option, workers_option

HELP = """List the runs of a sweep with FLOPs, memory, time, cost and what their forecast would be worth; spends
nothing.

FLOPs count every matrix product, attention over the full context and the output head. On a CPU seconds are by a
measurement of this machine, made once and kept: the train step is timed at a few shapes. On an accelerator they are
a rough guide, from its peak and the MFU that large models attain, which narrow ones do not. Cost is those hours
at the accelerator's list price; a CPU has none.

The expected interval is that of forecasts of simulated sweeps. Where there are finished runs, losses are drawn by
their law and noise; real intervals were then 0.4 to 2 times as wide, published tables mostly wider. Where
there are none, a usual law and the scatter of published runs stand in, and the figure is a guess: intervals of
published tables were 1 to 5 times as wide, half of them over 2 times. In JSON, expected.fitted is
true in the first case and false in the second.

Where finished runs determine the noise, the plan also says how many seeds each budget should have for the same FLOPs.
Warnings name what a forecast would suffer from, and finished runs that are far from those planned.

\b
Examples:
  scaling plan sweeps/quickstart.yaml
  scaling plan sweeps/quickstart.yaml --noise benchmarks/quickstart/sotu
  scaling plan sweeps/quickstart.yaml target.seeds=4 --json
"""


@dataclass(frozen=True)
class Request:
    """The options of the command."""

    sweep: str
    overrides: tuple[str, ...]
    out: Path | None
    noise: str | None
    workers: int | None
    calibrate: bool | None


@click.command(help=HELP)
@click.argument("sweep", metavar="SWEEP.yaml")
@click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1)
@out_option
@click.option(
    "--noise",
    metavar="TABLE",
    help="Finished runs to learn the law and the noise from.  [default: those in the sweep's folder]",
)
@workers_option
@click.option(
    "--calibrate/--no-calibrate",
    default=None,
    envvar="SCALING_CALIBRATE",
    help="Measure this machine's speed anew, or not at all.  [default: measure it if it never was: about a minute]",
)
@json_option
@collected(Request)
def command(request: Request, as_json: bool) -> None:
    """Plans a sweep and prints its runs."""
    from scaling.api.running.sweeps import plan

    planned = plan(
        request.sweep,
        overrides=request.overrides,
        out=request.out,
        noise=request.noise,
        workers=request.workers,
        calibrate=request.calibrate,
        note=note,
    )
    emit(planned, as_json)
