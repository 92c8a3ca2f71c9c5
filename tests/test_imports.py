"""The one direction of imports, down to the rooms: each imports only from rooms before it, and none in a circle."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Rooms in the order of the pipeline, a step a line. A room imports itself and rooms of the lines above it.
ANALYSIS = """
    analysis analysis.errors analysis.stats analysis.formatting analysis.files analysis.package_data analysis.table_text
    analysis.yaml_locations analysis.frozen
    analysis.laws
    analysis.runs
    analysis.imports
    analysis.diagnostics
    analysis.result
    analysis.fitting
    analysis.forecasting analysis.tuning
    analysis.rewards analysis.comparing analysis.mixing
    analysis.allocation analysis.design
    analysis.plots analysis.pages
    analysis.report analysis.curation
"""
SWEEP = """
    scaling.sweep scaling.sweep.spec scaling.sweep.host scaling.sweep.locks
    scaling.sweep.plan scaling.sweep.storage
    scaling.sweep.folder
    scaling.sweep.stages scaling.sweep.contenders
    scaling.sweep.workers
    scaling.sweep.executors scaling.sweep.tracking
"""
# What the rooms of scaling import of one another; those of the sweep also follow the order above.
SCALING = {
    "scaling.errors": set(),
    "scaling.files": set(),
    "scaling.quantity": set(),
    "scaling.hardware": {"scaling.errors"},
    "scaling.llama": {"scaling.errors"},
    "scaling.costing": {"scaling.errors", "scaling.hardware", "scaling.llama", "scaling.posttrain"},
    "scaling.data": {"scaling.errors", "scaling.files", "scaling.quantity"},
    "scaling.train": {"scaling.errors", "scaling.files", "scaling.llama", "scaling.data"},
    "scaling.posttrain": {"scaling.errors", "scaling.files", "scaling.llama", "scaling.data", "scaling.train"},
    "scaling.sweep": {
        *("scaling.errors", "scaling.files", "scaling.quantity", "scaling.hardware"),
        *("scaling.llama", "scaling.data", "scaling.train", "scaling.posttrain"),
    },
    "scaling.feasibility": {
        *("scaling.errors", "scaling.quantity", "scaling.hardware", "scaling.llama", "scaling.train"),
    },
    "scaling.hf": {
        *("scaling.errors", "scaling.files", "scaling.llama", "scaling.data", "scaling.train", "scaling.sweep"),
        "scaling.posttrain",
    },
}
BELOW = set(SCALING)
SCALING |= {
    "scaling.planning": BELOW,
    "scaling.pipeline": BELOW | {"scaling.planning"},
    "scaling.chain": BELOW,
    "scaling.comparison": BELOW | {"scaling.planning", "scaling.pipeline"},
    "scaling.mixture": BELOW | {"scaling.planning", "scaling.pipeline"},
    "scaling.api": BELOW | {f"scaling.{name}" for name in ("planning", "pipeline", "chain", "comparison", "mixture")},
    "scaling": {"scaling.api"},
    "scaling.cli": BELOW | {"scaling.api"},
    "scaling.__main__": {"scaling.cli"},
}
# The rooms of scaling that import analysis; any may import what both packages share.
FORECASTERS = {"scaling", "scaling.planning", "scaling.pipeline", "scaling.chain", "scaling.comparison"}
FORECASTERS |= {"scaling.mixture", "scaling.api", "scaling.cli"}
SHARED = {"analysis.errors", "analysis.files", "analysis.formatting", "analysis.package_data"}
SHARED |= {"analysis.yaml_locations"}


def steps(rooms: str) -> dict[str, int]:
    return {name: number for number, line in enumerate(rooms.strip().splitlines()) for name in line.split()}


STEPS = {**steps(ANALYSIS), **steps(SWEEP)}


def room(module: str) -> str:
    """The room of a module: two names of its path, three within the sweep."""
    parts = module.split(".")
    return ".".join(parts[: 3 if parts[:2] == ["scaling", "sweep"] else 2])


def allowed(home: str, other: str) -> bool:
    """Whether a room may import another; a package's own name stands for what its ``__init__.py`` defines."""
    if other in (home, "analysis", "scaling.sweep") or other in SHARED:
        return not (home.startswith("analysis") and other.startswith("scaling"))
    if home in STEPS and other in STEPS and home.split(".")[:-1] == other.split(".")[:-1]:
        return STEPS[other] < STEPS[home]
    if home.startswith("analysis"):
        return False
    top, target = (".".join(name.split(".")[:2]) for name in (home, other))
    return top in FORECASTERS if other.startswith("analysis") else target in SCALING[top]


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
            # `from scaling import cli` imports scaling.cli; `from scaling import fit` the front door, as does
            # `import scaling`; the version is nobody's.
            taken = [alias.name for alias in node.names if alias.name != "__version__"]
            names = [f"{stem}.{name}" if is_module(f"{stem}.{name}") else stem for name in taken]
        yield from (name for name in names if name.split(".")[0] in ("scaling", "analysis"))


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def violations(file: Path) -> list[str]:
    home = room(module_of(file))
    return [f"{module_of(file)} imports {name}" for name in imported(file) if not allowed(home, room(name))]


FILES = sorted([*ROOT.glob("scaling/**/*.py"), *ROOT.glob("analysis/**/*.py")])


def test_every_room_is_listed() -> None:
    rooms = {room(module_of(file)) for file in FILES}
    assert {name for name in rooms if name.startswith(("analysis", "scaling.sweep"))} <= set(STEPS)
    assert {name for name in rooms if not name.startswith(("analysis", "scaling.sweep."))} <= set(SCALING)


def test_no_import_against_the_direction() -> None:
    assert [line for file in FILES for line in violations(file)] == []


def test_rooms_go_in_no_circle() -> None:
    """Prints who imports whom: ``pytest -s tests/test_imports.py``."""
    graph: dict[str, set[str]] = {}
    for file in FILES:
        home = room(module_of(file))
        graph.setdefault(home, set()).update({room(name) for name in imported(file)} - {home})
    for home in TopologicalSorter(graph).static_order():
        print(f"{home}  <-  {', '.join(sorted(graph.get(home, ()))) or 'nothing'}")


@pytest.mark.parametrize(
    ("home", "line"),
    [
        ("analysis/fitting/fit.py", "from scaling.errors import InputError"),
        ("analysis/fitting/fit.py", "def f():\n    import scaling.llama.zoo"),
        ("analysis/fitting/fit.py", "from analysis.forecasting.forecast import forecast"),
        ("analysis/fitting/fit.py", "import scaling as sl"),
        ("analysis/tuning/grid.py", "from ..forecasting import forecast"),
        ("scaling/train/loop.py", "from scaling import fit"),
        ("scaling/train/loop.py", "from analysis.stats import clusters"),
        ("scaling/llama/model.py", "from scaling import hardware"),
        ("scaling/data/corpus.py", "from ..train import loop"),
        ("scaling/train/loop.py", "from scaling.sweep.spec.sweep_file import load_sweep"),
        ("scaling/sweep/spec/sweep_file.py", "import analysis.runs.table"),
        ("scaling/sweep/locks/local.py", "from scaling.sweep.storage.mirror import mirror_at"),
        ("scaling/pipeline.py", "from scaling.cli.common import note"),
    ],
)
def test_a_new_direction_is_seen(home: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    file = tmp_path / home
    for folder in ("scaling/cli", "scaling/sweep", "scaling/train", "analysis/forecasting"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "scaling/hardware.py").touch()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(line + "\n")
    assert len(violations(file)) == 1
