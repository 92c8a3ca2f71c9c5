"""The difference of two contenders: cells, pairs of them, and the ways that carry it to a target."""
