"""Makes every .ipynb from its .py source and runs it: ``.venv/bin/python notebooks/build.py``."""

from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
MINUTES = 5


def sources() -> list[Path]:
    """The notebooks' sources, in order."""
    return sorted(HERE.glob("[0-9]*.py"))


def executed(source: Path) -> nbformat.NotebookNode:
    """The notebook of a source with its outputs; raises if a cell does."""
    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"  # random ids would change the file at every build
    NotebookClient(notebook, timeout=60 * MINUTES, resources={"metadata": {"path": str(HERE)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data.pop("text/html", None)  # the same figure as SVG, which code hosts do not show
    return notebook


if __name__ == "__main__":
    for source in sources():
        nbformat.write(executed(source), source.with_suffix(".ipynb"))
        print(source.with_suffix(".ipynb").name)
