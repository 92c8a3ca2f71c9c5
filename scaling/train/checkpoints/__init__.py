"""A run's state on disk: checkpoints with digests, the index of them, and the last parameters as a file."""
