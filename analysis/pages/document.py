"""A page as one HTML document, made from templates."""

import base64
import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_PACKAGE = "analysis.pages"


def environment(package: str, finalize: Callable[[Any], Any] | None = None) -> Environment:
    """The templates of a package and those that all pages share; what they write is escaped.

    Args:
        package: with a folder ``templates``.
        finalize: what is done to every value before it is escaped.
    """
    return Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(_PACKAGE)]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def document(templates: Environment, name: str, style: str = "", script: str = "", **content: object) -> str:
    """The page of a template that extends ``document.html.j2``.

    Args:
        templates: see :func:`environment`.
        name: of the template.
        style: further style sheet.
        script: the only one that the browser runs.
        **content: what the template shows; its ``title`` among it.
    """
    shared = files(_PACKAGE).joinpath("templates", "page.css").read_text()
    return templates.get_template(name).render(
        style=Markup(shared + style),
        script=Markup(script),
        script_sha256=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **content,
    )
