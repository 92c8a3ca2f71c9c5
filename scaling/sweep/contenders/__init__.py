"""Several sweeps of one file that differ by what is compared: their file, and whether they compare."""
