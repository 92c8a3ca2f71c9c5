"""``scaling run``: a sweep from its file to its report."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from scaling.cli.common import collected, emit, json_option, out_option, stoppable, workers_option
from scaling.errors import InputError

HELP = """Train what is not yet trained, then forecast, train the target, score, report.

A sweep with a grid has no target: it is trained, and tuned from by: scaling recipe fit DIR.

The forecast is frozen before the target's first step. Call it again to go on after an interruption: finished
runs are kept, the others resume from their last checkpoint. Until the forecast is frozen, the file may grow by
further runs, as scaling design writes them. A file edited in another way is refused, and the differences
are listed; --fork accepts the edit, unless a forecast would then be made after its target has begun.

With a mesh in the file, several hosts train as one, with --out on a disk that all see. --executor ray starts its
processes, as few as the GPUs of a node allow or else one per device; --executor slurm starts them in one job, one
on each of its nodes. --workers says how many. Without an executor, call it on each host with
JAX_COORDINATOR_ADDRESS (host:port of the first), JAX_NUM_PROCESSES and JAX_PROCESS_ID set; under Slurm and on TPUs
they are found without. The first process plans, logs and reports the results.

A file with stages (SFT, reward models, best-of-n, PPO, DPO) has a folder of each below --out: all fitted runs come
first, each stage's forecast is frozen, and then the targets are trained and scored. So has a file with contenders,
which are sweeps that differ by an optimizer, a corpus or another key: their comparison is frozen before any target.

A file with mixtures has its fitted runs choose one for the target. The choice is frozen, and the target trained on it
and beside it on others.

\b
Examples:
  scaling run sweeps/quickstart.yaml
  scaling run next.yaml --out runs/quickstart --fit-only
  scaling run sweeps/quickstart.yaml corpus=python --out runs/quickstart-python
  scaling run sweeps/chat.yaml --only base,sft
  scaling run sweeps/mixture.yaml
  scaling run sweeps/compare.yaml contenders.muon.recipe.weight_decay=0
"""


@dataclass(frozen=True)
class Request:
    """The options of the command."""

    sweep: str
    overrides: tuple[str, ...]
    out: Path | None
    executor: str
    slurm: tuple[str, ...]
    workers: int | None
    fit_only: bool
    fork: bool
    tracker: str | None
    only: str | None


@click.command(help=HELP)
@click.argument("sweep", metavar="SWEEP.yaml")
@click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1)
@out_option
@click.option(
    "--executor",
    type=click.Choice(["local", "ray", "slurm"]),
    default="local",
    show_default=True,
    help="Where the workers run: here, on a Ray cluster (at RAY_ADDRESS, or one on this machine), or in jobs of Slurm.",
)
@click.option(
    "--slurm",
    metavar="KEY=VALUE",
    multiple=True,
    help="A parameter of Slurm's jobs, as submitit knows it: partition=gpu, account=..., time=MINUTES.",
)
@workers_option
@click.option(
    "--fit-only",
    is_flag=True,
    help="Train the fitted runs and print the forecast or choice, not frozen; leave the target, however large it is.",
)
@click.option(
    "--fork",
    is_flag=True,
    help="Go on with an edited sweep: runs that still belong are kept; plan and results so far move to DIR/forks.",
)
@click.option(
    "--track",
    "tracker",
    type=click.Choice(["tensorboard"]),
    help="Keep the runs' curves, configs and losses for a tracker too: TensorBoard's event files in DIR/tensorboard.",
)
@click.option(
    "--only", metavar="STAGE,...", help="Of a file with stages: carry out these alone, from models that are there."
)
@json_option
@stoppable
@collected(Request)
def command(request: Request, as_json: bool) -> None:
    """Runs a sweep and prints what it came to."""
    from scaling.api.running.sweeps import run

    result = run(
        request.sweep,
        overrides=request.overrides,
        out=request.out,
        executor=request.executor,
        slurm=request.slurm,
        workers=request.workers,
        fit_only=request.fit_only,
        fork=request.fork,
        track=request.tracker,
        only=_names(request.only),
        progress=shown,
    )
    emit(result, as_json)


def _names(given: str | None) -> tuple[str, ...]:
    """Names between commas; none where the option is not given."""
    names = tuple(name.strip() for name in (given or "").split(",") if name.strip())
    if given is not None and not names:
        raise InputError("`only`: names no stage")
    return names


@contextmanager
def shown(sweep: str) -> Iterator[Callable[[str, Any], None]]:
    """Yields what shows the progress of a sweep of that name on stderr."""
    from scaling.cli.sweeps.progress import ProgressDisplay

    with ProgressDisplay(sweep) as display:
        yield display.show
