"""Fitting: laws fitted to runs, and published constants."""
