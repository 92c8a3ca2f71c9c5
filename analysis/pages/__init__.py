"""What every page has in common: one file that needs no network, its look, its tables, and all of it escaped."""
