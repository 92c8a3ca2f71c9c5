"""Tracking: a running sweep shown in a tracker of experiments."""
