"""Near-duplicates: candidates by sketches, an exact check of every pair, and which copy stays."""
