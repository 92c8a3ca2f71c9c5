"""Training batches of a mixture of sources."""
