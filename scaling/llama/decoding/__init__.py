"""Generation: a cache of keys and values, and tokens drawn from logits."""
