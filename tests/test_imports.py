"""The one direction of imports: analysis stands alone, and in scaling each room knows only those below it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Room -> the rooms that it may import. A room is a package of scaling, or one of its files.
ALLOWED = {
    "scaling": set(),
    "scaling.__main__": {"scaling.cli"},
    "scaling.errors": set(),
    "scaling.files": set(),
    "scaling.quantity": set(),
    "scaling.hardware": {"scaling.errors"},
    "scaling.llama": {"scaling.errors"},
    "scaling.cost": {"scaling.errors", "scaling.hardware", "scaling.llama"},
    "scaling.data": {"scaling.errors", "scaling.files", "scaling.quantity"},
    "scaling.train": {"scaling.errors", "scaling.files", "scaling.llama", "scaling.data"},
    "scaling.sweep": {
        "scaling.errors",
        "scaling.files",
        "scaling.quantity",
        "scaling.hardware",
        "scaling.llama",
        "scaling.data",
        "scaling.train",
    },
    "scaling.feasible": {"scaling.errors", "scaling.quantity", "scaling.hardware", "scaling.llama", "scaling.train"},
    "scaling.hf": {
        "scaling.errors",
        "scaling.files",
        "scaling.llama",
        "scaling.data",
        "scaling.train",
        "scaling.sweep",
    },
    "scaling.planning": {"*", "analysis"},
    "scaling.pipeline": {"*", "analysis"},
    "scaling.cli": {"*", "analysis"},
    "analysis": set(),
}


def room(module: str) -> str:
    return ".".join(module.split(".")[:2]) if module.startswith("scaling.") else module.split(".")[0]


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(file: Path) -> Iterator[str]:
    """Every module of the two packages that a file imports, at its top or within a function."""
    package = file.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(file.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            stem = ".".join(part for part in (base, node.module) if part)
            # `from scaling import cli` imports scaling.cli; `from scaling import __version__` only scaling.
            names = [f"{stem}.{alias.name}" if is_module(f"{stem}.{alias.name}") else stem for alias in node.names]
        yield from (name for name in names if name.split(".")[0] in ("scaling", "analysis"))


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def faults(file: Path) -> list[str]:
    home = room(module_of(file))
    allowed = ALLOWED[home] | {home, "scaling" if home.startswith("scaling") else home}
    if "*" in allowed:
        allowed = allowed | (set(ALLOWED) - {"scaling.__main__"} - ({"scaling.cli"} - {home}))
    return [f"{module_of(file)} imports {name}" for name in imported(file) if room(name) not in allowed]


FILES = sorted([*ROOT.glob("scaling/**/*.py"), *ROOT.glob("analysis/**/*.py")])


def test_every_room_is_listed() -> None:
    assert {room(module_of(file)) for file in FILES} <= set(ALLOWED)


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_no_import_against_the_direction(file: Path) -> None:
    assert faults(file) == []


@pytest.mark.parametrize(
    ("home", "line"),
    [
        ("analysis/fit.py", "from scaling.errors import InputError"),
        ("analysis/fit.py", "def f():\n    import scaling.llama.zoo"),
        ("scaling/llama/model.py", "from scaling import hardware"),
        ("scaling/data/corpus.py", "from ..train import loop"),
        ("scaling/train/loop.py", "from scaling.sweep.spec import load_sweep"),
        ("scaling/sweep/spec.py", "import analysis.table"),
        ("scaling/pipeline.py", "from scaling.cli.common import note"),
    ],
)
def test_a_new_direction_is_seen(home: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    file = tmp_path / home
    for folder in ("scaling/cli", "scaling/sweep", "scaling/train", "analysis"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "scaling/hardware.py").touch()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(line + "\n")
    assert len(faults(file)) == 1
