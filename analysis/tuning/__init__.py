"""Tuning: the best learning rate and batch of each size and length, and how they scale."""
