"""Backtests of mixtures: splits of a table, and what was forecast of the runs that were left out."""
