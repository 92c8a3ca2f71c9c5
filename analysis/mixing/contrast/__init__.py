"""The contrast: how the loss on each domain differs between mixtures, and how that difference changes with scale."""
