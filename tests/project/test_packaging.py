"""What a bare clone relies on: exact pins for every dependency, and a README that is true."""

import ast
import re
import shlex
import tomllib
from pathlib import Path
from typing import get_args

import click
import pytest

from analysis.diagnostics.codes import Code
from analysis.laws import LAWS
from scaling.cli import COMMANDS, cli
from scaling.data.building.notes import BuildCode
from scaling.data.curate.engine.warnings import CurateCode
from scaling.hf.special_ids import FolderCode

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", "benchmarks/README.md"]
PAGES += sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/**/*.md"))
PIN = re.compile(r'([a-z0-9.-]+)==([\w.+!]+)(; python_version (<|>=) "3\.12")?')


def pins() -> dict[str, set[str]]:
    """Package -> the markers under which it is pinned; the empty marker is every Python."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        match = PIN.fullmatch(line)
        assert match is not None, f"{line!r} is no exact pin"
        markers = found.setdefault(match[1], set())
        assert (match[4] or "") not in markers, f"{match[1]} is pinned twice"
        markers.add(match[4] or "")
    return found


def test_every_pin_holds_for_every_python() -> None:
    odd = {name: markers for name, markers in pins().items() if markers not in ({""}, {"<", ">="})}
    assert odd == {}


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [name for extra in project["optional-dependencies"].values() for name in extra]
    names = {re.split(r"[<>=!~;\[ ]", requirement)[0] for requirement in wanted}
    assert names - set(pins()) == set()


def code_of(text: str) -> str:
    """The blocks of shell commands and their output on a page."""
    blocks = re.findall(r"^```([^\n]*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(body for language, body in blocks if not language)


def test_commands_on_a_page_are_those_of_blocks_without_a_language() -> None:
    page = "```yaml\na: 1\n```\nscaling prose\n```\nscaling plan x.yaml\n```\nmore\n```python\nimport scaling\n```\n"
    assert code_of(page) == "scaling plan x.yaml\n"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_only_commands_that_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    inline = re.findall(r"`scaling ([a-z]+)", text)
    named = {*inline, *re.findall(r"^(?:\$ |.*bin/)?scaling ([a-z]+)", code_of(text), flags=re.MULTILINE)}
    assert named - set(COMMANDS) == set()
    assert page != "README.md" or {"plan", "run", "fit", "predict", "score"} <= named


@pytest.mark.parametrize("page", PAGES)
def test_a_page_gives_commands_only_options_that_exist(page: str) -> None:
    for line in re.findall(r"^(?:\$ )?scaling (.*)$", code_of((ROOT / page).read_text()), flags=re.MULTILINE):
        command: click.Command = cli
        words = shlex.split(line, comments=True)
        while isinstance(command, click.Group):
            command = command.get_command(click.Context(command), words.pop(0)) or pytest.fail(line)
        command.make_parser(click.Context(command)).parse_args(words)  # raises NoSuchOption


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_only_files_that_exist(page: str) -> None:
    text, here = (ROOT / page).read_text(), (ROOT / page).parent
    links = [here / link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    paths = [
        ROOT / path for path in re.findall(r"`((?:analysis|benchmarks|docs|notebooks|scaling|tests)/[\w./]+)`", text)
    ]
    assert [str(path) for path in links + paths if not path.exists()] == []


def test_every_law_and_every_warning_has_its_line() -> None:
    laws, warnings = (ROOT.joinpath("docs", "reference", f"{page}.md").read_text() for page in ("laws", "warnings"))
    lines = [f"| `{law.name}` | `{law.formula}` |" for law in LAWS.values()]
    assert [line for line in lines if line not in laws] == []
    codes = [code for kinds in (Code, BuildCode, CurateCode, FolderCode) for code in get_args(kinds)]
    assert re.findall(r"^\| `([a-z-]+)` \|", warnings, flags=re.MULTILINE) == codes


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", ["README.md", "docs/reference/scaling.md"])
def test_the_python_of_a_page_runs(
    page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    assert blocks
    for code in blocks:
        scope: dict[str, object] = {}
        lines = code.splitlines()
        for node in ast.parse(code).body:
            statement = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            _, _, expected = statement.rpartition("  # ")
            if expected.replace("_", "").isdigit():
                assert eval(statement, scope) == int(expected)
            else:
                exec(statement, scope)
    assert page != "README.md" or "interval" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES)
def test_a_page_imports_only_names_that_exist(page: str) -> None:
    for line in re.findall(
        r"^(?:from|import) (?:analysis|scaling)\b.*$", (ROOT / page).read_text(), flags=re.MULTILINE
    ):
        exec(line, {})
