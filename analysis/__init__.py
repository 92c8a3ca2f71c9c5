"""Scaling laws: from a table of runs, anybody's, to forecasts with intervals."""
