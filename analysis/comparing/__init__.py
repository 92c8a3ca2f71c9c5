"""Comparisons of contenders: which recipe, optimizer or corpus has the lower loss at a target, and by how much."""
