"""Every notebook runs, is made from its source as it stands, and stores nothing of the machine it ran on."""

import importlib.util
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
_spec = importlib.util.spec_from_file_location("build", NOTEBOOKS / "build.py")
assert _spec is not None
assert _spec.loader is not None
build = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build)


@pytest.mark.parametrize("source", build.sources(), ids=lambda path: path.stem)
def test_the_stored_notebook_is_of_its_source(source: Path) -> None:
    stored = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    made = build.jupytext.read(source)
    assert [(cell.cell_type, cell.source) for cell in stored.cells] == [(c.cell_type, c.source) for c in made.cells]


@pytest.mark.parametrize("source", build.sources(), ids=lambda path: path.stem)
def test_it_stores_no_path_of_a_machine(source: Path) -> None:
    text = source.with_suffix(".ipynb").read_text()
    assert str(NOTEBOOKS.parent) not in text
    assert not any(place in text for place in ("/home/", "/tmp/", "/root/", "site-packages"))


# Those of a minute or more.
LONG = {"9_which_mixture"}


@pytest.mark.parametrize(
    "source",
    [pytest.param(path, marks=pytest.mark.slow) if path.stem in LONG else path for path in build.sources()],
    ids=lambda path: path.stem,
)
def test_it_runs(source: Path) -> None:
    notebook = build.executed(source)
    figures = [o for cell in notebook.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    text = source.read_text()
    assert len(figures) == text.count("plt.show()") + text.count("sl.plot(")
