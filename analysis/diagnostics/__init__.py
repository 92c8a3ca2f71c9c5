"""Diagnostics: what a careful expert would say of a table or a fit, each with a stable code."""
