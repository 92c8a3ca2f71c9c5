"""One self-contained HTML page about a curation: what was dropped, why, and examples of it."""

from pathlib import Path

from analysis.curation.funnel import Funnel
from analysis.curation.page import page_of, render
from analysis.curation.reading import read_funnel
from analysis.files import save_text

PAGE = "funnel.html"


def write_page(folder: str | Path, output: str | Path | None = None) -> tuple[Path, Funnel]:
    """Writes the page about a curated folder, from its ``funnel.json`` alone.

    The page needs no network, runs no script, and shows nothing unescaped.

    Args:
        folder: what ``scaling data curate`` made.
        output: the page; by default ``funnel.html`` in the folder.

    Returns:
        The page's path, and what it is about.

    Raises:
        InputError: if the folder is not a curated one, its funnel is damaged or of a newer version, or the page cannot
            be written.
    """
    funnel = read_funnel(folder)
    path = Path(output) if output is not None else Path(folder) / PAGE
    save_text(path, render(page_of(funnel)))
    return path, funnel
