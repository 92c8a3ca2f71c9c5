"""Design: which runs to buy next, and how many seeds of each."""
