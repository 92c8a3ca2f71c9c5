"""Proximal policy optimisation with a critic, against a reward model (1707.06347, 2203.02155)."""
