"""``scaling status``: the state of every run in a sweep's folder."""

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click

from scaling.cli.common import emit, json_option
from scaling.errors import InputError

_WATCH_S = 2.0
_ENDED = ("done", "diverged")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--watch", is_flag=True, help="Keep one line of counts up to date until every run has ended.")
@json_option
def command(folder: Path, watch: bool, as_json: bool) -> None:
    """Show every run with its progress and loss: planned, running, interrupted, done or diverged.

    Loss is the held-out one of a finished run, the latest training loss of a running one, in nats per token. An
    interrupted run was begun and is trained by nobody now; `scaling run` goes on with it. The last line
    tells how much of the workers' time went into compiling.

    \b
    Examples:
      scaling status runs/quickstart
      scaling status runs/quickstart --watch
    """
    from scaling.cli.progress import rewritten
    from scaling.sweep.execute import states
    from scaling.sweep.store import SweepFolder

    if watch and as_json:
        raise InputError("--watch and --json do not go together: --json prints one object")
    sweep = SweepFolder(folder)
    runs = states(sweep)
    while watch and _ended(runs) < len(runs):
        if sys.stdout.isatty():
            click.echo(rewritten(_counts(runs)), nl=False)
        else:
            click.echo(_counts(runs))
        time.sleep(_WATCH_S)
        runs = states(sweep)
    if watch and sys.stdout.isatty():
        click.echo(rewritten(""), nl=False)
    emit({"runs": runs}, as_json, _text(runs))


def _ended(runs: list[dict[str, Any]]) -> int:
    return sum(run["state"] in _ENDED for run in runs)


def _counts(runs: list[dict[str, Any]]) -> str:
    """One line: how many runs are in which state, and how far those are that train now."""
    counts = Counter(run["state"] for run in runs)
    parts = [f"{_ended(runs)} of {len(runs)} runs ended"]
    parts += [f"{number} {state}" for state, number in counts.items() if state not in _ENDED]
    parts += [f"{run['id'][:6]} {run['progress']:.0%}" for run in runs if run["state"] == "running"]
    return " | ".join(parts)


def _text(runs: list[dict[str, Any]]) -> str:
    from scaling.cli.progress import clock

    rows = [f"{'run':12}  {'role':6}  {'state':11}  {'progress':>8}  {'loss':>8}"]
    rows += [
        f"{run['id']:12}  {run['role']:6}  {run['state']:11}  {run['progress']:8.0%}  "
        + ("" if run["loss"] is None else f"{run['loss']:8.4f}")
        for run in runs
    ]
    spent, compiling = (sum(run[name] or 0.0 for run in runs) for name in ("wall_s", "compile_s"))
    time_spent = f"; {clock(spent)} of training, {clock(compiling)} of it compiling" if spent else ""
    return "\n".join([*rows, f"{_ended(runs)} of {len(runs)} runs ended{time_spent}"])
