"""Executors: workers on this machine, on a Ray cluster or in jobs of Slurm."""
