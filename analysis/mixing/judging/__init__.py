"""Forecasts of mixtures judged: splits of a table, what was forecast of the runs left out, and the texts of scores."""
