"""Commands on a sweep, and the display of its progress."""
