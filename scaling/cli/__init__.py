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

COMMANDS = {
    "plan": "List the runs of a sweep with FLOPs, time, memory and cost; spends nothing.",
    "run": "Train what is not yet trained, then forecast, train the target, score, report.",
    "status": "Show the state of every run in a sweep's folder.",
    "fit": "Fit a scaling law to a table of runs.",
    "predict": "Forecast the loss of a run that has not been made, with an interval.",
    "score": "Compare a frozen forecast with the runs made after it.",
    "backtest": "Measure how far forecasts from low-compute runs miss the high-compute ones.",
    "allocate": "Split a FLOP budget between parameters and tokens.",
    "cost": "Estimate the FLOPs, device hours, days and price of a training run.",
    "design": "Choose which runs to buy next.",
    "feasible": "Check that the full-size run compiles and fits its devices.",
    "recipe": "Tune and check the recipe of a sweep.",
    "data": "Make the data that sweeps train on, and look at it.",
    "report": "Write the HTML report of a sweep's folder.",
    "plot": "Draw one figure from a table of runs.",
    "export": "Write a trained run as a folder for Hugging Face's transformers.",
    "import": "Read a Llama from a Hugging Face folder.",
    "models": "List the published Llamas: shapes, parameters, tokens, hours.",
}


class _LazyGroup(click.Group):
    """Lists every command, but imports a command's file only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"scaling.cli.{_file_of(cmd_name)}").command
        command.name = cmd_name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _file_of(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) else name


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
    """Runs one command: exit 0 on success, 2 on bad input with one line per error on stderr, 75 if asked to stop."""
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
