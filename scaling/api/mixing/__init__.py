"""Mixtures of data at the front door."""
