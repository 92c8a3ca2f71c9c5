"""Pages of stages, comparisons and mixtures as HTML, and where each is written."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Protocol, runtime_checkable

from jinja2 import Environment
from markupsafe import Markup

from analysis.files import save_text
from analysis.pages.document import document, environment
from analysis.pages.signs import finalized


@runtime_checkable
class Titled(Protocol):
    """What a template shows."""

    @property
    def title(self) -> str: ...


@cache
def _templates() -> Environment:
    """The templates: names and answers are others', so every sign is made visible before it is escaped."""
    templates = environment("analysis.report", finalized)
    templates.filters |= {"drawn": Markup}
    return templates


def rendered(template: str, page: Titled) -> str:
    """A page as one HTML document; everything is escaped but the figures' SVG, the style sheet and the script."""
    script = files("analysis.report").joinpath("templates", "page.js").read_text()
    return document(_templates(), template, script=script, title=page.title, page=page)


def write_page(html: str, place: Path, output: str | Path | None) -> Path:
    """Writes the page about a folder or a file.

    Args:
        html: the page.
        place: the folder or file.
        output: where to; by default ``report.html`` in the folder, or beside the file under its name.

    Returns:
        The page's path.
    """
    usual = place / "report.html" if place.is_dir() else place.with_suffix(".html")
    path = Path(output) if output is not None else usual
    save_text(path, html)
    return path
