"""Small Llamas under a compute budget: from a sweep file to a table of runs."""

__version__ = "0.1.0"
