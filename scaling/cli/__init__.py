"""The command line: one small file per command, imported only when it is called."""

import importlib
import keyword
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from scaling import __version__
from scaling.cli.common import errors_of, printable
from scaling.train.stop import STOPPED_EXIT, Stopped

# A command: the folder that its file is in, and what it does.
COMMANDS = {
    "plan": ("sweeps", "List the runs of a sweep with FLOPs, time, memory and cost; spends nothing."),
    "run": ("sweeps", "Train what is not yet trained, then forecast, train the target, score, report."),
    "status": ("sweeps", "Show the state of every run in a sweep's folder."),
    "fit": ("forecasts", "Fit a scaling law to a table of runs."),
    "predict": ("forecasts", "Forecast the loss of a run that has not been made, with an interval."),
    "compare": ("forecasts", "Say which contender wins at a target, and by how many times the compute."),
    "mixture": ("mixing", "Choose the mixture of data for a target, by runs on many mixtures."),
    "score": ("forecasts", "Compare a frozen forecast or comparison with the runs made after it."),
    "backtest": ("forecasts", "Measure how far forecasts from low-compute runs miss the high-compute ones."),
    "allocate": ("forecasts", "Split a FLOP budget between parameters and tokens."),
    "cost": ("hardware", "Estimate the FLOPs, device hours, days and price of a training run."),
    "design": ("forecasts", "Choose the runs to train next."),
    "feasible": ("hardware", "Check that the full-size run compiles and fits its devices."),
    "recipe": ("sweeps", "Tune and check the recipe of a sweep."),
    "data": ("files", "Make the data that sweeps train on, and look at it."),
    "report": ("forecasts", "Write the HTML report of a sweep's folder."),
    "plot": ("forecasts", "Draw one figure from a table of runs."),
    "export": ("files", "Write a trained run as a folder for Hugging Face's transformers."),
    "import": ("files", "Read a Llama from a Hugging Face folder."),
    "import-runs": ("files", "Read the logs of other tools, such as W&B and MLflow, as one table of runs."),
    "sample": ("files", "Print answers of a trained model, the best by a reward model if need be."),
    "models": ("hardware", "List the published Llamas: shapes, parameters, tokens, hours."),
}


class _LazyGroup(click.Group):
    """Lists every command, but imports a command's file only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(_module_of(cmd_name)).command
        command.name = cmd_name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _module_of(name: str) -> str:
    folder, _ = COMMANDS[name]
    name = name.replace("-", "_")
    return f"scaling.cli.{folder}.{name}_" if keyword.iskeyword(name) else f"scaling.cli.{folder}.{name}"


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="%(version)s")
def cli() -> None:
    """Forecast a large Llama's loss from small ones, before the large run starts.

    A sweep file goes in; out comes a forecast frozen before the target run, with an interval, and its score.
    """


@contextmanager
def _workers_import_as_here() -> Iterator[None]:
    """What happens to lie in the working directory is not to be imported by workers either, where it is not here."""
    name = "PYTHONSAFEPATH"
    before = os.environ.get(name)
    if os.getcwd() not in sys.path:
        os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


def main(args: Sequence[str] | None = None) -> None:
    """Runs one command: exit 0 on success, 2 on bad input with one line per error on stderr, 75 if stopped."""
    try:
        with _workers_import_as_here():
            code = cli.main(args=args, prog_name="scaling", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        sys.exit(0)
    except click.Abort:
        sys.exit(130)
    except Stopped:
        print("stopped; everything trained is saved, and the same command goes on with it", file=sys.stderr)
        sys.exit(STOPPED_EXIT)
    except Exception as error:
        lines = errors_of(error)
        if lines is None:
            raise
        for line in lines:
            print(f"error: {printable(line)}", file=sys.stderr)
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)
