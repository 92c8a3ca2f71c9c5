"""``scaling status``: the state of every run in a sweep's folder."""

import time
from pathlib import Path

import click

from scaling.cli.common import emit, json_option

_WATCH_S = 2.0


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--watch", is_flag=True, help="Print again every 2 s until every run has ended.")
@json_option
def command(folder: Path, watch: bool, as_json: bool) -> None:
    """Show the state of every run: planned, running, done or diverged, with its progress and loss.

    Loss is the held-out one of a finished run, the latest training loss of a running one, in nats per token.

    \b
    Example:
      scaling status runs/quickstart --watch
    """
    from scaling.sweep.execute import states
    from scaling.sweep.store import SweepFolder

    while True:
        runs = states(SweepFolder(folder))
        emit({"runs": runs}, as_json, _text(runs))
        if not watch or all(run["state"] in ("done", "diverged") for run in runs):
            return
        time.sleep(_WATCH_S)


def _text(runs: list[dict[str, object]]) -> str:
    rows = [f"{'run':12}  {'role':6}  {'state':8}  {'progress':>8}  {'loss':>8}"]
    rows += [
        f"{run['id']:12}  {run['role']:6}  {run['state']:8}  {run['progress']:8.0%}  "
        + ("" if run["loss"] is None else f"{run['loss']:8.4f}")
        for run in runs
    ]
    ended = sum(run["state"] in ("done", "diverged") for run in runs)
    return "\n".join([*rows, f"{ended} of {len(runs)} runs ended"])
