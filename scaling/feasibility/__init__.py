"""Whether the full-size run compiles and fits its devices, and how fast it could be at best."""
