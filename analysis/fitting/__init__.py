"""Fitting: laws fitted to runs, and the constants that papers fitted to theirs."""
