"""Best-of-n (2112.09332) and rejection sampling (2307.09288): of several answers the one a reward model prefers."""

from scaling.posttrain.best_of_n.rejection import best_rows, reject
from scaling.posttrain.best_of_n.stage import run_best_of_n

__all__ = ["best_rows", "reject", "run_best_of_n"]
