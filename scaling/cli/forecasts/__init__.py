"""Commands on a table of runs."""
