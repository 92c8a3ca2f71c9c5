"""The page about a stage after pre-training, and its figures: over-optimisation, reward models, answers."""
