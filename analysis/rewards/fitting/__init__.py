"""Laws of over-optimisation fitted to reward curves, one by one and over proxies."""
