"""What every command keeps to: a light help, one line per error and exit 2, one JSON object."""

import json
import subprocess
import sys

import click
import pytest

from analysis.diagnostics.codes import Diagnostic
from analysis.fitting.published import PublishedLoss
from scaling.cli import COMMANDS, cli, common, main
from scaling.errors import InputError

HEAVY = ("jax", "flax", "orbax", "matplotlib", "pandas", "scipy")


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize("name", COMMANDS)
def test_help_tells_purpose_options_and_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(name, "--help") == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: scaling {name}")
    assert f"scaling {name}" in text.split("Options:")[0].removeprefix(f"Usage: scaling {name}"), "no example"
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{option.name} has no help"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_imports_nothing_heavy(name: str) -> None:
    code = f"""
import sys
from scaling.cli import main
try:
    main(["{name}", "--help"])
except SystemExit as end:
    assert end.code == 0
heavy = [module for module in {HEAVY} if module in sys.modules]
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_list_of_commands_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in COMMANDS)


def test_no_arguments_print_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    text = capsys.readouterr().out
    assert run() == 0
    assert capsys.readouterr() == (text, "")


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("models", "--bogus"), "error: No such option '--bogus'."),
        (("bogus",), "error: No such command 'bogus'."),
        (
            ("cost", "--params", "8X", "--device", "h100"),
            "error: Invalid value for '--params': '8X' is not a number",
        ),
        (
            ("cost", "--params", "-1", "--device", "h100"),
            "error: Invalid value for '--params': '-1' is not positive",
        ),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(args: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(line)
    assert err.count("\n") == 1


def test_each_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(**_: object) -> None:
        raise InputError(["first", "second"])

    monkeypatch.setattr(cli, "main", fail)
    assert run("models") == 2
    assert capsys.readouterr().err == "error: first\nerror: second\n"


def test_our_own_mistakes_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "main", fail)
    with pytest.raises(ZeroDivisionError):
        main(["models"])


def test_warnings_go_to_stderr_in_text_and_stay_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    few = Diagnostic("few-runs", "only 9 runs")
    result = PublishedLoss("kaplan", 3.0, 1e9, 1e10, "a paper", "total params", (few,))
    common.emit(result, False)
    assert capsys.readouterr() == (f"{result}\n", "warning: only 9 runs [few-runs]\n")
    common.emit(result, True)
    out, err = capsys.readouterr()
    assert (out.count("\n"), err) == (1, "")
    assert json.loads(out)["warnings"] == [few.to_dict()]


def test_a_parameter_of_the_library_is_called_by_its_option() -> None:
    reported = "`train_below` 3: choose `columns` params=..., not `output`; `-x` and `A B` are no names"
    assert common.as_options(reported) == (
        "--train-below 3: choose --columns params=..., not -o; `-x` and `A B` are no names"
    )
