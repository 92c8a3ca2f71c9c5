"""The page about a comparison of contenders."""
