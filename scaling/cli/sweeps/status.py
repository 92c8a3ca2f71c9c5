"""``scaling status``: the state of every run in a sweep's folder."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.cli.common import emit_plain, json_option
from scaling.cli.folders import SWEEP_FOLDER
from scaling.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType


_WATCH_S = 1.0
_ENDED = ("done", "diverged")


@click.command()
@click.argument("folder", metavar="DIR|URL", type=SWEEP_FOLDER)
@click.option("--watch", is_flag=True, help="Show the runs that train now until every run has ended or failed.")
@json_option
def command(folder: Path, watch: bool, as_json: bool) -> None:
    """Show every run with its progress and loss: planned, running, interrupted, done, diverged or failed.

    The loss is in nats per token: on the held-out set for a finished run, the latest training loss for a running one.
    Of a folder with stages or contenders all their runs are shown, each loss in the stage's own unit.
    An interrupted run was begun, and no worker trains it now; `scaling run` resumes it. The last line shows how much
    of the workers' time went into compiling.

    With --watch it shows the runs that train now, on whichever machine, until every run has ended; then all runs as
    above. Ctrl-C ends the watching and nothing else. It only reads. Without a terminal it prints a plain line whenever
    a run begins or ends, and every 20 s.

    \b
    Examples:
      scaling status runs/quickstart
      scaling status runs/quickstart --watch
    """
    from scaling.sweep.folder.parts import all_states

    if watch and as_json:
        raise InputError("--watch and --json do not go together: --json prints one object")
    runs = _watch(folder) if watch else all_states(folder)
    emit_plain({"runs": runs}, as_json, _text(runs))


def _watch(folder: Path) -> list[dict[str, Any]]:
    """Shows what trains until every run has ended or failed; returns the runs."""
    from scaling.cli.sweeps.progress import PLAIN_EVERY_S
    from scaling.cli.terminal import live_display
    from scaling.sweep.folder.parts import all_states

    with live_display(stderr=False) as display:
        last, at = "", 0.0
        while True:
            runs = all_states(folder)
            if all(run["state"] in (*_ENDED, "failed") for run in runs):
                return runs
            if display is not None:
                display.show(_live(folder.resolve().name, runs))
            elif _counts(runs) != last or time.monotonic() - at >= PLAIN_EVERY_S:
                last, at = _counts(runs), time.monotonic()
                click.echo(" | ".join([f"{last}{_speed(runs)}", *_training(runs)]))
            time.sleep(_WATCH_S)


def _ended(runs: list[dict[str, Any]]) -> int:
    return sum(run["state"] in _ENDED for run in runs)


def _counts(runs: list[dict[str, Any]]) -> str:
    """The number of runs in each state."""
    counts = Counter(run["state"] for run in runs)
    parts = [f"{_ended(runs)} of {len(runs)} runs ended"]
    return ", ".join(parts + [f"{number} {state}" for state, number in counts.items() if state != "done"])


def _speed(runs: list[dict[str, Any]]) -> str:
    """The speed of all runs that train now, together."""
    from scaling.quantity import format_quantity

    speed = sum(run["tokens_per_s"] or 0.0 for run in runs)
    return f", {format_quantity(speed)} tokens/s" if speed else ""


def _training(runs: list[dict[str, Any]]) -> Iterator[str]:
    """The progress of each run that trains now."""
    for run in runs:
        if run["state"] == "running":
            yield f"{run['id'][:6]} " + ("compiling" if run["loss"] is None else f"{run['progress']:.0%}")


def _live(name: str, runs: list[dict[str, Any]]) -> "RenderableType":
    """A line about all runs, and a row with a bar for each run that trains now."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from scaling.cli.sweeps.progress import bar
    from scaling.quantity import format_duration, format_quantity

    head = Text(f"{name}: {_counts(runs)}{_speed(runs)}", style="bold", no_wrap=True, overflow="ellipsis")
    running = [run for run in runs if run["state"] == "running"]
    if not running:
        return Group(head, Text("no run is being trained"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title, justify in (("run", "left"), ("role", "left"), ("", "left"), ("progress", "right"), ("loss", "right")):
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("tokens/s", justify="right", no_wrap=True)
    table.add_column("left", no_wrap=True)
    for run in running:
        if run["loss"] is None:
            table.add_row(run["id"], run["role"], bar(0.0), "compiling")
            continue
        speed = "" if run["tokens_per_s"] is None else format_quantity(run["tokens_per_s"])
        left = "" if run["left_s"] is None else format_duration(round(run["left_s"]))
        share = f"{run['progress']:.0%}"
        table.add_row(run["id"], run["role"], bar(run["progress"]), share, f"{run['loss']:.4f}", speed, left)
    return Group(head, table)


def _text(runs: list[dict[str, Any]]) -> str:
    from analysis.table_text import table_text
    from scaling.quantity import format_duration

    part = next((key for key in ("stage", "contender") if any(key in run for run in runs)), None)
    rows = (
        (
            *([run[part]] if part else []),
            run["id"],
            run["role"],
            run["state"],
            f"{run['progress']:.0%}",
            "" if run["loss"] is None else f"{run['loss']:.4f}",
        )
        for run in runs
    )
    titles = (*([part] if part else []), "run", "role", "state", "progress", "loss")
    lines = [table_text("l" * (len(titles) - 2) + "rr", titles, rows)]
    lines += [f"{run['id']}  has failed: {run['reason']}" for run in runs if run["state"] == "failed"]
    spent, compiling = (sum(run[name] or 0.0 for run in runs) for name in ("wall_s", "compile_s"))
    time_spent = (
        f"; {format_duration(round(spent))} of training, {format_duration(round(compiling))} of it compiling"
        if spent
        else ""
    )
    return "\n".join([*lines, f"{_ended(runs)} of {len(runs)} runs ended{time_spent}"])
