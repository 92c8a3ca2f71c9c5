"""W&B's server: the runs of ``wandb:ENTITY/PROJECT``, by the wandb package and the key it knows."""

from typing import Any

from analysis.errors import InputError
from analysis.imports.records import Log, LoggedRun, flat, needed

PREFIX = "wandb:"


def read_project(source: str) -> Log:
    """The runs of a project: config, summary,.

    Args:
        source: ``wandb:ENTITY/PROJECT``, or ``wandb:PROJECT`` of one's own.

    Raises:
        InputError: without the wandb package, without a key, or for what the server refuses.
    """
    wandb = needed("wandb", source, "wandb")
    path = source.removeprefix(PREFIX).strip("/")
    if not path:
        raise InputError(f"{source}: name a project, as in wandb:ENTITY/PROJECT")
    try:
        runs = [_run(run) for run in wandb.Api().runs(path, lazy=False)]
    except Exception as error:  # of the network, of a key, of the server
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{source}: W&B does not give its runs ({reason[:200]})") from None
    return Log("W&B project", "one run an id", runs, "name", "state", counts_steps=False)


def _run(run: Any) -> LoggedRun:
    settings = dict(flat(run.config)) | dict(flat(run.summary_metrics, "/"))
    settings |= {"project": run.project} | ({"group": run.group} if run.group else {})
    return LoggedRun(run.name, run.id, run.state, settings, {})
