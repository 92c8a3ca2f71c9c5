"""``scaling status``: the state of every run in a sweep's folder."""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.cli.common import emit_plain, json_option
from scaling.cli.folders import SWEEP_FOLDER
from scaling.errors import InputError

if TYPE_CHECKING:
    from scaling.sweep.folder.sweep_folder import SweepFolder

_WATCH_S = 1.0
_ENDED = ("done", "diverged")


@click.command()
@click.argument("folder", metavar="DIR|URL", type=SWEEP_FOLDER)
@click.option("--watch", is_flag=True, help="Keep what trains now up to date until every run has ended or failed.")
@json_option
def command(folder: Path, watch: bool, as_json: bool) -> None:
    """Show every run with its progress and loss: planned, running, interrupted, done, diverged or failed.

    Loss is the held-out one of a finished run, the latest training loss of a running one, in nats per token. An
    interrupted run was begun and is trained by nobody now; `scaling run` goes on with it. The last line
    tells how much of the workers' time went into compiling.

    With --watch the runs that train now are shown, whichever machines train them, then all runs as above; Ctrl-C
    ends it, and nothing else. It only looks. Where the output is no terminal, it is a plain line whenever a
    run has begun or ended, and every 20 s.

    \b
    Examples:
      scaling status runs/quickstart
      scaling status runs/quickstart --watch
    """
    from scaling.sweep.folder.progress import states
    from scaling.sweep.folder.sweep_folder import SweepFolder

    if watch and as_json:
        raise InputError("--watch and --json do not go together: --json prints one object")
    sweep = SweepFolder(folder)
    runs = _watch(sweep) if watch else states(sweep)
    emit_plain({"runs": runs}, as_json, _text(runs))


def _watch(sweep: "SweepFolder") -> list[dict[str, Any]]:
    """The runs when all have ended; shows until then what trains."""
    from scaling.cli.live import Live, rewritable
    from scaling.cli.progress import PLAIN_EVERY_S
    from scaling.sweep.folder.progress import states

    with ExitStack() as opened:
        live = opened.enter_context(Live(sys.stdout)) if rewritable(sys.stdout) else None
        last, at = "", 0.0
        while True:
            runs = states(sweep)
            if all(run["state"] in (*_ENDED, "failed") for run in runs):
                if live is not None:
                    live.show([])
                return runs
            if live is not None:
                live.show([f"{sweep.path.resolve().name}: {_counts(runs)}{_speed(runs)}", *_table(runs)])
            elif _counts(runs) != last or time.monotonic() - at >= PLAIN_EVERY_S:
                last, at = _counts(runs), time.monotonic()
                click.echo(" | ".join([f"{last}{_speed(runs)}", *_training(runs)]))
            time.sleep(_WATCH_S)


def _ended(runs: list[dict[str, Any]]) -> int:
    return sum(run["state"] in _ENDED for run in runs)


def _counts(runs: list[dict[str, Any]]) -> str:
    """How many runs are in which state."""
    counts = Counter(run["state"] for run in runs)
    parts = [f"{_ended(runs)} of {len(runs)} runs ended"]
    return ", ".join(parts + [f"{number} {state}" for state, number in counts.items() if state != "done"])


def _speed(runs: list[dict[str, Any]]) -> str:
    """Of all runs that train now together."""
    from scaling.quantity import format_quantity

    speed = sum(run["tokens_per_s"] or 0.0 for run in runs)
    return f", {format_quantity(speed)} tokens/s" if speed else ""


def _training(runs: list[dict[str, Any]]) -> Iterator[str]:
    for run in runs:
        if run["state"] == "running":
            yield f"{run['id'][:6]} " + ("compiling" if run["loss"] is None else f"{run['progress']:.0%}")


def _table(runs: list[dict[str, Any]]) -> Iterator[str]:
    """Of the runs that train now."""
    from scaling.cli.progress import clock
    from scaling.quantity import format_quantity

    running = [run for run in runs if run["state"] == "running"]
    if not running:
        yield "no run is being trained"
        return
    yield f"{'run':12}  {'role':6}  {'progress':>9}  {'loss':>8}  {'tokens/s':>8}  left"
    for run in running:
        if run["loss"] is None:
            yield f"{run['id']:12}  {run['role']:6}  compiling"
            continue
        speed = "" if run["tokens_per_s"] is None else format_quantity(run["tokens_per_s"])
        left = "" if run["left_s"] is None else clock(run["left_s"])
        yield f"{run['id']:12}  {run['role']:6}  {run['progress']:9.0%}  {run['loss']:8.4f}  {speed:>8}  {left}"


def _text(runs: list[dict[str, Any]]) -> str:
    from scaling.cli.progress import clock

    rows = [f"{'run':12}  {'role':6}  {'state':11}  {'progress':>8}  {'loss':>8}"]
    rows += [
        f"{run['id']:12}  {run['role']:6}  {run['state']:11}  {run['progress']:8.0%}  "
        + ("" if run["loss"] is None else f"{run['loss']:8.4f}")
        for run in runs
    ]
    rows += [f"{run['id']:12}  has failed: {run['reason']}" for run in runs if run["state"] == "failed"]
    spent, compiling = (sum(run[name] or 0.0 for run in runs) for name in ("wall_s", "compile_s"))
    time_spent = f"; {clock(spent)} of training, {clock(compiling)} of it compiling" if spent else ""
    return "\n".join([*rows, f"{_ended(runs)} of {len(runs)} runs ended{time_spent}"])
