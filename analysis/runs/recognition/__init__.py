"""What other people's tables mean: their names of columns, their numbers, units and states, and what names a run."""
