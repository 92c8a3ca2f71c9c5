"""Comparisons of contenders at the front door."""
