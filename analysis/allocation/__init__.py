"""Allocation: how many parameters on how many tokens, by the three approaches of 2203.15556."""
