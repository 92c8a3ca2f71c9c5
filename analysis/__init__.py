"""Scaling laws: from a table of runs, anybody's, to forecasts with intervals."""

__version__ = "0.1.0"
