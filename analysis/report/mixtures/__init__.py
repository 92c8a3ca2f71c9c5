"""The page about the choice of a mixture."""
