"""Rewards: gold ones, reward models, and the pairs that these learn from."""
