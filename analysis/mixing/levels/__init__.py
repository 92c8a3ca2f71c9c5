"""The level: the loss on each domain at the reference mixture, at any size and length."""
