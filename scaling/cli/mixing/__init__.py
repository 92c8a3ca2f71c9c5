"""Commands on mixtures of data."""
