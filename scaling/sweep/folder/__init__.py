"""A sweep's folder: its runs, its tables, its changes and its progress."""
