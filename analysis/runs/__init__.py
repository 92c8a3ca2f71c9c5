"""Runs: files of runs read, checked and filtered into one table, and the table as arrays."""
