"""Causal attention: the kernels of each platform, and the choice between them."""
