"""Executors: where workers run, which is here, on a Ray cluster or in jobs of Slurm."""
