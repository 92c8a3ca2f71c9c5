"""Sweeps and chains of stages: their plans, their runs, and the check of their recipe."""
