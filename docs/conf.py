"""Sphinx builds the site from these pages, the docstrings and the command line: ``make docs``."""

from pydantic import BaseModel

from scaling import __version__

project = "Scaling laws for Llamas"
author = "The authors of scaling-law-toolkit"
copyright = "2026, the authors of scaling-law-toolkit"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
napoleon_use_ivar = True
suppress_warnings = ["ref.python"]  # several classes have an attribute `params`; none is linked to by that name
smartquotes = False  # options are written --so
html_theme = "furo"
html_title = project


def without_validators(app, what, name, of, options, signature, returns):  # noqa: ARG001
    """A model of a sweep file's keys is called by no one: its signature would be its validators."""
    return ("", returns) if isinstance(of, type) and issubclass(of, BaseModel) else (signature, returns)


def setup(app):
    """Sphinx's own hook."""
    app.connect("autodoc-process-signature", without_validators)
