"""A chain of every stage, cut down to a minute."""
