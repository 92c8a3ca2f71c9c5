"""Laws of data mixtures: what a mixture changes, the best one for a target, and what it is worth."""
