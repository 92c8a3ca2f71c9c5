"""Locks: one holder at a time, by flock or by leases."""
