"""What stays small enough to be read at once: files, folders, functions and the functions of commands."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = sorted(file for top in ("scaling", "analysis", "tests", "benchmarks") for file in ROOT.glob(f"{top}/**/*.py"))
LINES, FOLDER, FUNCTION, COMMAND = 350, 14, 60, 40


def functions() -> Iterator[tuple[str, int, bool]]:
    """Each function of the two packages: its name, its lines without decorators, and whether it is a command."""
    for file in FILES:
        if file.relative_to(ROOT).parts[0] not in ("scaling", "analysis"):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
                command = "cli" in file.parts and any(".command(" in name for name in decorators)
                yield f"{file.relative_to(ROOT)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1, command


def report(what: str, sizes: dict[str, int], limit: int) -> list[str]:
    """Prints the longest three; returns those over the limit."""
    longest = sorted(sizes, key=lambda name: -sizes[name])
    print(f"{what}, at most {limit}: " + ", ".join(f"{sizes[name]} {name}" for name in longest[:3]))
    return [f"{name}: {sizes[name]}" for name in longest if sizes[name] > limit]


def test_files_and_folders() -> None:
    lines = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in FILES}
    assert report("lines of a file", lines, LINES) == []
    folders = Counter(str(file.relative_to(ROOT).parent) for file in FILES)
    assert report("files of a folder", dict(folders), FOLDER) == []


def test_functions() -> None:
    found = list(functions())
    assert sum(command for *_, command in found) > 15
    assert report("lines of a function", {name: lines for name, lines, _ in found}, FUNCTION) == []
    assert report("lines of a command", {name: lines for name, lines, command in found if command}, COMMAND) == []
